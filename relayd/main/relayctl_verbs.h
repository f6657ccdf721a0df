// The verbs of relayctl: each is a subcommand with its arguments and what it asks of the admin API.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "relayd/main/relayctl_client.h"

namespace relayctl {

struct Context {
  Client& client;
  bool json = false;
};
using Action = std::function<void(Context&)>;

// Adds every verb to `app`; after parsing, `chosen` is what the user asked for. `chosen` outlives
// the parsing.
void add_verbs(CLI::App& app, Action& chosen);

}  // namespace relayctl
