// The schema of relayd.toml: every key with its type, default, reason and setter.
#pragma once

#include <toml++/toml.h>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relayd/main/configuration.h"

namespace configuration {

struct Target {
  Configuration& configuration;
  ingress::ListenerOptions* listener;  // inside [[listener]]
  const std::string& directory;        // where relative paths start
};

struct Row {
  std::string key;       // "tls.certificate", "listener.address"
  std::string type;      // for the reference and the messages: "size", "duration", ...
  std::string standard;  // the default as text; "required" where there is none
  std::string why;
  // Sets the value; or says what is expected instead.
  std::function<std::optional<std::string>(Target&, const toml::node&)> set;
};

const std::vector<Row>& schema();

}  // namespace configuration
