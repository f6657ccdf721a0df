#include "queue/recent.h"

#include <utility>

namespace queue {
namespace {

// What an entry takes beside its bytes, roughly.
constexpr std::uint64_t kEntryOctets = 1024;

}  // namespace

std::shared_ptr<const RecentMessages::Entry> RecentMessages::find(const base::Id& id) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(id);
  return at == entries_.end() ? nullptr : at->second.entry;
}

void RecentMessages::put(Entry entry) {
  const std::uint64_t octets = entry.prefix.size() + entry.content.size();
  const Put note{entry.message.id, next_number_++, octets};
  uncommitted_.push_back(note);
  uncommitted_octets_ += kEntryOctets + octets;
  auto kept = std::make_shared<const Entry>(std::move(entry));
  const std::lock_guard lock(mutex_);
  std::swap(entries_[note.id].entry, kept);
  entries_[note.id].number = note.number;
}

void RecentMessages::forget(const base::Id& id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(id);
}

void RecentMessages::let_go(std::size_t most) {
  if (uncommitted_.empty() || uncommitted_.front().number >= committed_) return;
  std::vector<std::shared_ptr<const Entry>> gone;  // their memory is given back without the lock
  const std::lock_guard lock(mutex_);
  const auto drop = [&](const Put& put) {
    const auto at = entries_.find(put.id);
    if (at == entries_.end() || at->second.number != put.number) return;
    gone.push_back(std::move(at->second.entry));
    entries_.erase(at);
  };
  for (; !uncommitted_.empty() && uncommitted_.front().number < committed_ && most > 0;
       uncommitted_.pop_front(), --most) {
    const Put& put = uncommitted_.front();
    uncommitted_octets_ -= kEntryOctets + put.octets;
    const auto at = entries_.find(put.id);
    if (at == entries_.end() || at->second.number != put.number) continue;
    if (!at->second.entry->has_bytes) {
      drop(put);
      continue;
    }
    bytes_.push_back(put);
    octets_ += kEntryOctets + put.octets;
  }
  while (octets_ > octets_max_) {
    octets_ -= kEntryOctets + bytes_.front().octets;
    drop(bytes_.front());
    bytes_.pop_front();
  }
}

}  // namespace queue
