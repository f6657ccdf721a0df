#include "core/mail/date.h"

#include <array>
#include <ctime>
#include <string_view>

namespace mail {

std::string format_date(std::int64_t wall_ms) {
  // strftime's names depend on the locale; these do not.
  constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                     "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  const auto two = [](int n) {
    return std::string{static_cast<char>('0' + n / 10), static_cast<char>('0' + n % 10)};
  };
  std::string out;
  out.reserve(32);
  out += kDays[static_cast<std::size_t>(utc.tm_wday)];
  out += ", " + two(utc.tm_mday) + ' ';
  out += kMonths[static_cast<std::size_t>(utc.tm_mon)];
  out += ' ' + std::to_string(utc.tm_year + 1900) + ' ';
  out += two(utc.tm_hour) + ':' + two(utc.tm_min) + ':' + two(utc.tm_sec) + " +0000";
  return out;
}

}  // namespace mail
