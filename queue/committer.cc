#include "queue/committer.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/base/log.h"

namespace queue {
namespace {

constexpr auto kProbeInterval = std::chrono::milliseconds(250);
// Pages that a batch may cost beside those of its records: the paths of the trees it touches.
constexpr std::uint64_t kPagesOfTrees = 32;
// Changes all over a large database map it bit by bit; between two times of letting go of that.
constexpr std::size_t kChangesOfPages = 500;
constexpr std::uint64_t kOctetsOfMessage = 16 * base::kKiB;
// Of old trails, so many go with each change, so that what is forgotten keeps pace with what comes
// in; and so many at once while nothing comes in.
constexpr std::size_t kForgottenPerChange = 4;
constexpr std::size_t kForgottenIdle = 500;

std::span<NewMessage> messages_of(Work& work) {
  if (auto* message = std::get_if<NewMessage>(&work.what)) return {message, 1};
  if (auto* update = std::get_if<DeliveryUpdate>(&work.what)) return update->also;
  return {};
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

Committer::Committer(Needs needs, std::uint64_t messages)
    : needs_(std::move(needs)),
      compactor_(needs_.environment, *needs_.segments, needs_.limits),
      trail_(needs_.environment, needs_.trail_keep_ms),
      messages_(messages) {
  if (base::Metrics* metrics = needs_.metrics) {
    messages_metric_ = &metrics->gauge("relayd_queue_messages", "Messages in the queue");
    messages_metric_->set(static_cast<std::int64_t>(messages));
    commits_metric_ = &metrics->counter("relayd_queue_commits_total", "Group commits");
    changes_metric_ =
        &metrics->counter("relayd_queue_changes_total", "Submissions and updates committed");
    untold_metric_ = &metrics->counter("relayd_queue_untold_total",
                                       "Changes left out of the trail for want of room");
  }
  thread_ = std::thread([this] { run(); });
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
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = queue_.empty();
    queue_.push_back(std::move(work));
  }
  if (first) wake_.notify_one();
}

void Committer::on_waiting(Store::OnWaiting callback) {
  const std::lock_guard lock(mutex_);
  on_waiting_ = std::move(callback);
}

void Committer::run() {
  for (;;) {
    Works works = take();
    if (works.empty()) {
      const std::lock_guard lock(mutex_);
      if (stopping_ && queue_.empty()) return;
    }
    if (!works.empty()) commit(works);
    if (works.empty() || needs_.pressure->is_full()) forget_old();
    if (needs_.pressure->is_full()) probe();
    if (may_copy_forward() && Compactor::Clock::now() >= *compactor_.due()) copy_forward();
  }
}

// Everything that waits, within the bounds; empty when there is nothing to do but to look after
// the rest (stopping, or time to probe for room).
Committer::Works Committer::take() {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return stopping_ || !queue_.empty(); };
  // Contents find the disk full in their sessions' threads: look now and then.
  auto until = Compactor::Clock::now() + kProbeInterval * (needs_.pressure->is_full() ? 1 : 4);
  if (may_copy_forward()) until = std::min(until, *compactor_.due());
  wake_.wait_until(lock, until, ready);
  Works works;
  std::uint64_t octets = 0;
  const auto count_max = static_cast<std::size_t>(needs_.limits.commit_messages);
  const auto octets_max = static_cast<std::uint64_t>(needs_.limits.commit_octets);
  while (!queue_.empty() && works.size() < count_max) {
    octets += queue_.front()->octets;
    if (octets > octets_max && !works.empty()) break;
    works.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return works;
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
    const auto drop_answered = [&batch] {
      std::erase_if(batch, [](const Work* work) { return work->answer != Failure::kNone; });
    };
    drop_answered();
    write_bodies(batch);
    drop_answered();
    sync_bodies(batch);
    drop_answered();
    apply(batch, true);
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
  remove_emptied();
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
  for (const std::uint64_t number : emptied_) needs_.segments->remove(number);
  emptied_.clear();
}

// Whether it can be removed shows only when the transaction with what was just written is through.
void Committer::retire_active() {
  if (!active_) return;
  retired_.push_back(active_->number());
  active_.reset();
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
  const std::uint64_t page_size = needs_.environment.page_size();
  const auto map_has_room = [&](std::uint64_t n, Environment::Reserve reserve) {
    return n == 0 || needs_.environment.has_room(kPagesOfTrees + n / page_size, reserve);
  };
  const bool disk_full = taken[0] > 0 && !needs_.segments->has_room(octets);
  const bool refuse_new =
      disk_full || !map_has_room(taken[0] + taken[1], Environment::Reserve::kAll);
  const bool refuse_bounces = !map_has_room(taken[1], Environment::Reserve::kHalf);
  if (!(refuse_new && taken[0] > 0) && !refuse_bounces) return;
  needs_.pressure->set_full(disk_full ? "the disk of the queue is full"
                                      : "the queue's database has reached limits.queue_map_size");
  if (disk_full) retire_active();  // so that it can go when it is empty
  for (Work* work : batch) {
    if (is_new(work) ? refuse_new : refuse_bounces && !messages_of(*work).empty()) {
      work->answer = Failure::kFull;
    }
  }
}

int Committer::ensure_active() {
  if (active_ && active_end_ >= static_cast<std::uint64_t>(needs_.limits.segment_size)) {
    retire_active();
  }
  if (active_) return 0;
  int code = 0;
  active_ = needs_.segments->create(SegmentKind::kShared, code);
  active_end_ = kSegmentHeader;
  return code;
}

// One gathered write for all small messages; prefixes of own segments one by one.
void Committer::write_bodies(std::span<Work* const> batch) {
  std::vector<iovec> pieces;
  std::vector<std::shared_ptr<SegmentFile>> own;
  std::uint64_t end = 0;
  int code = 0;
  bool shared = false;
  const auto add = [&](const std::string& bytes) {
    if (!bytes.empty()) pieces.push_back({const_cast<char*>(bytes.data()), bytes.size()});
    end += bytes.size();
  };
  for (Work* work : batch) {
    for (NewMessage& message : messages_of(*work)) {
      if (code != 0) break;
      const StoredContent* content = content_of(message);
      const std::uint32_t prefix_crc = checksum(0, message.prefix);
      if (content != nullptr && content->file()) {
        code = write_own(message, prefix_crc);
        if (code == 0) own.push_back(content->file());
        continue;
      }
      if (!shared) {
        code = ensure_active();
        end = active_end_;
        shared = true;
      }
      if (code != 0) break;
      BodyRef& body = message.message.body;
      body.segment = active_->number();
      body.prefix_offset = end;
      body.prefix_size = message.prefix.size();
      add(message.prefix);
      body.content_offset = end;
      body.content_size = 0;
      body.checksum = prefix_crc;
      if (content == nullptr) continue;
      body.content_size = content->memory().size();
      body.checksum = checksum_join(prefix_crc, content->crc(), body.content_size);
      add(content->memory());
    }
  }
  if (code == 0 && !pieces.empty()) {
    code = active_->write(active_end_, std::move(pieces));
    if (code != 0) (void)active_->cut(active_end_);  // what was written gives its room back
    if (code == 0) {
      active_end_ = end;
      touched_.push_back(active_);
    }
  }
  if (code == 0) {
    touched_.insert(touched_.end(), own.begin(), own.end());
    return;
  }
  if (is_no_descriptor(code)) {
    for (Work* work : batch) {
      if (!messages_of(*work).empty()) work->answer = Failure::kBusy;
    }
    return;
  }
  if (!is_no_room(code)) {
    poison("writing a segment file", code);
    for (Work* work : batch) work->answer = Failure::kFailed;
    return;
  }
  if (batch.size() > 1) {
    write_bodies(half(batch, false));
    write_bodies(half(batch, true));
    return;
  }
  needs_.pressure->set_full("the disk of the queue is full");
  batch.front()->answer = Failure::kFull;
}

int Committer::write_own(NewMessage& message, std::uint32_t prefix_crc) {
  const StoredContent& content = *content_of(message);
  BodyRef& body = message.message.body;
  body.segment = content.file()->number();
  body.content_offset = kSegmentHeader;
  body.content_size = content.size();
  body.prefix_offset = kSegmentHeader + content.size();
  body.prefix_size = message.prefix.size();
  body.checksum = checksum_join(prefix_crc, content.crc(), body.content_size);
  return message.prefix.empty() ? 0 : content.file()->write(body.prefix_offset, message.prefix);
}

void Committer::sync_bodies(const Batch& batch) {
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  int code = 0;
  for (const std::shared_ptr<SegmentFile>& file : touched_) {
    if (code == 0) code = file->sync();
  }
  if (code == 0 && !touched_.empty()) code = needs_.segments->sync_names();
  touched_.clear();
  if (code == 0) return;
  if (!is_no_room(code)) {
    poison("syncing a segment file", code);
    for (Work* work : batch) work->answer = Failure::kFailed;
    return;
  }
  // A file system that finds the room only now (thin, or copying on write). What was synced before
  // is not in doubt, and the segment is not written to again.
  needs_.pressure->set_full("the disk of the queue is full");
  retire_active();
  for (Work* work : batch) {
    if (!messages_of(*work).empty()) work->answer = Failure::kFull;
  }
}

// The trail is written with what it tells of, or not at all: where there is no room for both, the
// change goes without it.
void Committer::apply(std::span<Work* const> batch, bool with_trail) {
  if (batch.empty()) return;
  const bool is_first = with_trail;
  Changes changes;
  int code = 0;
  {
    Txn txn(needs_.environment, Txn::Mode::kWrite);
    const std::int64_t now_ms = needs_.clock.wall_ms();
    TrailWriter trail(txn, trail_.bucket(), now_ms);
    with_trail = with_trail && trail_.may_write(txn);
    if (with_trail) changes.trail = &trail;
    // Forgetting writes pages too: what is tried again for want of room goes without.
    if (is_first && trail_.is_due(now_ms))
      trail_.forget(txn, now_ms, kForgottenPerChange * batch.size());
    for (Work* work : batch) {
      work->answer = apply_one(txn, *work, changes);
      if (txn.error() != 0) break;
    }
    const bool is_large = active_end_ > static_cast<std::uint64_t>(needs_.limits.segment_size) / 4;
    settle_segments(txn, active_number(), is_large, changes);
    code = txn.error();
    if (code == 0) code = txn.commit();
  }
  if (code == 0) {
    compactor_.note(changes);
    changes.trail = nullptr;
    if (!with_trail && needs_.trail_keep_ms > 0 && untold_metric_ != nullptr) {
      untold_metric_->add(static_cast<std::int64_t>(batch.size()));
    }
    return keep(changes, batch);
  }
  // LMDB says EIO for a short write, which is what a disk does that has just become full. Nothing
  // depends on it: the pages belong to this transaction alone, and it is rolled back.
  const bool was_short = code == EIO && needs_.segments->is_out_of_room();
  if (!is_no_room(code) && !was_short) {
    poison("committing to the database", code);
    for (Work* work : batch) work->answer = Failure::kFailed;
    return;
  }
  if (is_first) return apply(batch, false);
  if (batch.size() > 1) {
    apply(half(batch, false), false);
    apply(half(batch, true), false);
    return;
  }
  needs_.pressure->set_full(std::string("the queue's database has no room: ") + mdb_strerror(code));
  batch.front()->answer = Failure::kFull;
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
    }
  }
  waiting_.insert(waiting_.end(), changes.waiting.begin(), changes.waiting.end());
  emptied_.insert(emptied_.end(), changes.emptied.begin(), changes.emptied.end());
  for (const std::uint64_t number : changes.emptied) {
    if (active_ && active_->number() == number) active_.reset();
  }
  const std::uint64_t now = messages_.fetch_add(static_cast<std::uint64_t>(changes.messages)) +
                            static_cast<std::uint64_t>(changes.messages);
  if (messages_metric_ == nullptr) return;
  messages_metric_->set(static_cast<std::int64_t>(now));
  commits_metric_->add();
  changes_metric_->add(static_cast<std::int64_t>(batch.size()));
}

