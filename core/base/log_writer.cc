#include "core/base/log_writer.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>

namespace base {
namespace {

std::atomic<LogWriter*> the_writer{nullptr};

constexpr std::array kFailures = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
std::array<struct sigaction, kFailures.size()> actions_before;

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written <= 0) return;  // a log that cannot be written must not stop the mail
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void restore_actions() {
  for (std::size_t i = 0; i < kFailures.size(); ++i) {
    sigaction(kFailures[i], &actions_before[i], nullptr);
  }
}

}  // namespace

LogWriter::LogWriter(int fd) : fd_(fd) {
  // The program's signals are not for this thread, which starts before anybody waits for them.
  sigset_t all, before;
  sigfillset(&all);
  for (const int number : kFailures) sigdelset(&all, number);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  the_writer = this;
  struct sigaction action {};
  action.sa_handler = on_failure;
  for (std::size_t i = 0; i < kFailures.size(); ++i) {
    sigaction(kFailures[i], &action, &actions_before[i]);
  }
}

LogWriter::~LogWriter() {
  restore_actions();
  the_writer = nullptr;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  flush();
}

void LogWriter::carry(int fd, std::string_view line, bool at_once) {
  LogWriter* const writer = the_writer.load(std::memory_order_acquire);
  writer != nullptr ? writer->add(line, at_once) : write_all(fd, line);
}

void LogWriter::add(std::string_view line, bool at_once) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    gathered_ += line;
    at_once = at_once || gathered_.size() > kGatherOctets;
    wake = !at_once && asleep_;
    if (wake) asleep_ = false;
  }
  if (at_once) flush();
  if (wake) wake_.notify_one();
}

void LogWriter::flush() {
  const std::lock_guard order(writing_);
  {
    const std::lock_guard lock(mutex_);
    out_.swap(gathered_);
  }
  write_all(fd_, out_);
  out_.clear();
}

void LogWriter::run() {
  pthread_setname_np(pthread_self(), "log");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    asleep_ = true;
    wake_.wait(lock, [this] { return stopping_ || !gathered_.empty(); });
    asleep_ = false;
    lock.unlock();
    flush();
    lock.lock();
    wake_.wait_for(lock, std::chrono::milliseconds(kGatherMs), [this] { return stopping_; });
  }
}

// The failure then takes the course it would have taken: a bad access is made again.
void LogWriter::on_failure(int) {
  restore_actions();
  if (LogWriter* const writer = the_writer.load()) writer->last_words();
}

// Others hold a lock for microseconds, a slow reader aside; the thread that failed may hold both.
void LogWriter::last_words() {
  for (int tries = 0; tries < 100 && !writing_.try_lock(); ++tries) usleep(1000);
  for (int tries = 0; tries < 100; ++tries, usleep(1000)) {
    if (!mutex_.try_lock()) continue;
    write_all(fd_, gathered_);
    return;  // with the locks: nothing is written twice
  }
}

}  // namespace base
