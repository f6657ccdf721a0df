// relaybench check: what was sent against what was received.
#pragma once

#include <string>

namespace relaybench {

struct CheckOptions {
  std::string sent, received;  // files of ids
  bool json = false;
  bool list = false;  // every id that is not as it should be, not only the first ten
};

// Files are held in memory. The exit code: 1 where a message is lost or altered, else 0. Throws
// std::runtime_error where a file cannot be read.
int run_check(const CheckOptions& options);

}  // namespace relaybench
