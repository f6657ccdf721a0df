// The framing and the rules of message content, for DATA (dot-stuffed, RFC 5321 4.5.2) and BDAT (as
// it is, RFC 3030). Reads content in pieces cut anywhere and finds the same first fault however it
// is cut. Pure; owned by a server machine; keeps no content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/smtp/reply.h"

namespace smtp {

enum class ContentFault : std::uint8_t {
  kNone,
  kBareCr,
  kBareLf,
  kNul,
  kLongLine,  // counted with its CRLF, without stuffing
  kTooLarge,  // counted as RFC 1870 does: with every CRLF, without stuffing
};

// What to say about it: 550 5.6.0, or 552 5.3.4 for kTooLarge. Not for kNone.
Reply fault_reply(ContentFault fault, std::uint64_t line_octets_max, std::uint64_t size_octets_max);

class DataReader {
 public:
  enum class Framing : std::uint8_t { kDots, kChunks };
  DataReader(Framing framing, std::uint64_t line_octets_max, std::uint64_t size_octets_max)
      : framing_(framing), line_octets_max_(line_octets_max), size_octets_max_(size_octets_max) {}

  struct Piece {
    std::span<char> content;  // inside the input, unstuffed in place; empty once there is a fault
    std::size_t used;         // all of the input, or as far as the end
    bool end;                 // kDots: the line with the single dot was read
  };
  // Nothing may be read after the end.
  Piece read(std::span<char> input);
  // kChunks: no more will come; a CR that waited for its LF is a fault now.
  void finish();
  // A fault that is known before the content is read.
  void blame(ContentFault fault);

  [[nodiscard]] ContentFault fault() const { return fault_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  enum class State : std::uint8_t { kLineStart, kDot, kDotCr, kText, kCr };
  void count(std::uint64_t octets);

  Framing framing_;
  State state_ = State::kLineStart;
  ContentFault fault_ = ContentFault::kNone;
  std::uint64_t line_octets_max_;
  std::uint64_t size_octets_max_;
  std::uint64_t line_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace smtp
