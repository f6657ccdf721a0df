// The verbs of `relayctl queue`: what waits, orders to it, its check, and getting messages out.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "relayd/main/relayctl_verbs.h"

namespace relayctl {

void add_queue_verbs(CLI::App& app, Action& chosen);

// `queue salvage`, which needs no running relayd; after add_queue_verbs. `json` and `chosen`
// outlive the parsing.
void add_salvage(CLI::App& app, const bool& json, std::function<void()>& chosen);

}  // namespace relayctl
