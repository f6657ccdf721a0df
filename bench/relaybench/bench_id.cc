#include "relaybench/bench_id.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace relaybench {
namespace {

constexpr std::size_t kRunOctets = 8;
constexpr std::size_t kNumberOctets = 10;
constexpr std::size_t kDigestOctets = 16;
// Between the field's name and its value: `: `, `","`, `%3A+`.
constexpr std::size_t kGapMax = 16;
// A header that does not end within this holds no id of ours.
constexpr std::size_t kHeaderOctetsMax = 1024 * 1024;

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string padded(std::uint64_t value, int base, std::size_t width) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  const auto size = static_cast<std::size_t>(end - digits.data());
  std::string text(width - std::min(width, size), '0');
  return text.append(digits.data(), size);
}

}  // namespace

std::string make_id(std::string_view run, std::uint64_t number, std::uint64_t digest) {
  std::string id(run);
  id += '-';
  id += padded(number, 10, kNumberOctets);
  id += '-';
  id += padded(digest, 16, kDigestOctets);
  return id;
}

bool is_id(std::string_view text) {
  if (text.size() != kIdOctets || text[kRunOctets] != '-' ||
      text[kRunOctets + 1 + kNumberOctets] != '-') {
    return false;
  }
  const auto run = text.substr(0, kRunOctets);
  const auto number = text.substr(kRunOctets + 1, kNumberOctets);
  const auto digest = text.substr(kIdOctets - kDigestOctets);
  return std::all_of(run.begin(), run.end(), is_hex) &&
         std::all_of(number.begin(), number.end(), is_digit) &&
         std::all_of(digest.begin(), digest.end(), is_hex);
}

std::string_view find_id(std::string_view text) {
  std::size_t at = text.find(kIdField);
  if (at == std::string_view::npos) return {};
  at += kIdField.size();
  for (std::size_t gap = 0; gap <= kGapMax && at + gap < text.size(); ++gap) {
    const std::string_view candidate = text.substr(at + gap, kIdOctets);
    if (is_id(candidate)) return candidate;
  }
  return {};
}

bool digest_fits(std::string_view id, std::uint64_t digest) {
  return id.substr(kIdOctets - kDigestOctets) == padded(digest, 16, kDigestOctets);
}

void MessageTrace::feed(std::string_view piece) {
  if (!in_header_) return digest_.update(piece);
  if (header_.empty()) {
    const std::size_t end = piece.find("\r\n\r\n");
    if (end != std::string_view::npos) {
      id_ = find_id(piece.substr(0, end));
      in_header_ = false;
      return digest_.update(piece.substr(end + 4));
    }
  }
  const std::size_t seen = header_.size() < 3 ? 0 : header_.size() - 3;
  if (header_.size() < kHeaderOctetsMax) header_ += piece;
  const std::size_t end = header_.find("\r\n\r\n", seen);
  if (end == std::string::npos) return;
  id_ = find_id(std::string_view(header_).substr(0, end));
  in_header_ = false;
  digest_.update(std::string_view(header_).substr(end + 4));
  header_.clear();
}

}  // namespace relaybench
