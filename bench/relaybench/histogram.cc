#include "relaybench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace relaybench {
namespace {

constexpr std::uint64_t kMaxUs = (std::uint64_t{1} << 36) - 1;

}  // namespace

Histogram::Histogram(unsigned precision_bits) : bits_(precision_bits) {}

// Values below 2^bits have a bucket each; above, every power of two is cut into 2^bits buckets.
std::size_t Histogram::index_of(std::uint64_t us) const {
  const std::uint64_t per_power = std::uint64_t{1} << bits_;
  if (us < per_power) return us;
  const auto shift = static_cast<unsigned>(std::bit_width(us)) - 1 - bits_;
  return (shift + 1) * per_power + (us >> shift) - per_power;
}

std::uint64_t Histogram::top_of(std::size_t index) const {
  const std::uint64_t per_power = std::uint64_t{1} << bits_;
  if (index < per_power) return index;
  const std::uint64_t shift = index / per_power - 1;
  return ((index % per_power + per_power + 1) << shift) - 1;
}

void Histogram::record(std::uint64_t us) {
  us = std::min(us, kMaxUs);
  const std::size_t index = index_of(us);
  if (index >= buckets_.size()) buckets_.resize(index + 1);
  ++buckets_[index];
  ++count_;
  max_us_ = std::max(max_us_, us);
}

void Histogram::merge(const Histogram& other) {
  if (buckets_.size() < other.buckets_.size()) buckets_.resize(other.buckets_.size());
  for (std::size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_us_ = std::max(max_us_, other.max_us_);
}

std::uint64_t Histogram::percentile_us(double share) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted && seen > 0) return std::min(top_of(i), max_us_);
  }
  return max_us_;
}

}  // namespace relaybench
