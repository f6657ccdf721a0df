// Dates of RFC 5322 3.3. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace mail {

// "Sat, 31 Jan 2026 12:00:00 +0000"; always UTC.
std::string format_date(std::int64_t wall_ms);

}  // namespace mail
