// The committer: one thread that takes everything that waits (bounded by limits.commit_messages and
// limits.commit_octets, never lingering), appends the bodies to the shared segment, syncs every
// segment touched, changes the tables in one transaction, and then answers. It is the only writer
// of the database and of shared segments.
//
// No room: the batch is halved until what fits is in and what does not is answered kFull. A failed
// write, sync or commit for any other reason poisons the store: the kernel may have thrown away
// what it could not write, so syncing again would only seem to help.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "queue/compaction.h"
#include "queue/content.h"
#include "queue/environment.h"
#include "queue/pressure.h"
#include "queue/segment.h"
#include "queue/store.h"
#include "queue/tables.h"
#include "queue/trail.h"

namespace queue {

// One call of the store, until it is answered.
struct Work {
  struct Refused {};  // failed before it came here; only the answer is owed
  std::variant<Refused, NewMessage, DeliveryUpdate, OperatorOrder> what;
  Store::OnDone on_done;
  Charge charge;
  std::uint64_t octets = 0;  // of bodies, for limits.commit_octets
  Failure answer = Failure::kNone;
  bool answered_early = false;  // `answer` is final before the transaction
};

class Committer {
 public:
  struct Needs {
    Environment& environment;
    std::shared_ptr<SegmentDirectory> segments;
    std::shared_ptr<Pressure> pressure;
    const base::Limits& limits;
    const base::Clock& clock;
    base::Metrics* metrics;
    std::int64_t trail_keep_ms;
  };
  Committer(Needs needs, std::uint64_t messages);
  ~Committer();  // finishes everything that was submitted, answers it, ends the thread

  void submit(std::unique_ptr<Work> work);
  void on_waiting(Store::OnWaiting callback);
  [[nodiscard]] std::uint64_t message_count() const { return messages_.load(); }

 private:
  using Batch = std::vector<Work*>;

  void run();
  using Works = std::vector<std::unique_ptr<Work>>;
  Works take();
  void commit(Works& works);
  void refuse_where_full(const Batch& batch);
  void write_bodies(std::span<Work* const> batch);
  int write_own(NewMessage& message, std::uint32_t prefix_crc);
  int ensure_active();
  void sync_bodies(const Batch& batch);
  void retire_active();
  void remove_emptied();
  void apply(std::span<Work* const> batch, bool with_trail);
  Failure apply_one(Txn& txn, const Work& work, Changes& changes);
  void keep(const Changes& changes, std::span<Work* const> batch);
  void forget_old();
  void copy_forward();
  int move(const std::vector<Survivor>& survivors);
  int commit_moves(const std::vector<Survivor>& survivors, std::uint64_t at, Changes& changes);
  [[nodiscard]] bool may_copy_forward() const;
  [[nodiscard]] std::optional<std::uint64_t> active_number() const;
  void poison(const char* what, int code);
  void probe();

  Needs needs_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Work>> queue_;
  bool stopping_ = false;
  Store::OnWaiting on_waiting_;

  // The committer's thread only.
  std::shared_ptr<SegmentFile> active_;  // the shared segment written to; null until needed
  std::uint64_t active_end_ = 0;
  std::vector<std::shared_ptr<SegmentFile>> touched_;
  std::vector<Store::Waiting> waiting_;
  std::vector<std::uint64_t> emptied_;  // segments whose files go after the answers
  std::vector<std::uint64_t> retired_;  // not written to any more; may be empty already
  Compactor compactor_;
  std::size_t changes_since_ = 0;  // the pages of the map were let go of
  TrailKeeper trail_;

  std::atomic<std::uint64_t> messages_;
  base::Metric *messages_metric_ = nullptr, *commits_metric_ = nullptr, *changes_metric_ = nullptr,
               *untold_metric_ = nullptr;
  std::thread thread_;  // last: everything else is there when it starts
};

}  // namespace queue
