#include "relayd/tickets/outcome.h"

#include <curl/curl.h>

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/limits.h"

namespace tickets {

Outcome classify(const Answer& answer) {
  if (answer.status == 0) return answer.connected ? Outcome::kRetry : Outcome::kDown;
  if (answer.status >= 200 && answer.status < 300) return Outcome::kDelivered;
  switch (answer.status) {
    case 401:
    case 403:
    case 404:
    case 410:
      return Outcome::kRefused;
    case 413:
    case 415:
    case 422:
      return Outcome::kHeld;
    case 429:
    case 503:
      return Outcome::kLater;  // too much, or not now: true of every ticket, said or not how long
    default:
      return Outcome::kRetry;
  }
}

std::string last_reply(const Answer& answer) {
  if (answer.status == 0) return base::printable(answer.error, 250);
  std::string out = "HTTP " + std::to_string(answer.status);
  const std::string_view text = base::trim(answer.body_start);
  if (!text.empty()) out += ": " + base::printable(text, 200);
  return out;
}

std::optional<std::int64_t> retry_after_ms(std::string_view value, std::int64_t now_ms) {
  value = base::trim(value);
  if (const auto seconds = base::parse_unsigned(value)) {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(*seconds, base::kDay / 1000)) * 1000;
  }
  if (value.empty() || value.size() > 64) return std::nullopt;
  const time_t moment = curl_getdate(std::string(value).c_str(), nullptr);
  if (moment == -1) {
    // Digits alone that overflow mean "very long".
    const bool number = value.find_first_not_of("0123456789") == std::string_view::npos;
    return number ? std::optional<std::int64_t>(base::kDay) : std::nullopt;
  }
  const std::int64_t wait_ms = static_cast<std::int64_t>(moment) * 1000 - now_ms;
  return std::clamp<std::int64_t>(wait_ms, 0, base::kDay);
}

}  // namespace tickets
