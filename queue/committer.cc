#include "queue/committer.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/log.h"
#include "queue/change_log.h"
#include "queue/journal.h"

namespace queue {
namespace {

constexpr auto kProbeInterval = std::chrono::milliseconds(250);
// How long an outcome may wait for something to go along with, and how many may.
constexpr auto kPatience = std::chrono::milliseconds(2);
constexpr std::size_t kPatientMax = 64;
// How long what somebody waits for may wait for what is expected, and for how much of it.
constexpr auto kExpectedSoon = std::chrono::microseconds(1500);
constexpr std::size_t kExpectedMax = 5;
// Pages that a batch may cost beside those of its records: the paths of the trees it touches.
constexpr std::uint64_t kPagesOfTrees = 32;
// Changes all over a large database map it bit by bit; between two times of letting go of that.
constexpr std::size_t kChangesOfPages = 500;
constexpr std::uint64_t kOctetsOfMessage = 16 * base::kKiB;
// Of old trails, so many go with each change, so that what is forgotten keeps pace with what comes
// in; and so many at once while nothing comes in.
constexpr std::size_t kForgottenPerChange = 4;
constexpr std::size_t kForgottenIdle = 500;
constexpr auto kForgettingPause = std::chrono::milliseconds(100);
// A checkpoint comes before its time where so much waits for it, and commits wait for one that
// runs where it is twice as much.
constexpr std::uint64_t kDraftOctets = 16 * base::kMiB;
constexpr std::uint64_t kRecentOctets = 32 * base::kMiB;
// Of what a checkpoint has brought into the database so many are let go of between two commits, at
// least.
constexpr std::size_t kRecentPerRound = 128;
constexpr std::size_t kAllRecent = std::numeric_limits<std::size_t>::max();

// Everybody waits for this thread, and it is soon done: who asks for short slices gets them soon
// (docs/decisions/0038-short-slices-for-the-committer.md).
void ask_for_short_slices() {
  struct SchedAttr {  // sched_setattr(2), which the C library does not know yet
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  };
  constexpr std::uint64_t kSliceNs = 100'000;    // the shortest there is
  constexpr std::uint64_t kKeepPolicy = 1 << 3;  // SCHED_FLAG_KEEP_POLICY (linux/sched.h)
  SchedAttr wish{};
  wish.size = sizeof wish;
  wish.flags = kKeepPolicy;
  wish.nice = getpriority(PRIO_PROCESS, 0);  // of this thread, and it stays as it is
  wish.runtime = kSliceNs;
  (void)syscall(SYS_sched_setattr, 0, &wish, 0);
}

std::span<NewMessage> messages_of(Work& work) {
  if (auto* message = std::get_if<NewMessage>(&work.what)) return {message, 1};
  if (auto* update = std::get_if<DeliveryUpdate>(&work.what)) return update->also;
  return {};
}

// Nobody waits for the answer: it goes along with what somebody waits for, or a moment later.
bool may_wait(const Work& work) {
  const auto* update = std::get_if<DeliveryUpdate>(&work.what);
  return update != nullptr && update->finished && update->also.empty();
}

StoredContent* content_of(const NewMessage& message) {
  // Only Store::begin_content makes contents; see store.h.
  return static_cast<StoredContent*>(message.content.get());
}

// How much of the database a message may take, generously.
std::uint64_t octets_of(const NewMessage& message) {
  const Message& m = message.message;
  return kOctetsOfMessage + 2 * (m.judgement.size() + m.details.size()) +
         256 * m.envelope.recipients.size();
}

std::span<Work* const> half(std::span<Work* const> batch, bool second) {
  const std::size_t middle = batch.size() / 2;
  return second ? batch.subspan(middle) : batch.first(middle);
}

}  // namespace

Committer::Committer(Needs needs, Unfinished unfinished, std::uint64_t messages)
    : needs_(std::move(needs)),
      journal_(*needs_.segments, needs_.environment.uuid()),
      compactor_(needs_.environment, *needs_.segments, needs_.limits),
      trail_(needs_.environment, needs_.trail_keep_ms),
      uncounted_(unfinished.uncounted),
      messages_(messages),
      checkpoints_(needs_.environment, *needs_.segments, [this] {
        const std::lock_guard lock(mutex_);
        is_checkpoint_done_ = true;
        wake_.notify_one();
      }) {
  if (base::Metrics* metrics = needs_.metrics) {
    messages_metric_ = &metrics->gauge("relayd_queue_messages", "Messages in the queue");
    messages_metric_->set(static_cast<std::int64_t>(messages));
    commits_metric_ = &metrics->counter("relayd_queue_commits_total", "Group commits");
    changes_metric_ =
        &metrics->counter("relayd_queue_changes_total", "Submissions and updates committed");
    untold_metric_ = &metrics->counter("relayd_queue_untold_total",
                                       "Changes left out of the trail for want of room");
    checkpoints_metric_ =
        &metrics->counter("relayd_queue_checkpoints_total", "Commits of the queue's database");
  }
  if (unfinished.file) take_up(std::move(unfinished));
  thread_ = std::thread([this] { run(); });
}

// What a start had no room for stays in the journal, which goes on behind it.
void Committer::take_up(Unfinished unfinished) {
  journal_.take_up(std::move(unfinished.file), unfinished.end);
  checkpoints_.take_up(std::move(unfinished.draft));
  is_behind_ = true;
  needs_.pressure->set_full("the queue's database has no room for what is in its journal");
  for (const base::Id& id : ids_in(checkpoints_.draft())) remember(id);
}

Committer::~Committer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Committer::submit(std::unique_ptr<Work> work) {
  const bool is_patient = may_wait(*work);
  bool wakes = false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty()) patient_until_ = Compactor::Clock::now() + kPatience;
    wakes = is_patient ? queue_.empty() || queue_.size() + 1 == kPatientMax
                       : hurried_ + 1 == hurried_enough_;
    hurried_ += is_patient ? 0 : 1;
    queue_.push_back(std::move(work));
  }
  if (wakes) wake_.notify_one();
}

