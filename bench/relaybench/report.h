// What `send` says: the line a second, the table at the end, JSON. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "relaybench/send.h"
#include "relaybench/tally.h"

namespace relaybench {

std::string progress_line(const Tally& tally, std::uint64_t now_us, std::size_t sessions);
std::string table_report(const SendOptions& options, const Tally& tally);
std::string json_report(const SendOptions& options, const Tally& tally);
// Microseconds as milliseconds, with as many places as are worth reading.
std::string format_ms(std::uint64_t us);

}  // namespace relaybench
