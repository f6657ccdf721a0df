// The id that every message of a run carries in X-Bench-Id, and the digest of its body that is part
// of it: whoever receives the message can say which one it is and whether its body was changed.
// Format: RUN-NUMBER-DIGEST, 8 hexadecimal digits, 10 decimal ones, 16 hexadecimal ones. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace relaybench {

inline constexpr std::string_view kIdField = "X-Bench-Id";
inline constexpr std::size_t kIdOctets = 36;

// 64 bits over a body that passes in pieces. Finds accidents, not attacks: it must cost less than
// the message does.
class BodyDigest {
 public:
  void update(std::string_view bytes);
  [[nodiscard]] std::uint64_t value() const;

 private:
  void mix(std::uint64_t word);
  std::uint64_t hash_ = 0x243f6a8885a308d3;
  std::uint64_t octets_ = 0;
  char held_[8] = {};  // the beginning of a word, octets_ % 8 of it
};

std::string make_id(std::string_view run, std::uint64_t number, std::uint64_t digest);
bool is_id(std::string_view text);
// The id behind the first X-Bench-Id in header fields, JSON or a form; "" where there is none.
std::string_view find_id(std::string_view text);
// Does the digest of `id` (which is one) say the same?
bool digest_fits(std::string_view id, std::uint64_t digest);

// Finds id and alteration in a message that passes in pieces; keeps at most the header.
class MessageTrace {
 public:
  void feed(std::string_view piece);
  [[nodiscard]] const std::string& id() const { return id_; }  // "" where there is none
  [[nodiscard]] bool altered() const { return !id_.empty() && !digest_fits(id_, digest_.value()); }

 private:
  bool in_header_ = true;
  std::string header_;  // only where it came in pieces
  std::string id_;
  BodyDigest digest_;
};

}  // namespace relaybench
