#include "relayd/tickets/schedule.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/base/limits.h"

namespace tickets {

Schedule::Endpoint& Schedule::endpoint(const std::string& destination) {
  const auto at = endpoints_.find(destination);
  if (at != endpoints_.end()) return at->second;
  auto read = [this, destination](const auto& after, std::size_t rows_max) {
    return read_(destination, after, rows_max);
  };
  return endpoints_
      .emplace(std::piecewise_construct, std::forward_as_tuple(destination),
               std::forward_as_tuple(share_, std::move(read)))
      .first->second;
}

void Schedule::open(const std::string& destination) {
  refresh(destination, endpoint(destination));
  drop_if_idle(destination);
}

void Schedule::add(const std::string& destination, const Key& key, std::int64_t due_ms,
                   bool ordered) {
  Endpoint& to = endpoint(destination);
  if (ordered && to.settling.contains(key)) to.hurried.insert(key);
  to.window.told(key, due_ms, ordered);
  refresh(destination, to);
  if (ordered && !to.window.is_in_hand(key)) probe_now(destination);
}

bool Schedule::is_due(Endpoint& endpoint) const {
  const auto due_ms = endpoint.window.next_due_ms();
  return due_ms && *due_ms <= now_ms_;
}

// Apart from the room there is for all.
bool Schedule::wants_turn(Endpoint& endpoint) const {
  if (endpoint.slots.size() >= std::min(endpoint.allowed, each_max_)) return false;
  if (!is_due(endpoint)) return false;
  if (endpoint.paused == Pause::kNone) return true;
  return !endpoint.probe && endpoint.paused_until_ms <= now_ms_;
}

// The moment at which time alone changes something.
std::optional<std::int64_t> Schedule::alarm_of(Endpoint& endpoint) const {
  const auto due_ms = endpoint.window.next_due_ms();
  // Where the disk cannot be read it is looked at again.
  if (!due_ms && !endpoint.window.complete()) return now_ms_ + 5 * base::kSecond;
  const bool is_paused = endpoint.paused != Pause::kNone;
  // Nothing happens before a pause is over, and then only where a ticket is there to ask with.
  if (!due_ms || (is_paused && endpoint.probe)) return std::nullopt;
  const std::int64_t moment = is_paused ? std::max(*due_ms, endpoint.paused_until_ms) : *due_ms;
  // Over already: it has its turn, or gets it with the next slot.
  return moment > now_ms_ ? std::optional(moment) : std::nullopt;
}

// Puts the endpoint into the round where it can run, and its next moment into the alarms.
void Schedule::refresh(const std::string& destination, Endpoint& endpoint) {
  const bool in_line = endpoint.queued && endpoint.queued_doubtful == endpoint.doubtful();
  if (!in_line && wants_turn(endpoint)) {  // its place in the other line, if it has one, is void
    endpoint.queued = true;
    endpoint.queued_doubtful = endpoint.doubtful();
    (endpoint.doubtful() ? turns_.doubtful : turns_.good).push_back(destination);
  }
  const auto alarm = alarm_of(endpoint);
  if (alarm == endpoint.alarm_ms) return;
  if (endpoint.alarm_ms) alarms_.erase({*endpoint.alarm_ms, destination});
  if (alarm) alarms_.emplace(*alarm, destination);
  endpoint.alarm_ms = alarm;
}

// Of the two rounds the one whose turn it is, as far as there is room.
std::optional<std::string> Schedule::next_turn() {
  if (slots_ >= total_max_) return std::nullopt;
  const bool doubtful = !turns_.doubtful.empty() && doubtful_slots_ < (total_max_ + 1) / 2;
  if (turns_.good.empty() && !doubtful) return std::nullopt;
  const bool take_doubtful = doubtful && (turns_.doubtful_next || turns_.good.empty());
  turns_.doubtful_next = !take_doubtful;
  std::deque<std::string>& round = take_doubtful ? turns_.doubtful : turns_.good;
  std::string destination = std::move(round.front());
  round.pop_front();
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end()) return "";
  if (!at->second.queued || at->second.queued_doubtful != take_doubtful) return "";
  at->second.queued = false;
  const bool stays = at->second.doubtful() == take_doubtful && wants_turn(at->second);
  if (stays) return destination;
  refresh(destination, at->second);
  return "";
}

std::optional<Schedule::Next> Schedule::next(std::int64_t now_ms) {
  now_ms_ = now_ms;
  while (!alarms_.empty() && alarms_.begin()->first <= now_ms) {
    const std::string destination = alarms_.begin()->second;
    alarms_.erase(alarms_.begin());
    Endpoint& due = endpoints_.at(destination);
    due.alarm_ms.reset();
    refresh(destination, due);
  }
  while (auto destination = next_turn()) {
    if (destination->empty()) continue;  // that one did not need it any more
    Endpoint& chosen = endpoints_.at(*destination);
    const Key key = *chosen.window.take(now_ms);
    chosen.slots[key] = chosen.doubtful();
    if (chosen.doubtful()) ++doubtful_slots_;
    if (chosen.paused != Pause::kNone) chosen.probe = key;
    ++slots_;
    refresh(*destination, chosen);
    return Next{*std::move(destination), key};
  }
  return std::nullopt;
}

