// Counts open sessions, in all and by IP address, over every loop. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "core/base/limits.h"
#include "core/base/metrics.h"

namespace ingress {

class SessionCensus {
 public:
  explicit SessionCensus(base::Metrics& metrics);

  enum class Entry { kWelcome, kTooMany, kTooManyFromAddress };
  // kWelcome must be paired with leave().
  Entry enter(const std::string& ip, const base::Limits& limits);
  void leave(const std::string& ip);
  [[nodiscard]] std::int64_t open() const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::int64_t> by_address_;
  std::int64_t open_ = 0;
  base::Metric& gauge_;
};

}  // namespace ingress
