#include "relayd/tickets/schedule.h"

#include <algorithm>
#include <utility>

namespace tickets {

void Schedule::add(const std::string& destination, const Key& key, std::int64_t due_ms) {
  Endpoint& endpoint = endpoints_[destination];
  const auto at = endpoint.entries.find(key);
  if (at != endpoint.entries.end()) {
    if (at->second.where == Where::kSlot) return;
    if (at->second.where == Where::kSettling) {  // an operator's retry while the outcome is written
      at->second.due_ms = std::min(at->second.due_ms, due_ms);
      return;
    }
    if (at->second.due_ms == due_ms || (at->second.where == Where::kReady && due_ms <= now_ms_))
      return;
    take_out(endpoint, key, at->second);
  }
  enqueue(endpoint, key, due_ms, Where::kDelayed);
  refresh(destination, endpoint);
}

void Schedule::enqueue(Endpoint& endpoint, const Key& key, std::int64_t due_ms, Where where) {
  if (where == Where::kDelayed && due_ms <= now_ms_) where = Where::kReady;
  endpoint.entries[key] = Entry{where, due_ms};
  if (where == Where::kDelayed) {
    endpoint.delayed.emplace(due_ms, key);
  } else {
    endpoint.ready.push_back(key);
  }
}

void Schedule::take_out(Endpoint& endpoint, const Key& key, const Entry& entry) {
  if (entry.where == Where::kDelayed) endpoint.delayed.erase({entry.due_ms, key});
  if (entry.where == Where::kReady) std::erase(endpoint.ready, key);
}

bool Schedule::runnable(const Endpoint& endpoint) const {
  if (endpoint.ready.empty() || endpoint.slots >= each_max_) return false;
  if (endpoint.paused == Pause::kNone) return true;
  return !endpoint.probe && endpoint.paused_until_ms <= now_ms_;
}

// Puts the endpoint into the round where it can run, and its next moment into the alarms.
void Schedule::refresh(const std::string& destination, Endpoint& endpoint) {
  if (runnable(endpoint) && !endpoint.queued) {
    endpoint.queued = true;
    (endpoint.slow ? slow_turns_ : turns_).push_back(destination);
  }
  std::optional<std::int64_t> alarm;
  if (!endpoint.delayed.empty()) alarm = endpoint.delayed.begin()->first;
  if (endpoint.paused != Pause::kNone) {
    // Nothing happens before the pause is over, and then only where a ticket is there to ask with.
    const bool has_work = !endpoint.ready.empty() || alarm;
    const std::int64_t until = endpoint.paused_until_ms;
    if (endpoint.probe || !has_work) {
      alarm = std::nullopt;
    } else if (endpoint.ready.empty()) {
      alarm = std::max(until, *alarm);
    } else {
      // Over already: it has its turn, or gets it with the next slot.
      alarm = until > now_ms_ ? std::optional(until) : std::nullopt;
    }
  }
  if (alarm == endpoint.alarm_ms) return;
  if (endpoint.alarm_ms) alarms_.erase({*endpoint.alarm_ms, destination});
  if (alarm) alarms_.emplace(*alarm, destination);
  endpoint.alarm_ms = alarm;
}

// The round to take from; null where no slot is free for anybody who waits for one.
std::deque<std::string>* Schedule::whose_turn() {
  if (slots_ >= total_max_) return nullptr;
  const std::size_t slow_max = std::max<std::size_t>(total_max_ / 2, 1);
  if (!slow_turns_.empty() && slow_slots_ < slow_max) return &slow_turns_;
  return turns_.empty() ? nullptr : &turns_;
}

void Schedule::set_slow(const std::string& destination, bool slow) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end() || at->second.slow == slow) return;
  at->second.slow = slow;
  slow_slots_ += slow ? at->second.slots : 0;
  slow_slots_ -= slow ? 0 : at->second.slots;
}

std::optional<Schedule::Next> Schedule::next(std::int64_t now_ms) {
  now_ms_ = now_ms;
  while (!alarms_.empty() && alarms_.begin()->first <= now_ms) {
    const std::string destination = alarms_.begin()->second;
    alarms_.erase(alarms_.begin());
    Endpoint& endpoint = endpoints_[destination];
    endpoint.alarm_ms.reset();
    while (!endpoint.delayed.empty() && endpoint.delayed.begin()->first <= now_ms) {
      const Key key = endpoint.delayed.begin()->second;
      endpoint.delayed.erase(endpoint.delayed.begin());
      endpoint.entries[key].where = Where::kReady;
      endpoint.ready.push_back(key);
    }
    refresh(destination, endpoint);
  }
  while (std::deque<std::string>* turns = whose_turn()) {
    const std::string destination = std::move(turns->front());
    turns->pop_front();
    const auto at = endpoints_.find(destination);
    if (at == endpoints_.end()) continue;
    Endpoint& endpoint = at->second;
    endpoint.queued = false;
    if (!runnable(endpoint) || (endpoint.slow && turns == &turns_)) {  // or slow only now
      refresh(destination, endpoint);
      continue;
    }
    const Key key = endpoint.ready.front();
    endpoint.ready.pop_front();
    endpoint.entries[key].where = Where::kSlot;
    if (endpoint.paused != Pause::kNone) endpoint.probe = key;
    ++endpoint.slots;
    ++slots_;
    if (endpoint.slow) ++slow_slots_;
    refresh(destination, endpoint);
    return Next{destination, key};
  }
  return std::nullopt;
}

