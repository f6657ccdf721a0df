// Counters and gauges: one relaxed atomic each, read by the admin room for GET /metrics.
// A metric is registered by whoever owns it, once, while starting up, and lives as long as the
// Metrics object. Names are Prometheus names: relayd_*, unit last, counters end in _total.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace base {

class Metric {
 public:
  void add(std::int64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void set(std::int64_t n) { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Thread-safe.
class Metrics {
 public:
  // `labels` as in the exposition format, without braces: `direction="in"`; may be empty.
  // The same name and labels give the same metric.
  Metric& counter(std::string_view name, std::string_view help, std::string_view labels = {});
  Metric& gauge(std::string_view name, std::string_view help, std::string_view labels = {});
  // Prometheus text exposition format 0.0.4.
  [[nodiscard]] std::string expose() const;

 private:
  struct Row {
    std::string name, help, labels;
    bool is_counter;
    Metric metric;
    Row(std::string_view n, std::string_view h, std::string_view l, bool c)
        : name(n), help(h), labels(l), is_counter(c) {}
  };
  Metric& find_or_add(std::string_view name, std::string_view help, std::string_view labels,
                      bool is_counter);

  mutable std::mutex mutex_;
  std::deque<Row> rows_;  // references stay valid
};

}  // namespace base
