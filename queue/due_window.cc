#include "queue/due_window.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace queue {
namespace {

// However many destinations there are.
constexpr std::size_t kEntriesLeast = 16;
// Moments of putting off that are remembered. One is made by each attempt that failed for all.
constexpr std::size_t kMomentsMax = 64;

Store::Due place_of(std::int64_t moment_ms, const DeliveryName& name) {
  return {moment_ms, name.id, name.index};
}

DeliveryName name_of(const Store::Due& due) { return {due.id, due.index}; }

// Behind everything that is due before that moment.
Store::Due before(std::int64_t moment_ms) {
  Store::Due due{moment_ms - 1, {}, std::numeric_limits<std::uint32_t>::max()};
  due.id.bytes.fill(0xff);
  return due;
}

}  // namespace

WindowShare::WindowShare(std::int64_t each, std::int64_t total)
    : each_(static_cast<std::size_t>(std::max<std::int64_t>(each, 1))),
      total_(static_cast<std::size_t>(std::max<std::int64_t>(total, 1))) {}

std::size_t WindowShare::entries() const {
  const std::size_t part = total_ / std::max<std::size_t>(windows_, 1);
  return std::min(each_, std::max(part, kEntriesLeast));
}

DueWindow::DueWindow(std::shared_ptr<WindowShare> share, Read read)
    : share_(std::move(share)), read_(std::move(read)) {
  ++share_->windows_;
}

DueWindow::~DueWindow() { --share_->windows_; }

bool DueWindow::is_within(const Store::Due& due) const {
  return complete_ || (end_ && due <= *end_);
}

std::size_t DueWindow::low() const { return std::max<std::size_t>(share_->entries() / 4, 1); }

void DueWindow::refill() {
  while (!complete_ && later_.size() < low() && eager_.size() < share_->entries()) {
    const Store::DuePage page = read_(end_, share_->entries() - later_.size());
    if (page.rows.empty() && !page.complete) return;
    for (const Store::Due& row : page.rows) admit(row);
    if (!page.rows.empty()) end_ = page.rows.back();
    complete_ = page.complete;
  }
}

// A row of the disk, which is never older than what was told before.
void DueWindow::admit(const Store::Due& row) {
  const DeliveryName name = name_of(row);
  if (in_hand_.contains(name)) return;
  Entry entry{row.due_ms, released_.contains(row.due_ms), row.due_ms};
  if (const auto known = entries_.find(name); known != entries_.end()) {
    if (known->second.eager) entry = {row.due_ms, true, known->second.order_ms};
    erase(name, known->second);
  }
  insert(name, entry);
}

void DueWindow::insert(const DeliveryName& name, const Entry& entry) {
  entries_[name] = entry;
  (entry.eager ? eager_ : later_)
      .insert(place_of(entry.eager ? entry.order_ms : entry.due_ms, name));
}

void DueWindow::erase(const DeliveryName& name, const Entry& entry) {
  (entry.eager ? eager_ : later_)
      .erase(place_of(entry.eager ? entry.order_ms : entry.due_ms, name));
  entries_.erase(name);
}

// Those whose time has been hurried stay: there are never more than two windows' worth of them.
void DueWindow::trim() {
  const std::size_t most = share_->entries();
  if (later_.size() <= most + most / 4) return;
  while (later_.size() > most) {
    entries_.erase(name_of(*later_.rbegin()));
    later_.erase(std::prev(later_.end()));
  }
  // What was put back may lie behind the end as it was: that is no reason to move it there.
  if (complete_ || !end_ || *later_.rbegin() < *end_) end_ = *later_.rbegin();
  complete_ = false;
}