std::optional<std::int64_t> Schedule::wake_ms() const {
  if (alarms_.empty()) return std::nullopt;
  return alarms_.begin()->first;
}

void Schedule::slot_free(const std::string& destination, const Key& key) {
  Endpoint& endpoint = endpoints_[destination];
  const auto at = endpoint.entries.find(key);
  if (at == endpoint.entries.end() || at->second.where != Where::kSlot) return;
  at->second = Entry{Where::kSettling, INT64_MAX};
  --endpoint.slots;
  --slots_;
  if (endpoint.slow) --slow_slots_;
  if (endpoint.probe == key) endpoint.probe.reset();
  refresh(destination, endpoint);
}

void Schedule::finished(const std::string& destination, const Key& key) {
  slot_free(destination, key);
  Endpoint& endpoint = endpoints_[destination];
  const auto at = endpoint.entries.find(key);
  if (at != endpoint.entries.end()) {
    take_out(endpoint, key, at->second);
    endpoint.entries.erase(at);
  }
  refresh(destination, endpoint);
  drop_if_idle(destination);
}

void Schedule::again(const std::string& destination, const Key& key, std::int64_t due_ms) {
  slot_free(destination, key);
  Endpoint& endpoint = endpoints_[destination];
  const auto at = endpoint.entries.find(key);
  if (at != endpoint.entries.end()) {
    if (at->second.where == Where::kSettling) due_ms = std::min(due_ms, at->second.due_ms);
    take_out(endpoint, key, at->second);
  }
  enqueue(endpoint, key, due_ms, Where::kDelayed);
  refresh(destination, endpoint);
}

bool Schedule::pause(const std::string& destination, Pause why, std::int64_t until_ms,
                     const Key& by) {
  Endpoint& endpoint = endpoints_[destination];
  if (endpoint.paused != Pause::kNone && endpoint.probe != by) return false;
  endpoint.paused = why;
  endpoint.paused_until_ms = until_ms;
  ++endpoint.pauses;
  refresh(destination, endpoint);
  return true;
}

std::uint32_t Schedule::pauses(const std::string& destination) const {
  const auto at = endpoints_.find(destination);
  return at == endpoints_.end() ? 0 : at->second.pauses;
}

bool Schedule::works(const std::string& destination) {
  Endpoint& endpoint = endpoints_[destination];
  endpoint.failures = 0;
  endpoint.pauses = 0;
  if (endpoint.paused == Pause::kNone) return false;
  endpoint.paused = Pause::kNone;
  endpoint.probe.reset();
  for (const auto& [due_ms, key] : endpoint.delayed) {
    endpoint.entries[key].where = Where::kReady;
    endpoint.ready.push_back(key);
  }
  endpoint.delayed.clear();
  refresh(destination, endpoint);
  return true;
}

void Schedule::probe_now(const std::string& destination) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end() || at->second.paused == Pause::kNone) return;
  Endpoint& endpoint = at->second;
  endpoint.paused_until_ms = now_ms_;
  // Who was told to wait as long as the pause is a good one to ask with.
  if (endpoint.ready.empty() && !endpoint.delayed.empty()) {
    const Key key = endpoint.delayed.begin()->second;
    endpoint.delayed.erase(endpoint.delayed.begin());
    endpoint.entries[key].where = Where::kReady;
    endpoint.ready.push_back(key);
  }
  refresh(destination, endpoint);
}

std::uint32_t Schedule::count_failure(const std::string& destination) {
  return ++endpoints_[destination].failures;
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
  if (at == endpoints_.end()) return false;
  const auto entry = at->second.entries.find(key);
  return entry != at->second.entries.end() &&
         (entry->second.where == Where::kSlot || entry->second.where == Where::kSettling);
}

bool Schedule::is_busy(const std::string& destination) const {
  const auto at = endpoints_.find(destination);
  return at != endpoints_.end() && (at->second.slots >= each_max_ || slots_ >= total_max_);
}

std::size_t Schedule::waiting() const {
  std::size_t count = 0;
  for (const auto& [destination, endpoint] : endpoints_) count += endpoint.entries.size();
  return count;
}

void Schedule::drop_if_idle(const std::string& destination) {
  const auto at = endpoints_.find(destination);
  if (at == endpoints_.end() || !at->second.entries.empty()) return;
  if (at->second.alarm_ms) alarms_.erase({*at->second.alarm_ms, destination});
  endpoints_.erase(at);  // its turn, if it has one, is passed over
}

}  // namespace tickets
