#include "queue/pressure.h"

#include "core/base/log.h"

namespace queue {

Pressure::Pressure(std::int64_t pending_max, base::Metrics* metrics) : pending_max_(pending_max) {
  if (metrics == nullptr) return;
  pending_metric_ =
      &metrics->gauge("relayd_queue_pending_octets", "Octets in memory that wait for the disk");
  full_metric_ = &metrics->gauge("relayd_queue_full", "1 while there is no room for new messages");
  failed_metric_ =
      &metrics->gauge("relayd_queue_failed", "1 after a failed write; only a restart mends it");
}

Health Pressure::health() const {
  if (is_poisoned()) {
    const std::lock_guard lock(mutex_);
    return {Failure::kFailed, poison_reason_};
  }
  if (is_full()) {
    const std::lock_guard lock(mutex_);
    return {Failure::kFull, full_reason_};
  }
  if (is_busy()) {
    return {Failure::kBusy, "more than limits.pending_octets (" + std::to_string(pending_max_) +
                                ") wait for the disk; it is slower than the mail comes in"};
  }
  return {};
}

void Pressure::charge(std::int64_t octets) {
  const std::int64_t now = pending_.fetch_add(octets, std::memory_order_relaxed) + octets;
  if (pending_metric_ != nullptr) pending_metric_->set(now);
}

void Pressure::set_full(std::string reason) {
  if (!is_full()) base::log_error("queue is full", {{"reason", reason}});
  const std::lock_guard lock(mutex_);
  full_reason_ = std::move(reason);
  full_.store(true, std::memory_order_release);
  if (full_metric_ != nullptr) full_metric_->set(1);
}

void Pressure::clear_full() {
  if (!full_.exchange(false, std::memory_order_acq_rel)) return;
  base::log_info("queue has room again");
  if (full_metric_ != nullptr) full_metric_->set(0);
}

void Pressure::poison(std::string reason) {
  base::log_error("queue has failed: no more mail is taken until relayd is restarted",
                  {{"reason", reason}});
  const std::lock_guard lock(mutex_);
  if (is_poisoned()) return;
  poison_reason_ = std::move(reason);
  poisoned_.store(true, std::memory_order_release);
  if (failed_metric_ != nullptr) failed_metric_->set(1);
}

}  // namespace queue