void Committer::forget_old() {
  const std::int64_t now_ms = needs_.clock.wall_ms();
  if (needs_.pressure->is_poisoned() || !trail_.is_due(now_ms)) return;
  Txn txn(needs_.environment, Txn::Mode::kWrite);
  if (!trail_.forget(txn, now_ms, kForgottenIdle)) return;
  const int code = txn.commit();
  if (code == 0 || is_no_room(code)) return;
  if (code == EIO && needs_.segments->is_out_of_room()) return;
  poison("committing to the database", code);
}

bool Committer::may_copy_forward() const {
  return compactor_.due() && !needs_.pressure->is_poisoned();
}

std::optional<std::uint64_t> Committer::active_number() const {
  if (!active_) return std::nullopt;
  return active_->number();
}

void Committer::copy_forward() {
  const std::vector<Survivor> survivors = compactor_.next(active_number());
  if (!survivors.empty()) {
    const int code = move(survivors);
    if (code != 0) compactor_.give_up();
    if (code != 0 && !is_no_room(code) && !is_no_descriptor(code))
      poison("copying messages to another segment file", code);
    remove_emptied();
  }
  compactor_.step_done();
}

// The copies are on disk before anything refers to them, and the database refers to either the old
// place or the new one: a crash in between loses nothing.
int Committer::move(const std::vector<Survivor>& survivors) {
  const std::uint64_t pages = survivors.size() * kOctetsOfMessage / needs_.environment.page_size();
  if (!needs_.environment.has_room(kPagesOfTrees + pages, Environment::Reserve::kAll)) {
    return MDB_MAP_FULL;
  }
  if (const int code = ensure_active()) return code;
  std::vector<iovec> pieces;
  std::uint64_t end = active_end_;
  for (const Survivor& survivor : survivors) {
    if (survivor.bytes.empty()) continue;
    pieces.push_back({const_cast<char*>(survivor.bytes.data()), survivor.bytes.size()});
    end += survivor.bytes.size();
  }
  if (const int code = active_->write(active_end_, std::move(pieces))) {
    (void)active_->cut(active_end_);
    return code;
  }
  const std::uint64_t at = std::exchange(active_end_, end);
  int code = active_->sync();
  if (code == 0) code = needs_.segments->sync_names();
  if (code != 0) {
    retire_active();
    return code;
  }
  Changes changes;
  code = commit_moves(survivors, at, changes);
  if (code == 0) keep(changes, {});
  return code;
}

int Committer::commit_moves(const std::vector<Survivor>& survivors, std::uint64_t at,
                            Changes& changes) {
  Txn txn(needs_.environment, Txn::Mode::kWrite);
  for (const Survivor& survivor : survivors) {
    BodyRef to = survivor.message.body;
    to.segment = active_->number();
    to.prefix_offset = at;
    to.content_offset = at + to.prefix_size;
    at += to.size();
    move_body(txn, survivor.message, to, changes);
  }
  settle_segments(txn, active_number(), false, changes);
  const int code = txn.commit();
  // As in apply(): a short write on a disk that has just become full.
  return code == EIO && needs_.segments->is_out_of_room() ? ENOSPC : code;
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
