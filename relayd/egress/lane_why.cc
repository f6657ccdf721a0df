// What a delivery waits for, as its lane sees it now. The order is that of Lane::kick.
#include "relayd/egress/lane.h"

namespace egress {

queue::Hindrance Lane::why(const Item& item) {
  using queue::Wait;
  const std::int64_t wall_ms = workplace_.clock->wall_ms();
  const std::int64_t steady_ms = workplace_.clock->steady_ms();
  if (is_in_hand(item)) return {Wait::kInHand, {}, {}, 0, 0};
  const queue::Health health = workplace_.store->health();
  if (!unwritten_.empty() || health.failure == queue::Failure::kFailed) {
    return {Wait::kQueue, {}, health.reason, 0, 0};
  }
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  if (smarthost == nullptr) return {Wait::kNoSmarthost, key_, {}, 0, paused_until_ms_};
  const auto account = accounts->smarthost_account(key_);
  if (account && !smarthost->username.empty()) {
    const std::string who = account->username + " at " + account->host;
    const auto lock = workplace_.accounts->smarthost_lock(*account);
    if (lock && lock->closed(wall_ms)) {
      return {Wait::kLocked, who, lock->reply, lock->locked_ms, lock->next_probe_ms()};
    }
    if (connections_.empty() && locks_.ask(*account) == LoginLocks::Answer::kBusy) {
      return {Wait::kLoginProbe, who, lock ? lock->reply : std::string(), 0, 0};
    }
  }
  const Rates::Wait rate = rates_.wait(*smarthost, steady_ms);
  if (rate.for_ms > 0) return {Wait::kRate, rate.rate, {}, 0, wall_ms + rate.for_ms};
  if (connections_.empty() && paused_until_ms_ > wall_ms) {
    return {Wait::kTrouble, smarthost->host, trouble_, trouble_since_ms_, paused_until_ms_};
  }
  const unsigned allowed = cap_.allowed(smarthost->connections, steady_ms);
  if (!connections_.empty() && connections_.size() >= allowed) {
    return {Wait::kConnections, std::to_string(allowed), {}, 0, 0};
  }
  if (connections_.empty() && not_before_ms_ > steady_ms) {
    return {Wait::kReconnect, {}, {}, 0, wall_ms + not_before_ms_ - steady_ms};
  }
  return {};
}

}  // namespace egress
