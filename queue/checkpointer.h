// Writes drafts to the database, one at a time, on a thread of its own: group commits go on
// meanwhile (docs/decisions/0035-checkpoints-beside-the-commits.md).
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "queue/draft.h"
#include "queue/environment.h"

namespace queue {

class Checkpointer {
 public:
  // `on_done` is called by its thread each time a draft is through.
  Checkpointer(const Environment& environment, std::function<void()> on_done);
  ~Checkpointer();

  // Not while one is being written. The draft must stay as it is until the result is taken.
  void start(const Draft& draft);
  // 0 or why not, once for each start(); nullopt: it is still being written.
  std::optional<int> result();
  // Waits for it.
  int wait();

 private:
  void run();
  int write(const Draft& draft);
  int age_free_pages();

  const Environment& environment_;
  const std::function<void()> on_done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  const Draft* draft_ = nullptr;
  std::optional<int> result_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace queue
