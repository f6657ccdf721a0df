// What happened to a message, one step at a time: the data of its trail and their bytes. Pure.
// The names of steps are fixed: they are in the JSON of `relayctl trail` and in the log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/id.h"
#include "queue/records.h"

namespace queue {

enum class Step : std::uint8_t {
  kReceived = 1,   // taken into the queue; 250 follows
  kDelivered = 2,  // taken over by the other side
  kDeferred = 3,   // an attempt that ended with "later"
  kPutOff = 4,     // no attempt was made: the way is blocked
  kFailed = 5,     // refused for good
  kExpired = 6,    // given up: queue.expire has passed
  kHeld = 7,       // by relayd: the header guard, or what the back end said
  kHeldByOperator = 8,
  kReleased = 9,
  kRetried = 10,
  kRemoved = 11,
  kEvent = 12,  // a bounce or an event about it was made: `related`
};
std::string_view name(Step step);

// Of texts from outside, so much is kept in a step, printable.
inline constexpr std::size_t kTrailTextMax = 400;
// Of one step, addresses or numbers of recipients.
inline constexpr std::size_t kTrailRecipientsMax = 20;

// What is known of a message when it is taken in; kept because the message itself goes.
struct TrailOrigin {
  Kind kind = Kind::kInbound;
  std::string tenant, domain, mail_from, message_id, helo, remote_ip, trust, related_id, event;
  std::uint64_t size = 0;
  std::uint64_t recipient_count = 0;
  std::vector<std::string> recipients;  // the first kTrailRecipientsMax
  bool operator==(const TrailOrigin&) const = default;
};

struct TrailStep {
  std::uint32_t number = 0;  // 0, 1, ... within the message; a gap is what was not kept
  Step step = Step::kReceived;
  std::int64_t at_ms = 0;
  std::string destination;            // "" where it is not about one delivery
  std::uint32_t attempts = 0;         // so far, this one included
  std::int64_t next_attempt_ms = 0;   // 0: none
  std::string text;                   // what the other side said, or why; received: the judgement
  std::string remote;                 // the host that said it, where that is known
  std::string remote_id;              // delivered: what the other side calls it
  std::string related;                // event: the id of the message that was made
  std::uint64_t recipient_count = 0;  // whom it is about, where not all of the message's
  std::vector<std::uint32_t> recipients;  // the first of them, by position in the envelope
  std::optional<TrailOrigin> origin;      // received
  std::vector<std::uint64_t> terms;       // by which the message is found; see queue/trail.h
  std::uint32_t bucket = 0;               // where its terms are
  bool operator==(const TrailStep&) const = default;
};

// Without its number, which is in the key.
std::string encode_step(const TrailStep& step);
std::optional<TrailStep> decode_step(std::uint32_t number, std::string_view record);

}  // namespace queue
