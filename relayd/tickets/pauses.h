// Which back ends nothing is sent to at the moment, and why: written by the hand-off's loop, read
// by whoever asks (the admin API). Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace tickets {

struct PausedBackend {
  bool refused = false;            // 401 403 404 410: somebody has to do something
  std::int64_t since_ms = 0;       // the first failure of this pause
  std::int64_t next_probe_ms = 0;  // one ticket asks again then
  std::string reply;               // what the back end said last, or what went wrong
};

class Pauses {
 public:
  // A pause begins, or its probe has failed and it goes on.
  void put(const std::string& tenant, PausedBackend paused) {
    const std::lock_guard lock(mutex_);
    const auto at = by_tenant_.find(tenant);
    if (at != by_tenant_.end()) paused.since_ms = at->second.since_ms;
    by_tenant_[tenant] = std::move(paused);
  }
  void erase(const std::string& tenant) {
    const std::lock_guard lock(mutex_);
    by_tenant_.erase(tenant);
  }
  [[nodiscard]] std::map<std::string, PausedBackend> all() const {
    const std::lock_guard lock(mutex_);
    return by_tenant_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, PausedBackend> by_tenant_;  // one a paused tenant
};

}  // namespace tickets
