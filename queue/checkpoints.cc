#include "queue/checkpoints.h"

#include <utility>

namespace queue {

Checkpoints::Checkpoints(const Environment& environment, SegmentDirectory& segments,
                         std::function<void()> on_done)
    : environment_(environment), checkpointer_(environment, segments, std::move(on_done)) {}

Txn& Checkpoints::look() {
  if (!snapshot_) snapshot_ = std::make_unique<Txn>(environment_, Txn::Mode::kRead);
  snapshot_->lay_over(running_ ? running_->draft.get() : nullptr, draft_.get());
  return *snapshot_;
}

void Checkpoints::accept(const Changes& changes) {
  for (const auto& [number, use] : changes.usage) {
    since_.usage[number].messages += use.messages;
    since_.usage[number].octets += use.octets;
  }
}

std::uint64_t Checkpoints::map_octets() const {
  return map_octets_ + (running_ ? running_->map_octets : 0);
}

std::int64_t Checkpoints::messages_in(std::uint64_t segment) {
  const auto row = look().get(Table::kSegment, segment_key(segment));
  const SegmentUse use = (row ? decode_segment(*row) : std::nullopt).value_or(SegmentUse{});
  const auto since = since_.usage.find(segment);
  return use.messages + (since == since_.usage.end() ? 0 : since->second.messages);
}

int Checkpoints::begin(const Start& start) {
  Txn& txn = look();
  settle_segments(txn, start.active, start.drop_active, since_);
  if (start.place) put_journal_place(txn, *start.place);
  if (const int code = txn.error()) return code;
  running_ = std::make_unique<Running>();
  running_->draft = std::exchange(draft_, std::make_unique<Draft>());
  running_->map_octets = std::exchange(map_octets_, 0);
  running_->done.changes = std::exchange(since_, {});
  running_->done.left = std::exchange(left_, {});
  running_->done.recent = start.recent;
  running_->done.wanted = start.wanted;
  checkpointer_.start(*running_->draft, start.needs_segment);
  return 0;
}

std::optional<Checkpoints::Done> Checkpoints::result() {
  const auto code = checkpointer_.result();
  return code ? std::optional(finish(*code)) : std::nullopt;
}

Checkpoints::Done Checkpoints::wait() { return finish(checkpointer_.wait()); }

Checkpoints::Done Checkpoints::finish(int code) {
  look_anew();
  const std::unique_ptr<Running> running = std::move(running_);
  Done done = std::move(running->done);
  done.code = code;
  done.segment = checkpointer_.take_segment();
  if (code == 0) return done;
  put_back(std::move(running->draft));
  map_octets_ += running->map_octets;
  left_.insert(left_.end(), done.left.begin(), done.left.end());
  // They are looked at again: by then one of them may be what the journal went back to.
  for (const std::uint64_t emptied : done.changes.emptied) since_.usage.try_emplace(emptied);
  return done;
}

// What came since lies over what could not be written; both in a new arena.
void Checkpoints::put_back(std::unique_ptr<Draft> draft) {
  const std::unique_ptr<const Draft> since = std::exchange(draft_, std::move(draft));
  if (since->empty()) return;
  const std::unique_ptr<const Draft> before = std::exchange(draft_, std::make_unique<Draft>());
  for (const Draft* layer : {before.get(), since.get()}) {
    for (std::size_t number = 0; number < kTables; ++number) {
      const auto table = static_cast<Table>(number);
      for (const auto& [key, value] : layer->rows(table)) {
        if (value) {
          draft_->put(table, key, *value);
        } else {
          draft_->remove(table, key, true);
        }
      }
    }
  }
  draft_->begin();
}

}  // namespace queue
