// `relayctl trail` and `relayctl explain`: where a message has been, and what it waits for.
#pragma once

#include <CLI/CLI.hpp>

#include "relayd/main/relayctl_verbs.h"

namespace relayctl {

void add_trail_verbs(CLI::App& app, Action& chosen);

}  // namespace relayctl
