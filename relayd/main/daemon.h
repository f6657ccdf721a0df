// The running program: makes every part, wires them, starts the threads, and takes them down in
// order. Threads: SMTP loops (sessions in), one loop for smarthosts, one for back ends, the
// committer, a crypto thread or two, and the main thread with signals and the admin API.
#pragma once

#include <memory>
#include <string>

#include "relayd/main/configuration.h"

namespace relayd {

class Daemon {
 public:
  // Throws std::runtime_error with a sentence for the operator where it cannot start.
  Daemon(configuration::Configuration configuration, std::string configuration_path);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Serves until SIGTERM or SIGINT. SIGHUP reloads.
  void run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relayd
