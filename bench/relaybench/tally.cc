#include "relaybench/tally.h"

#include <ctime>

#include "core/base/bytes.h"

namespace relaybench {
namespace {

constexpr std::size_t kBinsMax = 512;
constexpr std::size_t kErrorKindsMax = 64;

}  // namespace

std::uint64_t now_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

Timeline::Bin& Timeline::bin(std::uint64_t at_us) {
  while (at_us / width_us_ >= kBinsMax) {
    std::vector<Bin> wider((bins_.size() + 1) / 2);
    for (std::size_t i = 0; i < bins_.size(); ++i) {
      wider[i / 2].latency.merge(bins_[i].latency);
      wider[i / 2].failed += bins_[i].failed;
    }
    bins_ = std::move(wider);
    width_us_ *= 2;
  }
  const std::size_t index = at_us / width_us_;
  if (index >= bins_.size()) bins_.resize(index + 1);
  return bins_[index];
}

void Timeline::record(std::uint64_t at_us, std::uint64_t took_us) {
  bin(at_us).latency.record(took_us);
}

void Timeline::record_failure(std::uint64_t at_us) { ++bin(at_us).failed; }

void Tally::message_accepted(std::uint64_t from_us, std::uint64_t to_us,
                             std::uint64_t octets_sent) {
  ++accepted;
  octets += octets_sent;
  phase(Phase::kMessage, from_us, to_us);
  second.record(to_us - from_us);
  timeline.record(to_us - started_us, to_us - from_us);
}

void Tally::message_failed(std::string_view what, int code, std::string_view example) {
  ++failed;
  timeline.record_failure(now_us() - started_us);
  error(what, code, example);
}

void Tally::connection_failed(std::string_view what, int code, std::string_view example) {
  ++connections_failed;
  error(what, code, example);
}

void Tally::error(std::string_view what, int code, std::string_view example) {
  std::string key = code == 0 ? std::string(what) : std::to_string(code) + " " + std::string(what);
  if (errors.size() >= kErrorKindsMax && !errors.contains(key)) key = "others";
  ErrorCount& row = errors[key];
  if (row.count++ > 0) return;
  row.code = code;
  row.example = base::printable(example);
}

}  // namespace relaybench
