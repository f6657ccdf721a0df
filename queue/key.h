// A key of a table in the making, on the stack: a message on its way through looks rows up and
// changes them some twenty times. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace queue {

class Key {
 public:
  Key() = default;
  explicit Key(std::string_view start) { append(start); }

  // What passes kMost is cut off; who makes keys sees to it that nothing does.
  void append(std::string_view octets) {
    const std::size_t size = std::min(octets.size(), kMost - size_);
    std::copy_n(octets.data(), size, octets_.data() + size_);
    size_ += size;
  }
  void append_big_endian(std::uint64_t value, std::size_t octets) {
    std::array<char, 8> all{};
    for (std::size_t i = all.size(); i-- > 0; value >>= 8) all[i] = static_cast<char>(value & 0xff);
    append({all.data() + all.size() - octets, octets});
  }

  // As Txn and Cursor take it; lives as long as the key.
  [[nodiscard]] std::string_view view() const { return {octets_.data(), size_}; }
  operator std::string_view() const { return view(); }  // NOLINT(google-explicit-constructor)

 private:
  static constexpr std::size_t kMost = 511;  // LMDB's
  std::array<char, kMost> octets_;           // only the first size_ are ever looked at
  std::size_t size_ = 0;
};

inline std::uint64_t big_endian(std::string_view octets) {
  std::uint64_t value = 0;
  for (const char c : octets) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

}  // namespace queue