void DueWindow::told(const DeliveryName& name, std::int64_t due_ms, bool ordered) {
  due_ms = std::max<std::int64_t>(due_ms, 0);
  if (!end_ && !complete_) refill();  // the first that is heard of this destination
  if (const auto taken = in_hand_.find(name); taken != in_hand_.end()) {
    taken->second.due_ms = due_ms;
    return;
  }
  if (const auto known = entries_.find(name); known != entries_.end()) {
    const Entry was = known->second;
    erase(name, was);
  }
  const bool eager = (ordered || released_.contains(due_ms)) && eager_.size() < share_->entries();
  if (eager || is_within(place_of(due_ms, name))) {
    insert(name, {due_ms, eager, ordered ? 0 : due_ms});
  }
  trim();
}

std::optional<DeliveryName> DueWindow::take(std::int64_t now_ms) {
  refill();
  const bool due = !later_.empty() && later_.begin()->due_ms <= now_ms;
  if (!due && eager_.empty()) return std::nullopt;
  const bool eager = !due || (!eager_.empty() && *eager_.begin() < *later_.begin());
  const DeliveryName name = name_of(eager ? *eager_.begin() : *later_.begin());
  const Entry entry = entries_.at(name);
  erase(name, entry);
  in_hand_.emplace(name, entry);
  return name;
}

// Wherever the end is by now: who goes on from there would not find it again.
void DueWindow::put_back(const DeliveryName& name) {
  const auto taken = in_hand_.extract(name);
  if (taken.empty()) return;
  insert(name, taken.mapped());
  trim();
}

void DueWindow::let_go(const DeliveryName& name) { in_hand_.erase(name); }

std::optional<std::int64_t> DueWindow::next_due_ms() {
  refill();
  if (!eager_.empty()) return 0;
  if (later_.empty()) return std::nullopt;
  return later_.begin()->due_ms;
}

std::size_t DueWindow::due_count(std::int64_t now_ms, std::size_t count_max) const {
  std::size_t n = eager_.size();
  for (auto at = later_.begin(); at != later_.end() && at->due_ms <= now_ms && n < count_max;
       ++at) {
    ++n;
  }
  // All of a window that is due has more of it behind its end, as a rule.
  return n == entries_.size() && !complete_ ? count_max : std::min(n, count_max);
}

void DueWindow::put_off(std::int64_t due_ms) {
  if (released_.contains(due_ms)) return;  // while its change of time was under way
  put_off_.insert(due_ms);
  if (put_off_.size() > kMomentsMax) put_off_.erase(put_off_.begin());
}

void DueWindow::make_eager(const Store::Due& due) {
  const DeliveryName name = name_of(due);
  if (in_hand_.contains(name) || eager_.size() >= 2 * share_->entries()) return;
  if (const auto known = entries_.find(name); known != entries_.end()) {
    if (known->second.eager) return;
    const Entry was = known->second;
    erase(name, was);
  }
  insert(name, {due.due_ms, true, due.due_ms});
}

void DueWindow::release(std::int64_t now_ms) {
  std::erase_if(released_, [now_ms](std::int64_t moment) { return moment <= now_ms; });
  for (const std::int64_t moment : std::exchange(put_off_, {})) {
    if (moment <= now_ms) continue;
    released_.insert(moment);
    if (released_.size() > kMomentsMax) released_.erase(released_.begin());
    std::vector<Store::Due> hurried;
    for (auto at = later_.upper_bound(before(moment)); at != later_.end() && at->due_ms == moment;
         ++at) {
      hurried.push_back(*at);
    }
    const std::size_t taken = eager_.size() + hurried.size();
    if (!is_within(before(moment + 1)) && taken < share_->entries()) {
      for (const Store::Due& row : read_(before(moment), share_->entries() - taken).rows) {
        if (row.due_ms == moment) hurried.push_back(row);
      }
    }
    for (const Store::Due& due : hurried) make_eager(due);
  }
}

bool DueWindow::hurry_first() {
  refill();
  if (eager_.empty() && !later_.empty()) make_eager(Store::Due(*later_.begin()));
  return !eager_.empty();
}

}  // namespace queue
