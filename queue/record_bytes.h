// How the queue's records are written and read: numbers, texts, counts. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace queue {

class Writer {
 public:
  explicit Writer(std::size_t expected) { out_.reserve(expected); }
  explicit Writer(std::string onto) : out_(std::move(onto)) {}  // goes on behind it

  void octet(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void fixed(std::uint64_t value, int octets) {
    for (int i = 0; i < octets; ++i) octet(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void number(std::uint64_t value) {  // LEB128
    while (value >= 0x80) {
      octet(static_cast<std::uint8_t>(value | 0x80));
      value >>= 7;
    }
    octet(static_cast<std::uint8_t>(value));
  }
  void signed_number(std::int64_t value) {  // zigzag: small negative numbers stay short
    const auto bits = static_cast<std::uint64_t>(value);
    number(bits << 1 ^ (value < 0 ? ~std::uint64_t{0} : 0));
  }
  void text(std::string_view value) {
    number(value.size());
    out_ += value;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// After the first thing that does not fit, everything reads as zero and done() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::uint8_t octet() {
    if (rest_.empty()) return fail();
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  // An octet that is at least `least` and at most `most`.
  std::uint8_t octet_in(std::uint8_t least, std::uint8_t most) {
    const std::uint8_t value = octet();
    return value < least || value > most ? fail() : value;
  }
  std::uint64_t fixed(int octets) {
    std::uint64_t value = 0;
    for (int i = 0; i < octets; ++i) value |= std::uint64_t{octet()} << (8 * i);
    return value;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t part = octet();
      if (shift == 63 && part > 1) return fail();
      value |= std::uint64_t{part & 0x7fU} << shift;
      if ((part & 0x80) == 0) return value;
    }
    return fail();
  }
  std::uint32_t number32() {
    const std::uint64_t value = number();
    return value > std::numeric_limits<std::uint32_t>::max() ? fail()
                                                             : static_cast<std::uint32_t>(value);
  }
  std::int64_t signed_number() {
    const std::uint64_t bits = number();
    return static_cast<std::int64_t>(bits >> 1 ^ ((bits & 1) != 0 ? ~std::uint64_t{0} : 0));
  }
  std::string_view view() {
    const std::uint64_t size = number();
    if (size > rest_.size()) {
      fail();
      return {};
    }
    const std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }
  std::string text() { return std::string(view()); }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  // A count of things of at least `octets_each`; so a damaged count never reserves memory.
  std::uint64_t count(std::size_t octets_each) {
    const std::uint64_t value = number();
    return value > rest_.size() / octets_each ? fail() : value;
  }
  void refuse() { fail(); }  // what was read makes no sense
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

 private:
  std::uint8_t fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace queue
