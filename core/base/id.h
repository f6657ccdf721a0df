// Queue ids: 128 bits, sorted by time of making, unique across threads, processes and restarts.
// Layout, big-endian: 48 bits wall milliseconds, 80 bits random; within one millisecond (or when
// the wall clock steps back) the random part counts up, so ids of one process only ever grow.
// Text: 26 characters of Crockford's base 32 (no I, L, O, U), which sort as the bytes do.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace base {

struct Id {
  std::array<std::uint8_t, 16> bytes{};

  [[nodiscard]] std::string str() const { return std::string(text()); }
  // The same for who only wants to write it somewhere.
  class Text {
   public:
    // NOLINTNEXTLINE(google-explicit-constructor)
    operator std::string_view() const { return {digits.data(), digits.size()}; }
    std::array<char, 26> digits;
  };
  [[nodiscard]] Text text() const;
  // The 16 bytes, for use as a database key.
  [[nodiscard]] std::string_view key() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // Milliseconds since 1970 at which the id was made.
  [[nodiscard]] std::int64_t time_ms() const;

  // Text form, upper or lower case; nullopt where it is not one.
  static std::optional<Id> parse(std::string_view text);
  static std::optional<Id> from_key(std::string_view sixteen_bytes);

  auto operator<=>(const Id&) const = default;
};

// Thread-safe. One per process; owned by main and handed to whoever makes ids.
class IdGenerator {
 public:
  explicit IdGenerator(const Clock& clock) : clock_(clock) {}
  Id next();

 private:
  const Clock& clock_;
  std::mutex mutex_;
  Id last_;
};

// `n` bytes from the kernel's random generator. Aborts if the kernel has none to give.
std::string random_bytes(std::size_t n);

}  // namespace base
