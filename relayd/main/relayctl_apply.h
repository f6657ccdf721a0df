// What relayctl reads from disk: apply files, relayd.toml (where the socket is), passwords, tokens.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace relayctl {

// The apply file as the JSON of POST /v1/apply, secrets of `password_file` (relative to the file)
// inside. Throws Failure naming file, line and key.
nlohmann::json read_apply_file(const std::string& path);

// admin.socket of a relayd.toml, absolute.
std::string socket_of_configuration(const std::string& path);

// The file without its final line ends. Throws Failure.
std::string read_secret(const std::string& path);

}  // namespace relayctl
