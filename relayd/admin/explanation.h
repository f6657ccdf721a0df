// What a message waits for, in one paragraph. Pure: whoever asks brings what is known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "queue/hindrance.h"
#include "queue/store.h"

namespace admin {

// `before` counts up to this.
inline constexpr std::uint64_t kCountedBefore = 100'000;

struct Situation {
  queue::Message message;
  queue::Delivery delivery;
  queue::Hindrance hindrance;
  std::uint64_t before = 0;  // deliveries to the same destination that came before it
  std::vector<queue::TrailStep> trail;
  std::int64_t now_ms = 0;
};

struct Explanation {
  queue::Wait wait = queue::Wait::kTurn;
  std::string text;                  // the paragraph
  std::int64_t since_ms = 0;         // it has waited for this since then
  std::int64_t next_attempt_ms = 0;  // 0: none by itself
  std::string last_reply;            // what the other side said last, verbatim
  std::string advice;                // what to do
};

Explanation explain(const Situation& situation);

// What became of a message that is no longer in the queue.
struct Fate {
  std::string outcome;  // "delivered", "failed", "expired", "removed", "unknown"; mixed: the worst
  std::int64_t gone_ms = 0;
  std::string text;
};
Fate explain_gone(const std::string& id, const std::vector<queue::TrailStep>& trail);

}  // namespace admin
