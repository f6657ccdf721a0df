// Copying survivors forward: a segment that is mostly dead has its living messages copied to the
// segment that is written to, and goes. This finds them and reads them; the committer writes, syncs
// and commits (docs/decisions/0020-segment-life.md). The committer's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "queue/environment.h"
#include "queue/segment.h"
#include "queue/tables.h"

namespace queue {

// A message and its bytes (prefix, then content), which are those that came in.
struct Survivor {
  Message message;
  std::string bytes;
};

// Works in sweeps: when enough octets have died since the last one, the table of segments is read
// for those of which less than a quarter lives, and then the table of messages for who lives there.
// Both in steps of bounded size; a sweep takes no more than a fifth of the committer's time.
class Compactor {
 public:
  using Clock = std::chrono::steady_clock;
  Compactor(const Environment& environment, SegmentDirectory& segments, const base::Limits& limits)
      : environment_(environment), segments_(segments), limits_(limits) {}

  // What a transaction did to the segments that are still there.
  void note(const Changes& changes);

  // When next() is due; nullopt while there is nothing to do.
  [[nodiscard]] std::optional<Clock::time_point> due() const;
  // The next step of the sweep: who is to be copied now, often nobody. `active` is the segment that
  // is written to.
  std::vector<Survivor> next(std::optional<std::uint64_t> active);
  // The step that began with next() is over, copies and all.
  void step_done();
  // There is no room for the copies; the sweep is over, the next one comes with the next deaths.
  void give_up();

 private:
  void survey(std::optional<std::uint64_t> active);
  std::vector<Survivor> collect();
  std::optional<Survivor> read(Message message);
  void finish();

  const Environment& environment_;
  SegmentDirectory& segments_;
  const base::Limits& limits_;

  enum class Phase : std::uint8_t { kNone, kSurvey, kCollect };
  Phase phase_ = Phase::kSurvey;  // after a start nobody knows what has died
  std::int64_t died_ = 0;         // octets since the last sweep began
  std::string at_;                // key of the table that is read, behind which to go on
  std::set<std::uint64_t> sparse_;
  std::uint64_t sparse_octets_ = 0, sparse_living_ = 0;
  std::set<std::uint64_t> damaged_;  // segments that cannot be emptied: left as they are
  Clock::time_point step_began_, next_step_;
};

}  // namespace queue
