// What several tests of this room need.
#pragma once

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "queue/store.h"

namespace tickets_test {

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string with_crlf(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

// A stored message that never gives more than `piece` octets at once.
class MemoryReader final : public queue::ContentReader {
 public:
  explicit MemoryReader(std::string bytes, std::size_t piece = SIZE_MAX)
      : bytes_(std::move(bytes)), piece_(piece) {}
  [[nodiscard]] std::uint64_t prefix_size() const override { return 0; }
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  base::Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const auto n =
        std::min({into.size(), bytes_.size() - static_cast<std::size_t>(offset), piece_});
    std::memcpy(into.data(), bytes_.data() + offset, n);
    return n;
  }

 private:
  std::string bytes_;
  std::size_t piece_;
};

}  // namespace tickets_test
