#include "queue/checkpointer.h"

#include <pthread.h>
#include <sys/resource.h>

#include <utility>

#include "queue/journal_writer.h"

namespace queue {
namespace {

// A tenth of what others get where all want to run: enough for it to keep up.
constexpr int kNice = 10;

}  // namespace

Checkpointer::Checkpointer(const Environment& environment, SegmentDirectory& segments,
                           std::function<void()> on_done)
    : environment_(environment),
      segments_(segments),
      on_done_(std::move(on_done)),
      thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Checkpointer::start(const Draft& draft, bool needs_segment) {
  {
    const std::lock_guard lock(mutex_);
    draft_ = &draft;
    needs_segment_ = needs_segment;
    result_.reset();
  }
  wake_.notify_all();
}

std::optional<int> Checkpointer::result() {
  const std::lock_guard lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

int Checkpointer::wait() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return result_.has_value(); });
  return *std::exchange(result_, std::nullopt);
}

std::shared_ptr<SegmentFile> Checkpointer::take_segment() {
  const std::lock_guard lock(mutex_);
  return std::exchange(segment_, nullptr);
}

int Checkpointer::write(const Draft& draft) {
  Txn txn(environment_, Txn::Mode::kWrite);
  txn.write(draft);
  return txn.commit();
}

// LMDB takes pages that were given back only two commits later: a commit that changes nothing.
int Checkpointer::age_free_pages() {
  Draft same;
  {
    const Txn txn(environment_, Txn::Mode::kRead);
    same.put(Table::kMeta, "uuid", txn.get(Table::kMeta, "uuid").value_or(environment_.uuid()));
  }
  return write(same);
}

void Checkpointer::run() {
  pthread_setname_np(pthread_self(), "checkpoint");
  // Of this thread alone (setpriority(2), Linux). It has milliseconds of work at once: who waits
  // for a commit must not wait behind that.
  (void)setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || draft_ != nullptr; });
    if (draft_ == nullptr) return;
    const Draft& draft = *draft_;
    const bool needs_segment = needs_segment_;
    lock.unlock();
    int code = write(draft);
    if (code == MDB_MAP_FULL && age_free_pages() == 0) code = write(draft);
    int ignored = 0;  // who needs a segment tries again, and says why there is none
    auto segment =
        code == 0 && needs_segment ? JournalWriter::prepare(segments_, ignored) : nullptr;
    lock.lock();
    draft_ = nullptr;
    segment_ = std::move(segment);
    result_ = code;
    wake_.notify_all();
    lock.unlock();
    on_done_();
    lock.lock();
  }
}

}  // namespace queue
