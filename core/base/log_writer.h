// Gathers the lines of the log and writes those of a few milliseconds together, by a thread of its
// own (docs/decisions/0029-log-writer.md). A warning or an error is with the kernel when its call
// returns, and so is everything before it; so is everything when the writer is destroyed, and, as
// far as that can be brought about, when the program fails (abort, a bad access). What kill -9
// takes along is the lines of the last kGatherMs.
//
// At most one; owned by main, outlives all threads that log. Never slower than whoever reads the
// log: past kGatherOctets, who logs does the writing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace base {

class LogWriter {
 public:
  static constexpr std::int64_t kGatherMs = 10;
  static constexpr std::size_t kGatherOctets = 256 * 1024;

  explicit LogWriter(int fd);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // Through the writer that there is, or to `fd` at once. Any thread.
  static void carry(int fd, std::string_view line, bool at_once);

 private:
  void add(std::string_view line, bool at_once);
  void flush();
  void run();
  static void on_failure(int signal);
  void last_words();

  const int fd_;
  std::mutex writing_;  // taken before mutex_: lines leave in the order they came
  std::string out_;     // under writing_
  std::mutex mutex_;
  std::string gathered_;   // under mutex_
  bool asleep_ = false;    // under mutex_: the thread waits for a line
  bool stopping_ = false;  // under mutex_
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace base
