// The committer: one thread that takes everything that waits (bounded by limits.commit_messages and
// limits.commit_octets; it lingers only for what is about to come, Store::expect), finds out what
// that changes in the tables, appends bodies and changes to the journal as one frame, syncs it, and
// then answers. It is the only writer of shared segments.
//
// The changes gather in a draft over many batches. At a checkpoint, some time after the first of
// them (limits.checkpoint_interval) or when somebody wants to read the tables as they are, the
// draft goes to the database, on a thread of its own (queue/checkpointer.h), while the next one
// begins. Until then RecentMessages knows what the database does not (queue/journal.h).
//
// No room: the batch is halved until what fits is in and what does not is answered kFull. Where the
// journal has no room, what brings no bodies is committed to the database at once: that is how a
// full queue is emptied. A failed write, sync or commit for any other reason poisons the store: the
// kernel may have thrown away what it could not write, so syncing again would only seem to help.
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

#include "queue/checkpoints.h"
#include "queue/compaction.h"
#include "queue/content.h"
#include "queue/environment.h"
#include "queue/journal_writer.h"
#include "queue/pressure.h"
#include "queue/recent.h"
#include "queue/recovery.h"
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
    RecentMessages& recent;
    const base::Limits& limits;
    const base::Clock& clock;
    base::Metrics* metrics;
    std::int64_t trail_keep_ms;
  };
  // `unfinished` is what recovery left.
  Committer(Needs needs, Unfinished unfinished, std::uint64_t messages);
  ~Committer();  // finishes everything that was submitted, answers it, ends the thread

  void submit(std::unique_ptr<Work> work);
  void on_waiting(Store::OnWaiting callback);
  std::shared_ptr<void> expect();
  // Everything answered before the call is in the database when it returns; false: it is not,
  // because that has no room or the store has failed. Any thread; waits for the committer where it
  // is another one.
  bool catch_up();
  [[nodiscard]] std::uint64_t message_count() const { return messages_.load(); }

 private:
  using Batch = std::vector<Work*>;
  // The first time, and for want of room without telling the trail.
  enum class Try : std::uint8_t { kFirst, kUntold };
  using Frame = JournalWriter::Frame;
  // How far an attempt to make a batch durable came.
  struct Attempt {
    int code = 0;  // 0: all of it is
    const char* doing = "";
  };

  void take_up(Unfinished unfinished);
  void run();
  using Works = std::vector<std::unique_ptr<Work>>;
  Works take();
  void await_expected(std::unique_lock<std::mutex>& lock);
  void commit(Works& works);
  void refuse_where_full(const Batch& batch);
  [[nodiscard]] bool map_has_room(std::uint64_t octets, Environment::Reserve reserve) const;
  void apply(std::span<Work* const> batch, Try turn);
  Attempt attempt(std::span<Work* const> batch, Try turn);
  Attempt place_bodies(std::span<Work* const> batch, Frame& frame);
  Attempt change_tables(std::span<Work* const> batch, Try turn, Changes& changes);
  Attempt sync_own(const Frame& frame);
  Attempt write_journal(Frame& frame, const Changes& changes);
  Attempt write_database(const Changes& changes);
  void accept(const Changes& changes);
  Failure apply_one(Txn& txn, const Work& work, Changes& changes);
  void keep(const Changes& changes, std::span<Work* const> batch);
  void remember(Work& work);
  void remember(NewMessage& message);
  void remember(const base::Id& id);
  int ensure_journal();
  [[nodiscard]] bool is_longer_than(std::uint64_t part) const;
  void retire_journal();
  void remove_emptied();
  void checkpoint_where_due();
  int begin_checkpoint(bool may_leave);
  int finish_checkpoint(Checkpoints::Done done);
  int checkpoint();
  void answer_caught_up();
  [[nodiscard]] bool is_no_room_after_all(int code) const;
  void forget_old();
  void copy_forward();
  int move(const std::vector<Survivor>& survivors);
  [[nodiscard]] bool may_copy_forward() const;
  void poison(const char* what, int code);
  void probe();

  Needs needs_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Work>> queue_;
  std::size_t hurried_ = 0;                     // of queue_: those that somebody waits for
  std::size_t hurried_enough_ = 1;              // when there are so many, the thread is woken
  Compactor::Clock::time_point patient_until_;  // then the others have waited long enough
  bool stopping_ = false;
  bool is_checkpoint_done_ = false;  // and nobody has looked yet
  Store::OnWaiting on_waiting_;
  std::uint64_t wanted_ = 0, caught_up_ = 0;  // calls of catch_up() that came, that were answered
  bool caught_up_well_ = true;                // what the last answer was
  std::condition_variable caught_up_wake_;
  std::shared_ptr<std::atomic<int>> expected_ = std::make_shared<std::atomic<int>>(0);
  std::atomic<bool> is_behind_ = false;  // the database does not have all that was answered

  // The committer's thread only.
  JournalWriter journal_;
  std::shared_ptr<SegmentFile> next_;  // where the journal will go on; null: not made yet
  bool is_last_ = false;               // nothing comes behind the next checkpoint
  std::vector<Store::Waiting> waiting_;
  std::vector<std::uint64_t> emptied_;  // segments whose files go after the answers
  std::vector<std::uint64_t> retired_;  // not written to any more; may be empty already
  Compactor::Clock::time_point checkpoint_due_;
  std::uint64_t reached_ = 0;  // of wanted_, to be answered once files have gone; and how it went
  bool reached_well_ = true;
  Compactor compactor_;
  std::size_t changes_since_ = 0;  // the pages of the map were let go of
  TrailKeeper trail_;
  const std::uint64_t uncounted_;  // segments up to here are not known to be empty (Unfinished)
  Compactor::Clock::time_point forget_due_;

  std::atomic<std::uint64_t> messages_;
  base::Metric *messages_metric_ = nullptr, *commits_metric_ = nullptr, *changes_metric_ = nullptr,
               *untold_metric_ = nullptr, *checkpoints_metric_ = nullptr;
  // Last: everything else is there when they start.
  Checkpoints checkpoints_;
  std::thread thread_;
};

}  // namespace queue
