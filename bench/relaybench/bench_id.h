// The id that every message of a run carries in X-Bench-Id, and the digest of its body that is part
// of it: whoever receives the message can say which one it is and whether its body was changed.
// Format: RUN-NUMBER-DIGEST, 8 hexadecimal digits, 10 decimal ones, 16 hexadecimal ones. Pure.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace relaybench {

inline constexpr std::string_view kIdField = "X-Bench-Id";
inline constexpr std::size_t kIdOctets = 36;

// 64 bits (XXH3) over a body that passes in pieces. Finds accidents, not attacks: it must cost less
// than the message does.
class BodyDigest {
 public:
  BodyDigest() { XXH3_64bits_reset(&state_); }
  void update(std::string_view bytes) { XXH3_64bits_update(&state_, bytes.data(), bytes.size()); }
  [[nodiscard]] std::uint64_t value() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
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
