#include "relaybench/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

namespace relaybench {

Signals::Signals(net::Loop& loop, std::initializer_list<int> which,
                 std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : which) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  fd_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) throw std::runtime_error("cannot watch signals: no descriptor left");
  watch_ = std::make_unique<net::FdWatch>(loop, fd_, [this](bool, bool) {
    signalfd_siginfo info{};
    while (::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      on_signal_(static_cast<int>(info.ssi_signo));
    }
  });
  watch_->want(true, false);
}

Signals::~Signals() {
  watch_.reset();
  ::close(fd_);
}

}  // namespace relaybench
