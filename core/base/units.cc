#include "core/base/units.h"

#include <array>

#include "core/base/bytes.h"
#include "core/base/limits.h"

namespace base {
namespace {

struct Suffix {
  std::string_view text;
  std::int64_t factor;
};
constexpr std::array<Suffix, 8> kSizes = {{{"", 1},
                                           {"B", 1},
                                           {"KiB", kKiB},
                                           {"MiB", kMiB},
                                           {"GiB", kGiB},
                                           {"KB", 1000},
                                           {"MB", 1'000'000},
                                           {"GB", 1'000'000'000}}};
constexpr std::array<Suffix, 5> kDurations = {
    {{"ms", 1}, {"s", kSecond}, {"m", kMinute}, {"h", kHour}, {"d", kDay}}};
constexpr std::array<Suffix, 3> kCounts = {{{"", 1}, {"k", 1000}, {"M", 1'000'000}}};

template <std::size_t N>
std::optional<std::int64_t> parse(std::string_view text, const std::array<Suffix, N>& suffixes,
                                  bool any_case) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_unsigned(text.substr(0, digits));
  if (!number) return std::nullopt;
  std::string_view unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const Suffix& suffix : suffixes) {
    if (any_case ? !iequals(unit, suffix.text) : unit != suffix.text) continue;
    if (*number > static_cast<std::uint64_t>(INT64_MAX / suffix.factor)) return std::nullopt;
    return static_cast<std::int64_t>(*number) * suffix.factor;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_size(std::string_view text) { return parse(text, kSizes, true); }

std::optional<std::int64_t> parse_duration_ms(std::string_view text) {
  return parse(text, kDurations, false);
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  return parse(text, kCounts, false);
}

std::string format_size(std::int64_t octets) {
  for (const Suffix& suffix : {kSizes[4], kSizes[3], kSizes[2]}) {
    if (octets >= suffix.factor && octets % suffix.factor == 0) {
      return std::to_string(octets / suffix.factor) + std::string(suffix.text);
    }
  }
  return std::to_string(octets);
}

std::string format_duration_ms(std::int64_t ms) {
  for (const Suffix& suffix : {kDurations[4], kDurations[3], kDurations[2], kDurations[1]}) {
    if (ms >= suffix.factor && ms % suffix.factor == 0) {
      return std::to_string(ms / suffix.factor) + std::string(suffix.text);
    }
  }
  return std::to_string(ms) + "ms";
}

}  // namespace base