std::optional<std::int64_t> Schedule::wake_ms() const {
  if (alarms_.empty()) return std::nullopt;
  return alarms_.begin()->first;
}

void Schedule::slot_free(const std::string& destination, const Key& key) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end()) return;
  Endpoint& of = at->second;
  const auto slot = of.slots.extract(key);
  if (slot.empty()) return;
  --slots_;
  if (slot.mapped()) --doubtful_slots_;
  of.settling.insert(key);
  if (of.probe == key) of.probe.reset();
  refresh(destination, of);
}

void Schedule::finished(const std::string& destination, const Key& key) {
  slot_free(destination, key);
  Endpoint& of = endpoint(destination);
  of.settling.erase(key);
  of.hurried.erase(key);
  of.window.let_go(key);
  refresh(destination, of);
  drop_if_idle(destination);
}

void Schedule::again(const std::string& destination, const Key& key, std::int64_t due_ms) {
  slot_free(destination, key);
  Endpoint& of = endpoint(destination);
  of.settling.erase(key);
  of.window.put_off(due_ms);
  of.window.let_go(key);
  of.window.told(key, due_ms, of.hurried.erase(key) > 0);
  refresh(destination, of);
}

void Schedule::as_before(const std::string& destination, const Key& key) {
  slot_free(destination, key);
  Endpoint& of = endpoint(destination);
  of.settling.erase(key);
  of.hurried.erase(key);
  of.window.put_back(key);
  refresh(destination, of);
}

bool Schedule::pause(const std::string& destination, Pause why, std::int64_t until_ms,
                     const Key& by) {
  Endpoint& of = endpoint(destination);
  if (of.paused != Pause::kNone && of.probe != by) return false;
  of.paused = why;
  of.paused_until_ms = until_ms;
  ++of.pauses;
  refresh(destination, of);
  return true;
}

std::uint32_t Schedule::pauses(const std::string& destination) const {
  const auto at = endpoints_.find(destination);
  return at == endpoints_.end() ? 0 : at->second.pauses;
}

bool Schedule::works(const std::string& destination) {
  Endpoint& of = endpoint(destination);
  of.failures = 0;
  of.pauses = 0;
  of.failed = false;
  of.allowed = std::min(2 * of.allowed, each_max_);
  const bool was_paused = of.paused != Pause::kNone;
  if (was_paused) {
    of.paused = Pause::kNone;
    of.probe.reset();
    of.window.release(now_ms_);
  } else {
    of.window.keep_put_off();
  }
  refresh(destination, of);
  return was_paused;
}

void Schedule::probe_now(const std::string& destination) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end() || at->second.paused == Pause::kNone) return;
  Endpoint& of = at->second;
  of.paused_until_ms = now_ms_;
  // Who was told to wait as long as the pause is a good one to ask with, or who is being told.
  if (!is_due(of) && !of.window.hurry_first() && !of.settling.empty()) {
    of.hurried.insert(*of.settling.begin());
  }
  refresh(destination, of);
}

void Schedule::set_slow(const std::string& destination, bool slow) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end() || at->second.slow == slow) return;
  at->second.slow = slow;
  // What is under way counts as what its back end has turned out to be.
  for (auto& [key, counted] : at->second.slots) {
    if (counted) --doubtful_slots_;
    counted = at->second.doubtful();
    if (counted) ++doubtful_slots_;
  }
  refresh(destination, at->second);
}

void Schedule::put_off(const std::string& destination, std::int64_t due_ms) {
  endpoint(destination).window.put_off(due_ms);
}

std::uint32_t Schedule::count_failure(const std::string& destination) {
  Endpoint& of = endpoint(destination);
  of.failed = true;
  of.allowed = 1;
  return ++of.failures;
}

std::vector<Schedule::Paused> Schedule::paused() const {
  std::vector<Paused> out;
  for (const auto& [destination, endpoint] : endpoints_) {
    if (endpoint.paused != Pause::kNone) out.push_back({destination, endpoint.paused});
  }
  return out;
}

bool Schedule::is_in_hand(const std::string& destination, const Key& key) const {
  const auto at = endpoints_.find(destination);
  return at != endpoints_.end() && at->second.window.is_in_hand(key);
}

bool Schedule::is_busy(const std::string& destination) const {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end()) return false;
  return at->second.slots.size() >= std::min(at->second.allowed, each_max_) || slots_ >= total_max_;
}

std::size_t Schedule::waiting() const {
  std::size_t count = 0;
  for (const auto& [destination, endpoint] : endpoints_) {
    count += endpoint.window.size() + endpoint.slots.size() + endpoint.settling.size();
  }
  return count;
}

void Schedule::drop_if_idle(const std::string& destination) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end() || !at->second.window.is_idle()) return;
  if (at->second.alarm_ms) alarms_.erase({*at->second.alarm_ms, destination});
  endpoints_.erase(at);  // its turn, if it has one, is passed over
}

}  // namespace tickets
