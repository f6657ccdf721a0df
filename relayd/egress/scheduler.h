// What goes to smarthosts and when: one lane a smarthost, so that a dead one delays nobody else.
// Loop's thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "relayd/egress/lane.h"
#include "relayd/egress/login_locks.h"
#include "relayd/egress/settings.h"

namespace egress {

class Scheduler {
 public:
  Scheduler(Workplace workplace, std::shared_ptr<const Settings> settings);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void use(std::shared_ptr<const Settings> settings);
  // At start: something waits for this destination.
  void open(const std::string& destination);
  // After each commit: a delivery is waiting.
  void waiting(const queue::Store::Waiting& waiting);
  // What stands in the way of a delivery to `destination` now.
  [[nodiscard]] queue::Hindrance why(std::string_view destination, const Item& item);
  void accounts_changed();  // another smarthost may serve what waits
  // `on_done` when no connection is left, or after limits.stop_timeout.
  void stop(std::function<void()> on_done);

 private:
  Lane& lane(std::string_view destination);
  void give_turns();
  void check_stopped();

  const Workplace workplace_;
  std::shared_ptr<const Settings> settings_;
  LoginLocks locks_;
  LaneShares shares_;
  net::Timer turn_timer_;
  std::map<std::string, std::unique_ptr<Lane>, std::less<>> lanes_;
  net::Timer stop_timer_;
  std::int64_t stop_by_ms_ = 0;  // steady; 0: not stopping
  std::function<void()> on_stopped_;
};

}  // namespace egress
