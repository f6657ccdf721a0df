// Which ticket is tried next: one queue for each back end, fair between them. A back end that
// refuses or is not there is paused as a whole and asked again by one ticket (the probe); what
// waits for it costs nothing meanwhile. Knows no clock, no store and no network: times are given.
// One thread.
//
// Memory: one entry a waiting delivery (about 150 octets); the bodies stay on disk.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/id.h"

namespace tickets {

struct Key {
  base::Id id;
  std::uint32_t index = 0;
  auto operator<=>(const Key&) const = default;
};

enum class Pause : std::uint8_t { kNone, kRefused, kDown, kAsked };

class Schedule {
 public:
  Schedule(std::size_t each_max, std::size_t total_max)
      : each_max_(each_max), total_max_(total_max) {}

  // A delivery waits until `due_ms`; told again, the new time counts. In flight: nothing changes.
  void add(const std::string& destination, const Key& key, std::int64_t due_ms);

  struct Next {
    std::string destination;
    Key key;
  };
  // The next to try now; it is in flight until finished() or again(). nullopt: none, or no room.
  std::optional<Next> next(std::int64_t now_ms);
  // When next() may have more, beside a call of finished() or again(); nullopt: never by itself.
  [[nodiscard]] std::optional<std::int64_t> wake_ms() const;

  // Gives the slot back (the answer is in); the delivery stays in flight until one of the two
  // below.
  void slot_free(const std::string& destination, const Key& key);
  // The delivery is done with (delivered, held, gone).
  void finished(const std::string& destination, const Key& key);
  // It waits again.
  void again(const std::string& destination, const Key& key, std::int64_t due_ms);

  // All of the destination waits until then; a pause that is already in force is not prolonged
  // by answers to attempts that were under way, only by its probe. True where this one counts.
  bool pause(const std::string& destination, Pause why, std::int64_t until_ms, const Key& by);
  // How many pauses in a row so far, for the length of the next one.
  [[nodiscard]] std::uint32_t pauses(const std::string& destination) const;
  // The back end works: an end to the pause, everything that waits for it is due. True where it
  // was paused.
  bool works(const std::string& destination);
  // The pause is over at once, but the next one is only a probe.
  void probe_now(const std::string& destination);

  // Whether its last answer took long. Slow destinations have at most half of all slots together,
  // so that however many of them there are, the others find one free at once.
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
  [[nodiscard]] std::size_t waiting() const;

 private:
  enum class Where : std::uint8_t { kReady, kDelayed, kSlot, kSettling };
  struct Entry {
    Where where = Where::kReady;
    std::int64_t due_ms = 0;
  };
  struct Endpoint {
    std::map<Key, Entry> entries;
    std::deque<Key> ready;                           // may hold keys that have left: see entries
    std::set<std::pair<std::int64_t, Key>> delayed;  // by due time
    std::size_t slots = 0;
    Pause paused = Pause::kNone;
    std::int64_t paused_until_ms = 0;
    std::optional<Key> probe;
    std::uint32_t pauses = 0;
    std::uint32_t failures = 0;
    bool queued = false;  // in turns_ or slow_turns_
    bool slow = false;
    std::optional<std::int64_t> alarm_ms;  // in alarms_
  };

  void enqueue(Endpoint& endpoint, const Key& key, std::int64_t due_ms, Where where);
  void take_out(Endpoint& endpoint, const Key& key, const Entry& entry);
  void refresh(const std::string& destination, Endpoint& endpoint);
  void drop_if_idle(const std::string& destination);
  [[nodiscard]] bool runnable(const Endpoint& endpoint) const;
  [[nodiscard]] std::deque<std::string>* whose_turn();

  std::size_t each_max_, total_max_;
  std::size_t slots_ = 0;
  std::size_t slow_slots_ = 0;  // of them those of slow endpoints
  std::int64_t now_ms_ = 0;
  std::map<std::string, Endpoint> endpoints_;
  std::deque<std::string> turns_, slow_turns_;             // round robin
  std::set<std::pair<std::int64_t, std::string>> alarms_;  // next moment of each endpoint
};

}  // namespace tickets
