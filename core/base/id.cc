#include "core/base/id.h"

#include <sys/random.h>

#include <cstdlib>
#include <cstring>

namespace base {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int digit_value(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  const auto at = kAlphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

void put_time(Id& id, std::int64_t ms) {
  for (int i = 0; i < 6; ++i) {
    id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(ms >> (8 * (5 - i)) & 0xff);
  }
}

void increment(Id& id) {
  for (std::size_t i = id.bytes.size(); i-- > 0;) {
    if (++id.bytes[i] != 0) return;
  }
}

}  // namespace

Id::Text Id::text() const {
  // 128 bits in 26 digits of 5: the first digit carries only 3 bits.
  Text text{};
  unsigned buffer = 0;
  int bits = 2;  // two leading zero bits make 130 = 26 * 5
  std::size_t out = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = (buffer << 8 | byte) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text.digits[out++] = kAlphabet[buffer >> bits & 31];
    }
  }
  return text;
}

std::int64_t Id::time_ms() const {
  std::int64_t ms = 0;
  for (std::size_t i = 0; i < 6; ++i) ms = ms << 8 | bytes[i];
  return ms;
}

std::optional<Id> Id::parse(std::string_view text) {
  if (text.size() != 26 || digit_value(text[0]) > 7) return std::nullopt;
  Id id;
  unsigned buffer = 0;
  int bits = -2;
  std::size_t out = 0;
  for (const char c : text) {
    const int digit = digit_value(c);
    if (digit < 0) return std::nullopt;
    buffer = (buffer << 5 | static_cast<unsigned>(digit)) & 0xffff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      id.bytes[out++] = static_cast<std::uint8_t>(buffer >> bits & 0xff);
    }
  }
  return id;
}

std::optional<Id> Id::from_key(std::string_view sixteen_bytes) {
  if (sixteen_bytes.size() != 16) return std::nullopt;
  Id id;
  std::memcpy(id.bytes.data(), sixteen_bytes.data(), 16);
  return id;
}

Id IdGenerator::next() {
  const std::int64_t now_ms = clock_.wall_ms();
  const std::lock_guard lock(mutex_);
  if (now_ms > last_.time_ms()) {
    const std::string random = random_bytes(10);
    put_time(last_, now_ms);
    std::memcpy(last_.bytes.data() + 6, random.data(), random.size());
  } else {
    increment(last_);
  }
  return last_;
}

std::string random_bytes(std::size_t n) {
  std::string out(n, '\0');
  std::size_t got = 0;
  while (got < n) {
    const ssize_t r = getrandom(out.data() + got, n - got, 0);
    if (r < 0) std::abort();
    got += static_cast<std::size_t>(r);
  }
  return out;
}

}  // namespace base
