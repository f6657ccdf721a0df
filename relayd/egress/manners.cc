#include "relayd/egress/manners.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace egress {
namespace {

bool has_words(std::string_view lower_text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view one) {
    return lower_text.find(one) != std::string_view::npos;
  });
}

}  // namespace

bool blames_account(const smtp::Reply& reply) {
  if (!reply.permanent()) return false;
  return reply.code >= 530 || reply.enhanced.starts_with("5.7.");
}

bool wants_login(const smtp::Reply& reply) { return reply.code == 530; }

bool says_too_many_connections(const smtp::Reply& reply) {
  if (!reply.temporary()) return false;
  if (reply.code == 432 && reply.enhanced == "4.3.2") return true;
  const std::string text = base::ascii_lower(reply.text);
  const bool of_connections =
      has_words(text, {"concurrent connection", "simultaneous connection", "concurrent session",
                       "simultaneous session", "parallel connection", "too many connection",
                       "too many session", "connection limit", "connections limit",
                       "maximum connection", "maximum number of connection", "max connection",
                       "many concurrent", "many simultaneous", "thread limit exceeded"});
  return of_connections &&
         (reply.code == 421 || reply.code == 450 || reply.code == 451 || reply.code == 452 ||
          reply.enhanced.starts_with("4.7.") || reply.enhanced.starts_with("4.3."));
}

bool means_too_many_recipients(const smtp::Reply& reply, bool others) {
  if (reply.code != 552 || !others) return false;
  if (!reply.enhanced.empty()) return reply.enhanced == "5.5.3";
  return has_words(base::ascii_lower(reply.text), {"too many recipients", "too many rcpt"});
}

unsigned ConnectionCap::allowed(unsigned configured, std::int64_t steady_ms) {
  while (cap_ && steady_ms >= raise_at_ms_) {
    ++*cap_;
    raise_at_ms_ += kHoldMs;
    if (*cap_ >= configured) cap_.reset();
  }
  return cap_ ? std::min(*cap_, configured) : configured;
}

void ConnectionCap::lower(unsigned working, std::int64_t steady_ms) {
  cap_ = std::max(working, 1U);
  raise_at_ms_ = steady_ms + kHoldMs;
}

}  // namespace egress
