// Writes drafts to the database, one at a time, on a thread of its own, and makes the segments that
// will be needed next: group commits go on meanwhile
// (docs/decisions/0035-checkpoints-beside-the-commits.md).
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "queue/draft.h"
#include "queue/environment.h"
#include "queue/segment.h"

namespace queue {

class Checkpointer {
 public:
  // `on_done` is called by its thread each time a draft is through.
  Checkpointer(const Environment& environment, SegmentDirectory& segments,
               std::function<void()> on_done);
  ~Checkpointer();

  // Not while one is being written. The draft must stay as it is until the result is taken. With
  // `needs_segment` another segment for the journal is made afterwards.
  void start(const Draft& draft, bool needs_segment);
  // 0 or why not, once for each start(); nullopt: it is still being written.
  std::optional<int> result();
  // Waits for it.
  int wait();
  // After the result: the segment that was made, once; null where none was asked for or there is no
  // room.
  std::shared_ptr<SegmentFile> take_segment();

 private:
  void run();
  int write(const Draft& draft);
  int age_free_pages();

  const Environment& environment_;
  SegmentDirectory& segments_;
  const std::function<void()> on_done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  const Draft* draft_ = nullptr;
  bool needs_segment_ = false;
  std::optional<int> result_;
  std::shared_ptr<SegmentFile> segment_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace queue