void Committer::on_waiting(Store::OnWaiting callback) {
  const std::lock_guard lock(mutex_);
  on_waiting_ = std::move(callback);
}

std::shared_ptr<void> Committer::expect() {
  expected_->fetch_add(1, std::memory_order_relaxed);
  return {nullptr,
          [expected = expected_](void*) { expected->fetch_sub(1, std::memory_order_relaxed); }};
}

bool Committer::catch_up() {
  if (!is_behind_.load(std::memory_order_acquire)) return true;
  if (std::this_thread::get_id() == thread_.get_id()) return checkpoint() == 0;
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = ++wanted_;
  wake_.notify_one();
  caught_up_wake_.wait(lock, [&] { return caught_up_ >= mine; });
  return caught_up_well_;
}

void Committer::run() {
  pthread_setname_np(pthread_self(), "commit");
  ask_for_short_slices();
  for (;;) {
    Works works = take();
    if (works.empty()) {
      std::unique_lock lock(mutex_);
      if (stopping_ && queue_.empty()) {
        lock.unlock();
        is_last_ = true;
        if (is_behind_ || journal_.number()) (void)checkpoint();
        if (next_) needs_.segments->retire(std::exchange(next_, nullptr)->number());
        remove_emptied();
        lock.lock();
        reached_ = wanted_;
        reached_well_ = !is_behind_;
        lock.unlock();
        answer_caught_up();
        return;
      }
    }
    const std::size_t count = works.size();
    const bool is_idle = count == 0;
    if (!is_idle) commit(works);
    checkpoint_where_due();
    // More than comes in, and all of it where it has become much.
    const bool is_much = needs_.recent.uncommitted_octets() >= kRecentOctets;
    needs_.recent.let_go(is_idle || is_much ? kAllRecent : std::max(kRecentPerRound, 4 * count));
    answer_caught_up();
    if (is_idle || needs_.pressure->is_full()) forget_old();
    if (needs_.pressure->is_full()) probe();
    if (may_copy_forward() && Compactor::Clock::now() >= *compactor_.due()) copy_forward();
  }
}

