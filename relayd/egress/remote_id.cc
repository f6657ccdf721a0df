#include "relayd/egress/remote_id.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace egress {
namespace {

constexpr std::size_t kTextMax = 1000;
constexpr std::size_t kIdMax = 128;

// The word at the start, without what closes a sentence or a bracket around it.
std::string_view word(std::string_view text) {
  text = base::trim(text);
  text = text.substr(0, text.find_first_of(" \t\r\n,;)>]"));
  while (!text.empty() && (text.front() == '<' || text.front() == '(' || text.front() == '[')) {
    text.remove_prefix(1);
  }
  while (text.ends_with('.')) text.remove_suffix(1);
  return text;
}

std::string checked(std::string_view id) {
  const bool good = !id.empty() && id.size() <= kIdMax &&
                    std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return good ? std::string(id) : std::string();
}

bool looks_like_id(std::string_view text) {
  return text.size() >= 5 &&
         std::any_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view without_enhanced_code(std::string_view text) {
  text = base::trim(text);
  const std::string_view first = text.substr(0, text.find(' '));
  const bool is_code = first.size() >= 5 && first.starts_with("2.") &&
                       first.find_first_not_of("0123456789.") == std::string_view::npos;
  return is_code ? base::trim(text.substr(first.size())) : text;
}

}  // namespace

std::string remote_queue_id(std::string_view text) {
  text = without_enhanced_code(text.substr(0, kTextMax));
  const std::string lower = base::ascii_lower(text);
  const auto behind = [&](std::string_view mark) -> std::string_view {
    const auto at = lower.find(mark);
    return at == std::string::npos ? std::string_view() : word(text.substr(at + mark.size()));
  };
  for (const std::string_view mark : {"queued as ", "[internalid=", " id=", "queue-id ", " qp "}) {
    if (const std::string id = checked(behind(mark)); !id.empty()) return id;
  }
  if (lower.starts_with("id=")) return checked(word(text.substr(3)));
  // sendmail: the id comes first.
  if (const auto at = lower.find(" message accepted for delivery"); at != std::string::npos) {
    return checked(word(text.substr(0, at)));
  }
  // Gmail: "OK  1700000000 a1b2-c3.4 - gsmtp", the id before the name.
  if (lower.ends_with(" - gsmtp")) {
    const std::string_view rest = base::trim(text.substr(0, text.size() - 8));
    return checked(rest.substr(rest.rfind(' ') + 1));
  }
  // Amazon SES and others: "Ok ID" and nothing else.
  if (lower.starts_with("ok ")) {
    const std::string_view rest = base::trim(text.substr(3));
    if (rest.find(' ') == std::string_view::npos && looks_like_id(rest)) return checked(word(rest));
  }
  return {};
}

}  // namespace egress
