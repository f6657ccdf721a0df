#include "core/smtp/data_reader.h"

#include <bit>
#include <cstring>
#include <string>

namespace smtp {

namespace {

constexpr bool is_plain(char c) { return c != '\r' && c != '\n' && c != '\0'; }

// Sixteen octets, compared at once (the vector extension of GCC and Clang): where one is equal, the
// result has 0xff, and else 0.
using Octets = unsigned char __attribute__((vector_size(16)));

// The first octet that is not plain, or the end. Nearly all of a message is passed here, so it goes
// by sixteen octets where it can.
const char* skip_plain(const char* from, const char* end) {
  static_assert(std::endian::native == std::endian::little, "which octet is first depends on it");
  while (static_cast<std::size_t>(end - from) >= sizeof(Octets)) {
    Octets octets;
    std::memcpy(&octets, from, sizeof octets);
    const auto odd = (octets == '\r') | (octets == '\n') | (octets == '\0');
    std::uint64_t half[2];
    std::memcpy(half, &odd, sizeof half);
    if (half[0] != 0) return from + std::countr_zero(half[0]) / 8;
    if (half[1] != 0) return from + 8 + std::countr_zero(half[1]) / 8;
    from += sizeof octets;
  }
  while (from != end && is_plain(*from)) ++from;
  return from;
}

}  // namespace

Reply fault_reply(ContentFault fault, std::uint64_t line_octets_max,
                  std::uint64_t size_octets_max) {
  switch (fault) {
    case ContentFault::kBareCr:
      return {550, "5.6.0", "Refused: a CR without LF in the message; end its lines with CRLF"};
    case ContentFault::kBareLf:
      return {550, "5.6.0", "Refused: an LF without CR in the message; end its lines with CRLF"};
    case ContentFault::kNul:
      return {550, "5.6.0", "Refused: a NUL octet in the message; encode binary parts as base64"};
    case ContentFault::kLongLine:
      return {550, "5.6.0",
              "Refused: a line of the message is longer than " + std::to_string(line_octets_max) +
                  " octets; encode it as quoted-printable or base64"};
    case ContentFault::kTooLarge:
    case ContentFault::kNone:
      break;
  }
  return {552, "5.3.4",
          "Refused: the message is larger than " + std::to_string(size_octets_max) +
              " octets; send less or split it"};
}

void DataReader::blame(ContentFault fault) {
  if (fault_ == ContentFault::kNone) fault_ = fault;
}

void DataReader::count(std::uint64_t octets) {
  if (fault_ != ContentFault::kNone) return;
  const std::uint64_t line_room = line_octets_max_ - line_;
  const std::uint64_t size_room = size_octets_max_ - size_;
  if (octets > line_room || octets > size_room) {
    // The fault that lies further in front, so that it does not depend on how the input was cut.
    blame(line_room <= size_room ? ContentFault::kLongLine : ContentFault::kTooLarge);
    return;
  }
  line_ += octets;
  size_ += octets;
}

DataReader::Piece DataReader::read(std::span<char> input) {
  const char* from = input.data();
  const char* const end = from + input.size();
  char* to = input.data();
  bool ended = false;
  while (from != end && !ended) {
    const char c = *from;
    switch (state_) {
      case State::kLineStart:
        if (framing_ == Framing::kDots && c == '.') {
          state_ = State::kDot;
          ++from;
          continue;
        }
        break;
      case State::kDot:  // kept neither as stuffing nor as the end
        if (c == '\r') {
          state_ = State::kDotCr;
          ++from;
          continue;
        }
        break;
      case State::kDotCr:
        if (c == '\n') {
          ended = true;
          ++from;
          continue;
        }
        blame(ContentFault::kBareCr);
        break;
      case State::kCr:
        if (c == '\n') {
          count(1);
          *to++ = c;
          ++from;
          line_ = 0;
          state_ = State::kLineStart;
          continue;
        }
        blame(ContentFault::kBareCr);
        break;
      case State::kText:
        break;
    }
    if (is_plain(c)) {
      const char* stop = skip_plain(from + 1, end);
      const bool whole_line = end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n';
      if (whole_line) stop += 2;
      const auto run = static_cast<std::size_t>(stop - from);
      count(run);
      if (to != from) std::memmove(to, from, run);
      to += run;
      from = stop;
      if (whole_line) line_ = 0;
      state_ = whole_line ? State::kLineStart : State::kText;
      continue;
    }
    if (c == '\n') blame(ContentFault::kBareLf);
    if (c == '\0') blame(ContentFault::kNul);
    count(1);
    *to++ = c;
    ++from;
    state_ = c == '\r' ? State::kCr : State::kText;
  }
  const auto kept = fault_ == ContentFault::kNone ? static_cast<std::size_t>(to - input.data()) : 0;
  return {input.first(kept), static_cast<std::size_t>(from - input.data()), ended};
}

void DataReader::finish() {
  if (state_ == State::kCr) blame(ContentFault::kBareCr);
}

}  // namespace smtp