// Everything that waits, within the bounds; empty when there is nothing to do but to look after
// the rest (stopping, or time to probe for room).
Committer::Works Committer::take() {
  std::unique_lock lock(mutex_);
  const auto ready = [this] {
    return stopping_ || hurried_ > 0 || queue_.size() >= kPatientMax || is_checkpoint_done_ ||
           (!checkpoints_.is_running() && caught_up_ < wanted_);
  };
  // Contents find the disk full in their sessions' threads: look now and then.
  auto until = Compactor::Clock::now() + kProbeInterval * (needs_.pressure->is_full() ? 1 : 4);
  if (may_copy_forward()) until = std::min(until, *compactor_.due());
  if (is_behind_ && !checkpoints_.is_running() && !needs_.pressure->is_poisoned()) {
    until = std::min(until, checkpoint_due_);
  }
  while (!ready()) {
    const auto now = Compactor::Clock::now();
    const auto end = queue_.empty() ? until : std::min(until, patient_until_);
    if (now >= end) break;
    wake_.wait_until(lock, end);
  }
  is_checkpoint_done_ = false;
  await_expected(lock);
  Works works;
  std::uint64_t octets = 0;
  const auto count_max = static_cast<std::size_t>(needs_.limits.commit_messages);
  const auto octets_max = static_cast<std::uint64_t>(needs_.limits.commit_octets);
  while (!queue_.empty() && works.size() < count_max) {
    octets += queue_.front()->octets;
    if (octets > octets_max && !works.empty()) break;
    hurried_ -= may_wait(*queue_.front()) ? 0 : 1;
    works.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return works;
}

void Committer::await_expected(std::unique_lock<std::mutex>& lock) {
  const auto expected = static_cast<std::size_t>(expected_->load(std::memory_order_relaxed));
  if (hurried_ == 0 || expected == 0) return;
  hurried_enough_ = std::min(hurried_ + expected, kExpectedMax);
  wake_.wait_until(lock, Compactor::Clock::now() + kExpectedSoon,
                   [this] { return hurried_ >= hurried_enough_ || stopping_; });
  hurried_enough_ = 1;
}

void Committer::commit(Works& works) {
  Batch batch;
  for (const std::unique_ptr<Work>& work : works) {
    if (!work->answered_early) batch.push_back(work.get());
  }
  if (needs_.pressure->is_poisoned()) {
    for (Work* work : batch) work->answer = Failure::kFailed;
  } else {
    refuse_where_full(batch);
    std::erase_if(batch, [](const Work* work) { return work->answer != Failure::kNone; });
    apply(batch, Try::kFirst);
  }
  for (const std::unique_ptr<Work>& work : works) {
    if (work->on_done) work->on_done(work->answer);
  }
  changes_since_ += works.size();
  works.clear();  // contents and charges of what was answered
  if (changes_since_ >= kChangesOfPages) {
    needs_.environment.let_go_of_pages();
    changes_since_ = 0;
  }

  Store::OnWaiting tell;
  {
    const std::lock_guard lock(mutex_);
    tell = on_waiting_;
  }
  for (const Store::Waiting& waiting : waiting_) {
    if (tell) tell(waiting);
  }
  waiting_.clear();
}

void Committer::remove_emptied() {
  if (!retired_.empty()) {
    const Txn txn(needs_.environment, Txn::Mode::kRead);
    for (const std::uint64_t number : retired_) {
      const auto record = txn.get(Table::kSegment, segment_key(number));
      const auto use = record ? decode_segment(*record) : SegmentUse{};
      if (txn.error() == 0 && use && use->messages <= 0) emptied_.push_back(number);
    }
    retired_.clear();
  }
  std::sort(emptied_.begin(), emptied_.end());
  emptied_.erase(std::unique(emptied_.begin(), emptied_.end()), emptied_.end());
  for (const std::uint64_t number : emptied_) {
    if (number > uncounted_) needs_.segments->retire(number);
  }
  emptied_.clear();
}

// So that the segment can go when it is empty, which shows only when the database has what was just
// written.
void Committer::retire_journal() {
  if (!journal_.number() || checkpoint() != 0) return;  // else it goes on being the journal
  if (!journal_.number()) return;                       // it went with the checkpoint
  retired_.push_back(*journal_.number());
  journal_.leave();
}

// New messages stay away from the reserves of map and disk; bounces may use half of the map's and
// all of the disk's; what only records or removes is never refused beforehand.
void Committer::refuse_where_full(const Batch& batch) {
  std::uint64_t taken[2] = {};  // by new messages, by bounces
  std::uint64_t octets = 0;
  const auto is_new = [](const Work* w) { return std::holds_alternative<NewMessage>(w->what); };
  for (Work* work : batch) {
    for (const NewMessage& message : messages_of(*work)) {
      taken[is_new(work) ? 0 : 1] += octets_of(message);
    }
    if (is_new(work)) octets += work->octets;
  }
  // What waits goes into the map in one piece, updates too: it must not become more than fits.
  if (is_behind_ && !needs_.environment.has_room(
                        kPagesOfTrees + checkpoints_.map_octets() / needs_.environment.page_size(),
                        Environment::Reserve::kHalf)) {
    (void)checkpoint();
  }
  // What is known of the map's room is of the last checkpoint.
  if (is_behind_ && !map_has_room(taken[0] + taken[1], Environment::Reserve::kAll)) {
    (void)checkpoint();
  }
  const bool disk_full = taken[0] > 0 && !needs_.segments->has_room(octets);
  const bool refuse_new =
      disk_full || !map_has_room(taken[0] + taken[1], Environment::Reserve::kAll);
  const bool refuse_bounces = !map_has_room(taken[1], Environment::Reserve::kHalf);
  if (!(refuse_new && taken[0] > 0) && !refuse_bounces) return;
  needs_.pressure->set_full(disk_full ? "the disk of the queue is full"
                                      : "the queue's database has reached limits.queue_map_size");
  if (disk_full) retire_journal();
  for (Work* work : batch) {
    if (is_new(work) ? refuse_new : refuse_bounces && !messages_of(*work).empty()) {
      work->answer = Failure::kFull;
    }
  }
}

bool Committer::map_has_room(std::uint64_t octets, Environment::Reserve reserve) const {
  const std::uint64_t pages = (octets + checkpoints_.map_octets()) / needs_.environment.page_size();
  return octets == 0 || needs_.environment.has_room(kPagesOfTrees + pages, reserve);
}

// The segment that is written to is longer than one in so many of limits.segment_size.
bool Committer::is_longer_than(std::uint64_t part) const {
  return journal_.number() &&
         journal_.end() > static_cast<std::uint64_t>(needs_.limits.segment_size) / part;
}

// The journal goes on in another segment where its last frame in this one says so (write_journal),
// or, where there is no other one yet or no last frame, the database.
int Committer::ensure_journal() {
  if (journal_.number() && !journal_.is_doubtful() && (next_ || !is_longer_than(1))) return 0;
  // What runs may bring the next segment. One that is made here would be newer than that, and the
  // journal goes from older to newer ones only.
  if (checkpoints_.is_running()) (void)finish_checkpoint(checkpoints_.wait());
  if (needs_.pressure->is_poisoned()) return EIO;
  int made = 0;
  auto file =
      next_ ? std::exchange(next_, nullptr) : JournalWriter::prepare(*needs_.segments, made);
  if (!file) return made;
  JournalWriter::Before before = journal_.go_on(std::move(file));
  if (const int code = checkpoint()) {
    journal_.go_back(std::move(before));
    return code;
  }
  if (before.file) retired_.push_back(before.file->number());
  return 0;
}

// The trail is written with what it tells of, or not at all: where there is no room for both, the
// change goes without it.
void Committer::apply(std::span<Work* const> batch, Try turn) {
  if (batch.empty()) return;
  const auto [code, doing] = attempt(batch, turn);
  if (code == 0) return;
  checkpoints_.look_anew();  // what has failed once fails for good
  const auto answer = [](std::span<Work* const> works, Failure failure) {
    for (Work* work : works) work->answer = failure;
  };
  if (is_no_descriptor(code)) {
    Batch with_bodies;
    Batch others;
    for (Work* work : batch) (messages_of(*work).empty() ? others : with_bodies).push_back(work);
    answer(with_bodies.empty() ? batch : with_bodies, Failure::kBusy);
    if (!with_bodies.empty()) apply(others, turn);  // no file is needed for those
    return;
  }
  if (needs_.pressure->is_poisoned()) return answer(batch, Failure::kFailed);
  if (!is_no_room_after_all(code)) {
    poison(doing, code);
    return answer(batch, Failure::kFailed);
  }
  if (turn == Try::kFirst) return apply(batch, Try::kUntold);
  if (batch.size() > 1) {
    apply(half(batch, false), turn);
    apply(half(batch, true), turn);
    return;
  }
  needs_.pressure->set_full(std::string(doing) + " failed: " + mdb_strerror(code));
  answer(batch, Failure::kFull);
}

// LMDB says EIO for a short write, which is what a disk does that has just become full. Nothing
// depends on it: the pages belong to this transaction alone, and it is rolled back.
bool Committer::is_no_room_after_all(int code) const {
  return is_no_room(code) || (code == EIO && needs_.segments->is_out_of_room());
}

Committer::Attempt Committer::attempt(std::span<Work* const> batch, Try turn) {
  Frame frame;
  Attempt done = place_bodies(batch, frame);
  if (done.code == 0) done = sync_own(frame);
  if (done.code != 0) return done;
  bool has_journal = journal_.number() && !journal_.is_doubtful();
  for (;;) {
    if (!has_journal && checkpoints_.is_running()) (void)finish_checkpoint(checkpoints_.wait());
    Changes changes;
    done = change_tables(batch, turn, changes);
    if (done.code == 0) {
      done = has_journal ? write_journal(frame, changes) : write_database(changes);
    }
    if (done.code == 0) {
      keep(changes, batch);
      break;
    }
    checkpoints_.draft().take_back();
    is_behind_ = !checkpoints_.is_clear();
    if (checkpoints_.is_clear()) checkpoints_.take_up(std::make_unique<Draft>());  // its memory
    if (!has_journal || !is_no_room(done.code) || !frame.bodies.empty()) return done;
    has_journal = false;
  }
  if (turn == Try::kUntold && needs_.trail_keep_ms > 0 && untold_metric_ != nullptr) {
    untold_metric_->add(static_cast<std::int64_t>(batch.size()));
  }
  return {};
}

// Bodies that are in memory get their place in the frame; of those in own segments the prefix is
// written behind them.
Committer::Attempt Committer::place_bodies(std::span<Work* const> batch, Frame& frame) {
  constexpr const char* kWriting = "writing a segment file";
  bool is_ready = false;
  for (Work* work : batch) {
    for (NewMessage& message : messages_of(*work)) {
      const StoredContent* content = content_of(message);
      const std::uint32_t prefix_crc = checksum(0, message.prefix);
      const bool is_own = content != nullptr && content->file();
      BodyRef& body = message.message.body;
      body.prefix_size = message.prefix.size();
      body.content_size = content == nullptr ? 0 : content->size();
      body.checksum = content == nullptr
                          ? prefix_crc
                          : checksum_join(prefix_crc, content->crc(), body.content_size);
      if (!std::exchange(is_ready, true)) {
        if (const int code = ensure_journal()) return {code, kWriting};
      }
      if (is_own) {
        body.segment = content->file()->number();
        body.content_offset = kSegmentHeader;
        body.prefix_offset = kSegmentHeader + body.content_size;
        const int code =
            message.prefix.empty() ? 0 : content->file()->write(body.prefix_offset, message.prefix);
        if (code != 0) return {code, kWriting};
        frame.own.push_back(content->file());
        continue;
      }
      body.segment = *journal_.number();
      body.prefix_offset = journal_.bodies_begin() + frame.bodies_size;
      frame.add(message.prefix);
      body.content_offset = journal_.bodies_begin() + frame.bodies_size;
      if (content != nullptr) frame.add(content->memory());
      frame.bodies_crc = checksum_join(frame.bodies_crc, body.checksum, body.size());
    }
  }
  return {};
}

Committer::Attempt Committer::change_tables(std::span<Work* const> batch, Try turn,
                                            Changes& changes) {
  checkpoints_.draft().begin();
  Txn& txn = checkpoints_.look();
  const std::int64_t now_ms = needs_.clock.wall_ms();
  TrailWriter trail(txn, trail_.bucket(), now_ms);
  if (turn != Try::kUntold && trail_.may_write(txn)) changes.trail = &trail;
  // Forgetting writes pages too: what is tried again for want of room goes without.
  if (turn == Try::kFirst && trail_.is_due(now_ms)) {
    trail_.forget(txn, now_ms, kForgottenPerChange * batch.size());
  }
  for (Work* work : batch) {
    work->answer = apply_one(txn, *work, changes);
    if (txn.error() != 0) break;
  }
  changes.trail = nullptr;
  return {txn.error(), "reading the queue's database"};
}

Committer::Attempt Committer::sync_own(const Frame& frame) {
  int code = 0;
  for (const std::shared_ptr<SegmentFile>& file : frame.own) {
    if (code == 0) code = file->sync();
  }
  if (code == 0 && !frame.own.empty()) code = needs_.segments->sync_names();
  return {code, "syncing a segment file"};
}

Committer::Attempt Committer::write_journal(Frame& frame, const Changes& changes) {
  const std::string& log = checkpoints_.draft().log();
  if (log.empty() && frame.empty()) return {};  // nothing has changed
  const bool is_last = next_ && is_longer_than(1);
  if (is_last) put_journal_place(checkpoints_.look(), {next_->number(), kSegmentHeader});
  const int code = journal_.append(frame, log);
  if (code != 0) return {code, "writing the journal"};
  accept(changes);
  if (is_last) {
    checkpoints_.leave(*journal_.number());
    journal_.go_on_in(std::exchange(next_, nullptr));
  }
  return {};
}

// What has changed goes to the database at once, with all that waits for it.
Committer::Attempt Committer::write_database(const Changes& changes) {
  if (checkpoints_.draft().log().empty()) return {};
  Changes before = checkpoints_.accepted();
  accept(changes);
  const int code = checkpoint();
  if (code != 0) checkpoints_.restore(std::move(before));
  return {code, "committing to the queue's database"};
}

// What a batch did is durable, or will be with the checkpoint that follows.
void Committer::accept(const Changes& changes) {
  checkpoints_.accept(changes);
  if (is_behind_.exchange(true)) return;
  checkpoint_due_ =
      Compactor::Clock::now() + std::chrono::milliseconds(needs_.limits.checkpoint_interval);
}

Failure Committer::apply_one(Txn& txn, const Work& work, Changes& changes) {
  if (needs_.pressure->is_poisoned()) return Failure::kFailed;
  if (const auto* message = std::get_if<NewMessage>(&work.what)) {
    return insert_message(txn, *message, changes);
  }
  if (const auto* update = std::get_if<DeliveryUpdate>(&work.what)) {
    return update_delivery(txn, *update, changes);
  }
  return obey(txn, std::get<OperatorOrder>(work.what), needs_.clock.wall_ms(), changes);
}

void Committer::keep(const Changes& changes, std::span<Work* const> batch) {
  for (Work* work : batch) {
    if (work->answer != Failure::kNone) continue;
    for (NewMessage& message : messages_of(*work)) {
      if (StoredContent* content = content_of(message)) content->keep();
      checkpoints_.add_map_octets(octets_of(message));
    }
    checkpoints_.add_map_octets(kOctetsOfMessage);
    remember(*work);
  }
  waiting_.insert(waiting_.end(), changes.waiting.begin(), changes.waiting.end());
  const std::uint64_t now = messages_.fetch_add(static_cast<std::uint64_t>(changes.messages)) +
                            static_cast<std::uint64_t>(changes.messages);
  if (messages_metric_ == nullptr) return;
  messages_metric_->set(static_cast<std::int64_t>(now));
  commits_metric_->add();
  changes_metric_->add(static_cast<std::int64_t>(batch.size()));
}

// What the database does not say yet.
void Committer::remember(Work& work) {
  for (NewMessage& message : messages_of(work)) remember(message);
  if (const auto* update = std::get_if<DeliveryUpdate>(&work.what)) remember(update->id);
  if (const auto* order = std::get_if<OperatorOrder>(&work.what)) remember(order->id);
}

void Committer::remember(NewMessage& message) {
  RecentMessages::Entry entry;
  StoredContent* content = content_of(message);
  entry.has_bytes = content == nullptr || !content->file();
  if (entry.has_bytes) {
    entry.prefix = std::move(message.prefix);
    if (content != nullptr) entry.content = content->take_memory();
  }
  entry.deliveries = std::move(message.deliveries);
  for (std::uint32_t index = 0; Delivery & delivery : entry.deliveries) {
    delivery.id = message.message.id;
    delivery.index = index++;
    delivery.last_reply.resize(std::min(delivery.last_reply.size(), kReplyMax));
  }
  entry.message = std::move(message.message);
  needs_.recent.put(std::move(entry));
}

void Committer::remember(const base::Id& id) {
  if (!is_behind_) return needs_.recent.forget(id);  // it was committed at once
  RecentMessages::Entry entry;
  const Txn& txn = checkpoints_.look();
  if (auto message = find_message(txn, id)) {
    entry.message = *std::move(message);
    entry.deliveries = find_deliveries(txn, id);
  } else {
    if (txn.error() != 0) return;
    entry.message.id = id;
    entry.is_gone = true;
  }
  needs_.recent.put(std::move(entry));
}

void Committer::checkpoint_where_due() {
  auto done = checkpoints_.is_running() ? checkpoints_.result() : std::nullopt;
  const auto is_much = [this](std::uint64_t times) {
    return checkpoints_.octets() >= times * kDraftOctets ||
           needs_.recent.uncommitted_octets() >= times * kRecentOctets;
  };
  if (checkpoints_.is_running() && is_much(2)) done = checkpoints_.wait();
  if (done && finish_checkpoint(*std::move(done)) == MDB_MAP_FULL) (void)checkpoint();
  std::uint64_t wanted = 0;
  {
    const std::lock_guard lock(mutex_);
    wanted = wanted_;
  }
  const bool is_wanted = wanted > reached_;
  const bool is_due = Compactor::Clock::now() >= checkpoint_due_ || is_wanted ||
                      (is_much(1) && !needs_.pressure->is_full());
  if (is_behind_ && !checkpoints_.is_running() && is_due && !needs_.pressure->is_poisoned()) {
    const bool is_spent = is_longer_than(2) && checkpoints_.messages_in(*journal_.number()) <= 0;
    (void)(is_spent ? checkpoint() : begin_checkpoint(false));
  }
  if (!checkpoints_.is_running() && reached_ < wanted) {
    reached_ = wanted;
    reached_well_ = !is_behind_;
  }
  remove_emptied();
}

void Committer::answer_caught_up() {
  if (reached_ == caught_up_) return;
  const std::lock_guard lock(mutex_);
  caught_up_ = reached_;
  caught_up_well_ = reached_well_;
  caught_up_wake_.notify_all();
}

// Everything that is durable is on its way to the database. With `may_leave` the journal may go on
// in another segment: nothing may be written before the end. 0, or why not.
int Committer::begin_checkpoint(bool may_leave) {
  checkpoint_due_ =
      Compactor::Clock::now() + std::chrono::milliseconds(needs_.limits.checkpoint_interval);
  Checkpoints::Start start;
  start.active = journal_.number();
  start.drop_active = may_leave && is_longer_than(2);
  start.needs_segment = !may_leave && !next_ && is_longer_than(4);
  start.recent = needs_.recent.mark();
  // Behind the end of a doubtful segment may lie a frame that was not answered and could not be
  // cut; and a queue that was closed has no need to look.
  constexpr std::uint64_t kNoMore = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t end = journal_.is_doubtful() || is_last_ ? kNoMore : journal_.end();
  if (start.active) start.place = JournalPlace{*start.active, end};
  {
    const std::lock_guard lock(mutex_);
    start.wanted = wanted_;
  }
  const int code = checkpoints_.begin(start);
  if (code == 0) return 0;
  checkpoints_.look_anew();
  poison("reading the queue's database", code);
  return code;
}

// It is in the database, or stays in the journal and is tried again, unless the store has failed.
int Committer::finish_checkpoint(Checkpoints::Done done) {
  if (done.segment) next_ = std::move(done.segment);
  reached_ = done.wanted;
  reached_well_ = done.code == 0;
  if (done.code == 0) {
    compactor_.note(done.changes);
    for (const std::uint64_t emptied : done.changes.emptied) {
      emptied_.push_back(emptied);
      if (journal_.number() == emptied) journal_.leave();
    }
    retired_.insert(retired_.end(), done.left.begin(), done.left.end());
    needs_.recent.committed(done.recent);
    is_behind_.store(!checkpoints_.is_clear(), std::memory_order_release);
    if (checkpoints_metric_ != nullptr) checkpoints_metric_->add();
    return 0;
  }
  if (!is_no_room_after_all(done.code)) {
    poison("committing to the queue's database", done.code);
    return done.code;
  }
  needs_.pressure->set_full(std::string("the queue's database has no room: ") +
                            mdb_strerror(done.code));
  const std::size_t untold = checkpoints_.draft().forget_puts(Table::kTrail);
  checkpoints_.draft().forget_puts(Table::kTerm);
  if (untold_metric_ != nullptr) untold_metric_->add(static_cast<std::int64_t>(untold));
  return done.code;
}

// All that is durable is in the database when it returns 0; commits wait.
int Committer::checkpoint() {
  if (checkpoints_.is_running()) (void)finish_checkpoint(checkpoints_.wait());
  if (needs_.pressure->is_poisoned()) return EIO;
  if (const int code = begin_checkpoint(true)) return code;
  checkpoints_.look_anew();
  return finish_checkpoint(checkpoints_.wait());
}

void Committer::forget_old() {
  const std::int64_t now_ms = needs_.clock.wall_ms();
  if (needs_.pressure->is_poisoned() || !trail_.is_due(now_ms)) return;
  if (Compactor::Clock::now() < forget_due_) return;
  forget_due_ = Compactor::Clock::now() + kForgettingPause;
  // Nobody waits for it and nothing is lost with it: it is not in the journal.
  checkpoints_.draft().begin();
  Txn& txn = checkpoints_.look();
  const bool has_changed = trail_.forget(txn, now_ms, kForgottenIdle);
  if (txn.error() != 0) {
    checkpoints_.draft().take_back();
    return checkpoints_.look_anew();
  }
  if (!has_changed) return;
  accept({});
  if (!checkpoints_.is_running()) (void)begin_checkpoint(false);
}

bool Committer::may_copy_forward() const {
  return compactor_.due() && !needs_.pressure->is_poisoned();
}

void Committer::copy_forward() {
  const std::vector<Survivor> survivors = compactor_.next(journal_.number());
  if (!survivors.empty()) {
    const int code = move(survivors);
    if (code != 0) {
      checkpoints_.look_anew();
      compactor_.give_up();
    }
    if (code != 0 && !is_no_room_after_all(code) && !is_no_descriptor(code))
      poison("copying messages to another segment file", code);
  }
  compactor_.step_done();
}

// The copies are a frame like any other, and the database refers to either the old place or the new
// one: a crash in between loses nothing. Who has gone since the compactor looked is left out.
int Committer::move(const std::vector<Survivor>& survivors) {
  const std::uint64_t pages = survivors.size() * kOctetsOfMessage / needs_.environment.page_size();
  if (!needs_.environment.has_room(kPagesOfTrees + pages, Environment::Reserve::kAll)) {
    return MDB_MAP_FULL;
  }
  if (const int code = ensure_journal()) return code;
  Frame frame;
  Changes changes;
  std::vector<base::Id> moved;
  checkpoints_.draft().begin();
  Txn& txn = checkpoints_.look();
  for (const Survivor& survivor : survivors) {
    const auto now = find_message(txn, survivor.message.id);
    if (!now || now->body.segment != survivor.message.body.segment) continue;
    BodyRef to = now->body;
    to.segment = *journal_.number();
    to.prefix_offset = journal_.bodies_begin() + frame.bodies_size;
    to.content_offset = to.prefix_offset + to.prefix_size;
    frame.add(survivor.bytes);
    frame.bodies_crc = checksum_join(frame.bodies_crc, to.checksum, survivor.bytes.size());
    move_body(txn, *now, to, changes);
    moved.push_back(now->id);
  }
  int code = txn.error();
  if (code == 0) code = write_journal(frame, changes).code;
  if (code != 0) {
    checkpoints_.draft().take_back();
    return code;
  }
  for (const base::Id& id : moved) remember(id);  // who looks for it finds it where it is now
  return 0;
}

void Committer::poison(const char* what, int code) {
  needs_.pressure->poison(std::string(what) + " failed: " + mdb_strerror(code) +
                          "; look after the disk, then restart relayd");
}

void Committer::probe() {
  if (needs_.environment.has_room(kPagesOfTrees, Environment::Reserve::kAmple) &&
      needs_.segments->has_ample_room()) {
    needs_.pressure->clear_full();
  }
}

}  // namespace queue
