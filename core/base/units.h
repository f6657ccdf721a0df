// Sizes, durations and counts as people write them in configuration files. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace base {

// "512", "64KiB", "50MiB", "2GiB", also KB, MB, GB (powers of 1000), without regard to case;
// octets.
std::optional<std::int64_t> parse_size(std::string_view text);
// "250ms", "30s", "5m", "2h", "5d"; milliseconds. A number alone is none: of what?
std::optional<std::int64_t> parse_duration_ms(std::string_view text);
// "100", "20k", "1M" (powers of 1000).
std::optional<std::int64_t> parse_count(std::string_view text);

// The shortest of these forms: "50MiB", "5m", "1000".
std::string format_size(std::int64_t octets);
std::string format_duration_ms(std::int64_t ms);

}  // namespace base
