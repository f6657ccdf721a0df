// relaybench http-sink: a back end that swallows tickets, and misbehaves on command. HTTP/1.1, POST
// with a Content-Length, keep-alive; as much of it as a webhook needs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "relaybench/misbehaviour.h"

namespace relaybench {

struct HttpSinkOptions {
  std::string listen = "127.0.0.1:9000";
  std::vector<std::string> secrets;  // "whsec_..."; none: signatures are not looked at
  std::uint64_t requests = 0;        // ends by itself after so many were taken; 0: never
  std::string ids;
  std::vector<std::string> misbehave;
  std::string misbehave_file;  // more of them, read anew on SIGHUP
  bool json = false;
};

// The order of kHttpRules.
enum class HttpRule : std::uint8_t { kStatus, kRetryAfter, kHang, kDrop, kSlow, kRedirect, kHuge };
extern const std::array<MisbehaviourRule, 7> kHttpRules;

// Runs until SIGINT, SIGTERM or the number of requests; SIGUSR1 prints the counts. Throws
// std::runtime_error with a line for the user.
int run_http_sink(const HttpSinkOptions& options);

}  // namespace relaybench
