// Signals as calls on a loop, through a signalfd. Blocked for the whole process from construction
// on, so before any thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "core/net/loop.h"

namespace relaybench {

class Signals {
 public:
  // Also makes the process ignore SIGPIPE. Throws std::runtime_error where the system has no
  // descriptor left.
  Signals(net::Loop& loop, std::initializer_list<int> which, std::function<void(int)> on_signal);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  int fd_;
  std::function<void(int)> on_signal_;
  std::unique_ptr<net::FdWatch> watch_;
};

}  // namespace relaybench
