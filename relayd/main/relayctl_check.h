// `relayctl check spf|message`: the judgement of relayd for one client or one file, step by step,
// without a running daemon. Asks DNS itself.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace relayctl {

// Adds `check` to `app`; after parsing, `chosen` is set where the user asked for it. `json` is the
// flag of the whole program, read when `chosen` runs; both outlive the parsing. `chosen` throws
// Failure.
void add_check(CLI::App& app, const bool& json, std::function<void()>& chosen);

}  // namespace relayctl
