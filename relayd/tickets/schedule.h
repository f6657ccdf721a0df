// Which ticket is tried next: one queue for each back end, fair between them. A back end that
// refuses or is not there is paused as a whole and asked again by one ticket (the probe); what
// waits for it costs nothing meanwhile. Knows no clock and no network: times are given. One thread.
//
// Memory: a bounded window of each back end's deliveries (queue/due_window.h) and what is in
// flight; the others are on disk, where Schedule reads them when their turn comes.
//
// Attempts at once: a back end is given one, and one more with each success, up to `each_max`; a
// failure takes it back to one. Those that failed the last time share one half of `total_max`: so
// any number of back ends that let an attempt hang until it times out leaves room for the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "queue/due_window.h"

namespace tickets {

using Key = queue::DeliveryName;

enum class Pause : std::uint8_t { kNone, kRefused, kDown, kAsked };

class Schedule {
 public:
  // Store::due.
  using Read = std::function<queue::Store::DuePage(const std::string& destination,
                                                   const std::optional<queue::Store::Due>& after,
                                                   std::size_t rows_max)>;
  Schedule(std::size_t each_max, std::size_t total_max, std::shared_ptr<queue::WindowShare> share,
           Read read)
      : each_max_(each_max),
        total_max_(total_max),
        share_(std::move(share)),
        read_(std::move(read)) {}

  // At start: something waits for this destination.
  void open(const std::string& destination);
  // A delivery waits until `due_ms`; told again, the new time counts. In flight: nothing changes,
  // but what the operator has `ordered` while its outcome is written is tried again at once.
  void add(const std::string& destination, const Key& key, std::int64_t due_ms, bool ordered);

  struct Next {
    std::string destination;
    Key key;
    bool operator==(const Next&) const = default;
  };
  // The next to try now; it is in flight until finished(), again() or as_before(). nullopt: none,
  // or no room.
  std::optional<Next> next(std::int64_t now_ms);
  // When next() may have more, beside a call of one of these; nullopt: never by itself.
  [[nodiscard]] std::optional<std::int64_t> wake_ms() const;

  // Gives the slot back (the answer is in); the delivery stays in flight until one of the three
  // below.
  void slot_free(const std::string& destination, const Key& key);
  // The delivery is done with (delivered, held, gone).
  void finished(const std::string& destination, const Key& key);
  // It waits again, as is on disk by now.
  void again(const std::string& destination, const Key& key, std::int64_t due_ms);
  // It will wait until then, as is on its way to the disk: should the back end turn out to work
  // before that is there, it is due then.
  void put_off(const std::string& destination, std::int64_t due_ms);
  // What came of it could not be written: it waits as it did.
  void as_before(const std::string& destination, const Key& key);

  // All of the destination waits until then; a pause that is already in force is not prolonged
  // by answers to attempts that were under way, only by its probe. True where this one counts.
  bool pause(const std::string& destination, Pause why, std::int64_t until_ms, const Key& by);
  // How many pauses in a row so far, for the length of the next one.
  [[nodiscard]] std::uint32_t pauses(const std::string& destination) const;
  // The back end works: an end to the pause, everything that was put off since it last worked is
  // due. True where it was paused.
  bool works(const std::string& destination);
  // The pause is over at once, but the next one is only a probe.
  void probe_now(const std::string& destination);

  // Whether its last answer took long. Slow destinations, and those whose last answer was a
  // failure, have at most half of all slots together, so that however many of them there are, the
  // others find one free at once.
  void set_slow(const std::string& destination, bool slow);

  // Failures in a row of any kind, reset by works().
  std::uint32_t count_failure(const std::string& destination);

  struct Paused {
    std::string destination;
    Pause why;
  };
  [[nodiscard]] std::vector<Paused> paused() const;
  // Tried now, or its outcome is being written.
  [[nodiscard]] bool is_in_hand(const std::string& destination, const Key& key) const;
  // Has the destination, or have all together, no slot left?
  [[nodiscard]] bool is_busy(const std::string& destination) const;
  [[nodiscard]] std::size_t in_flight() const { return slots_; }
  // Of those in memory.
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Endpoint {
    Endpoint(std::shared_ptr<queue::WindowShare> share, queue::DueWindow::Read read)
        : window(std::move(share), std::move(read)) {}
    queue::DueWindow window;
    std::map<Key, bool> slots;  // being tried; true: counted among the doubtful
    std::set<Key> settling;     // answered, but not on disk
    std::set<Key> hurried;      // of those: ordered meanwhile
    std::size_t allowed = 1;    // slots
    bool failed = false;        // the last answer was a failure ...
    bool slow = false;          // ... or took long
    [[nodiscard]] bool doubtful() const { return failed || slow; }
    Pause paused = Pause::kNone;
    std::int64_t paused_until_ms = 0;
    std::optional<Key> probe;
    std::uint32_t pauses = 0;
    std::uint32_t failures = 0;
    bool queued_doubtful = false;          // in which line
    bool queued = false;                   // in one of turns_
    std::optional<std::int64_t> alarm_ms;  // in alarms_
  };

  Endpoint& endpoint(const std::string& destination);
  void refresh(const std::string& destination, Endpoint& endpoint);
  void drop_if_idle(const std::string& destination);
  [[nodiscard]] bool is_due(Endpoint& endpoint) const;
  [[nodiscard]] bool wants_turn(Endpoint& endpoint) const;
  [[nodiscard]] std::optional<std::int64_t> alarm_of(Endpoint& endpoint) const;
  std::optional<std::string> next_turn();

  std::size_t each_max_, total_max_;
  std::shared_ptr<queue::WindowShare> share_;
  Read read_;
  std::size_t slots_ = 0, doubtful_slots_ = 0;
  std::int64_t now_ms_ = 0;
  std::map<std::string, Endpoint> endpoints_;
  struct Turns {
    std::deque<std::string> good, doubtful;  // round robin, each
    bool doubtful_next = false;              // the two take turns, where both have room
  } turns_;
  std::set<std::pair<std::int64_t, std::string>> alarms_;  // next moment of each endpoint
};

}  // namespace tickets
