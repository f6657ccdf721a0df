// What of one destination's waiting deliveries is in memory: a bounded window on what is on disk,
// moved along as its front is taken. Without clock, store and thread of its own; one thread's.
//
// The order is the disk's: due time, then id, then index. The promise is that everything which
// waits up to the window's end is either in the window or in hand; what lies behind the end is
// known to be on disk and is read when the window runs low. This holds because
//  - a page is read from exactly the end on, and the end then moves to the page's last row;
//  - whatever is committed before a page is read is on the page, and whatever is committed after it
//    is told, so told() need keep only what comes before the end and may drop the rest;
//  - where the window grows too large its last entries are dropped and the end moves before them.
// So nothing that waits is forgotten, whatever the order in which readings and tellings meet. It
// may hold more than what waits: a delivery that was held or removed meanwhile is still in it, and
// who takes one looks at its record first.
//
// Nothing is given twice: what was taken is in hand until it is put back or let go, and while in
// hand neither a page nor told() brings it into the window. Let go of it when its outcome is on
// disk: a page read later has the outcome, and the store tells of the new time behind its answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "queue/store.h"

namespace queue {

// What all windows of one room have together: each may hold `each` entries (limits.queue_window),
// but all of them about `total` (limits.queue_windows), however many there are.
class WindowShare {
 public:
  WindowShare(std::int64_t each, std::int64_t total);
  [[nodiscard]] std::size_t entries() const;

 private:
  friend class DueWindow;
  std::size_t each_, total_;
  std::size_t windows_ = 0;
};

class DueWindow {
 public:
  // Store::due of the destination.
  using Read =
      std::function<Store::DuePage(const std::optional<Store::Due>& after, std::size_t rows_max)>;
  DueWindow(std::shared_ptr<WindowShare> share, Read read);
  ~DueWindow();
  DueWindow(const DueWindow&) = delete;
  DueWindow& operator=(const DueWindow&) = delete;

  // The store says that it waits until `due_ms`. `ordered`: the operator wants it tried now; it
  // goes before others, unless too many do.
  void told(const DeliveryName& name, std::int64_t due_ms, bool ordered);
  // The next one that is due; in hand from now on.
  std::optional<DeliveryName> take(std::int64_t now_ms);
  // It was not tried: it waits as before.
  void put_back(const DeliveryName& name);
  // It is done with, or it has been told, or will be, until when it waits.
  void let_go(const DeliveryName& name);

  // Nothing is due before; 0: one is due whatever the time. nullopt: nothing waits (complete()), or
  // the disk cannot be read at the moment: look again later.
  [[nodiscard]] std::optional<std::int64_t> next_due_ms();
  [[nodiscard]] bool complete() const { return complete_; }
  // How many are due, as far as it matters.
  [[nodiscard]] std::size_t due_count(std::int64_t now_ms, std::size_t count_max) const;
  [[nodiscard]] bool is_in_hand(const DeliveryName& name) const { return in_hand_.contains(name); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  // Nothing waits and nothing is in hand.
  [[nodiscard]] bool is_idle() const { return complete_ && entries_.empty() && in_hand_.empty(); }

  // Deliveries are put off until this moment for a reason that may go away before. Once release()
  // says that it is gone they are due: those in the window, those on disk as far as there is room
  // for them (the others when the window comes to them), and those whose change of time is still
  // under way. What was put off is known by its moment alone, so nothing is kept about each.
  void put_off(std::int64_t due_ms);
  void release(std::int64_t now_ms);
  void keep_put_off() { put_off_.clear(); }  // the reason stays with each of them: no release
  // The first one is due, whatever the time. False: nothing waits.
  bool hurry_first();

 private:
  struct Entry {
    std::int64_t due_ms = 0;    // on disk
    bool eager = false;         // due whatever the time
    std::int64_t order_ms = 0;  // of eager ones, the place among them
  };
  [[nodiscard]] bool is_within(const Store::Due& due) const;
  [[nodiscard]] std::size_t low() const;
  void refill();
  void admit(const Store::Due& row);
  void insert(const DeliveryName& name, const Entry& entry);
  void erase(const DeliveryName& name, const Entry& entry);
  void make_eager(const Store::Due& due);
  void trim();

  std::shared_ptr<WindowShare> share_;
  Read read_;
  std::map<DeliveryName, Entry> entries_;
  std::set<Store::Due> later_, eager_;  // all of entries_, each in one of them
  std::map<DeliveryName, Entry> in_hand_;
  std::optional<Store::Due> end_;  // nullopt: before everything
  bool complete_ = false;          // the end is behind everything
  std::set<std::int64_t> put_off_, released_;
};

}  // namespace queue
