// Counts of durations in buckets whose width grows with the value, so that memory is fixed and
// every percentile is right to a known share (as in HdrHistogram). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace relaybench {

class Histogram {
 public:
  // A percentile is at most one part in 2^`precision_bits` too large.
  explicit Histogram(unsigned precision_bits = 6);

  void record(std::uint64_t us);       // values past 19 hours count as that
  void merge(const Histogram& other);  // of the same precision
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // Of `share` (0 to 1) of all values this one is not exceeded; 0 where there are none.
  [[nodiscard]] std::uint64_t percentile_us(double share) const;
  [[nodiscard]] std::uint64_t max_us() const { return max_us_; }

 private:
  [[nodiscard]] std::size_t index_of(std::uint64_t us) const;
  [[nodiscard]] std::uint64_t top_of(std::size_t index) const;

  unsigned bits_;
  std::uint64_t count_ = 0;
  std::uint64_t max_us_ = 0;
  std::vector<std::uint64_t> buckets_;  // as many as have been needed
};

}  // namespace relaybench
