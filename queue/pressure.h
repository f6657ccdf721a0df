// How the store feels: octets waiting for the disk, no room, broken. Read at every MAIL, so it is
// atomics and no I/O. Shared by the store and the contents it gave out. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/base/metrics.h"
#include "queue/store.h"

namespace queue {

class Pressure {
 public:
  Pressure(std::int64_t pending_max, base::Metrics* metrics);

  [[nodiscard]] Health health() const;

  void charge(std::int64_t octets);
  [[nodiscard]] bool is_busy() const { return pending() > pending_max_; }
  // So far past the mark that nothing more is taken into memory, whoever asks.
  [[nodiscard]] bool is_flooded() const { return pending() / 2 > pending_max_; }

  [[nodiscard]] bool is_full() const { return full_.load(std::memory_order_acquire); }
  void set_full(std::string reason);
  void clear_full();

  [[nodiscard]] bool is_poisoned() const { return poisoned_.load(std::memory_order_acquire); }
  // For good. The first reason stays.
  void poison(std::string reason);

 private:
  [[nodiscard]] std::int64_t pending() const { return pending_.load(std::memory_order_relaxed); }

  const std::int64_t pending_max_;
  std::atomic<std::int64_t> pending_{0};
  std::atomic<bool> full_{false};
  std::atomic<bool> poisoned_{false};
  mutable std::mutex mutex_;  // the reasons
  std::string full_reason_, poison_reason_;
  base::Metric *pending_metric_ = nullptr, *full_metric_ = nullptr, *failed_metric_ = nullptr;
};

// Octets that wait for the disk, given back when it goes.
class Charge {
 public:
  Charge() = default;
  explicit Charge(std::shared_ptr<Pressure> pressure) : pressure_(std::move(pressure)) {}
  Charge(Charge&& other) noexcept
      : pressure_(std::move(other.pressure_)), octets_(std::exchange(other.octets_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(pressure_, other.pressure_);
    std::swap(octets_, other.octets_);
    return *this;
  }
  ~Charge() { set(0); }

  void set(std::int64_t octets) {
    if (!pressure_ || octets == octets_) return;
    pressure_->charge(octets - octets_);
    octets_ = octets;
  }

 private:
  std::shared_ptr<Pressure> pressure_;
  std::int64_t octets_ = 0;
};

}  // namespace queue
