// The trail: what happened to each message, written in the transaction of the change it tells of,
// so that it can never disagree with the queue; kept for a time after the message is gone.
//
// Two tables. `trail` has a row a step: (id, number) -> step. `term` finds ids: (bucket, hash, id)
// -> nothing. A bucket is closed when it has kBucketRows rows: rows of one moment lie side by side,
// so that a commit writes few pages however long the trail is, and a search asks each bucket once.
// The hash is keyed (SipHash-2-4 with the store's uuid): nobody outside can make collisions.
//
// Bounded: of a message the first kStepsFirst and the last kStepsLast steps are kept. Where room is
// scarce nothing is written and the oldest go before their time: the trail gives way to mail.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/environment.h"
#include "queue/tables.h"
#include "queue/trail_step.h"

namespace queue {

inline constexpr std::uint32_t kStepsFirst = 8;
inline constexpr std::uint32_t kStepsLast = 24;
inline constexpr std::uint32_t kBucketRows = 4096;

// Keyed, of the term without the angle brackets of a Message-ID and without case.
std::uint64_t term_hash(std::string_view uuid, std::string_view term);

// The bucket that terms are put into, and how many it has.
struct TermBucket {
  std::uint32_t number = 0;
  std::uint32_t rows = 0;
};

// Writes the steps of one transaction. Errors stay in Txn::error().
class TrailWriter {
 public:
  TrailWriter(Txn& txn, TermBucket& bucket, std::int64_t now_ms)
      : txn_(txn), bucket_(bucket), now_ms_(now_ms) {}

  void received(const NewMessage& message);
  // `before` is the delivery as it was.
  void updated(const DeliveryUpdate& update, const Delivery& before);
  void ordered(Order order, const Delivery& delivery, const std::string& reason);

 private:
  void add(const base::Id& id, TrailStep step, bool is_first = false);
  void find_by(const base::Id& id, TrailStep& step, std::string_view term);

  Txn& txn_;
  TermBucket& bucket_;
  const std::int64_t now_ms_;
};

// Forgets what is old, a bounded number of messages a time. The committer's.
class TrailKeeper {
 public:
  // keep_ms after the last step of a message that is gone; 0: nothing is written, all is forgotten.
  TrailKeeper(const Environment& environment, std::int64_t keep_ms);

  TermBucket& bucket() { return bucket_; }

  // Asked before every transaction that changes something.
  bool may_write(const Txn& txn);
  // Is there something to look at? Cheap.
  [[nodiscard]] bool is_due(std::int64_t now_ms) const {
    return now_ms >= look_again_ms_ || now_ms < looked_ms_ || behind_ || scarce_;
  }
  // Looks at up to `messages_max` messages from the oldest on and forgets those whose time is over;
  // the oldest whatever their time where room is scarce. True where something was removed.
  bool forget(Txn& txn, std::int64_t now_ms, std::size_t messages_max);

 private:
  [[nodiscard]] static bool is_scarce(const Txn& txn);

  const std::int64_t keep_ms_;
  TermBucket bucket_;
  std::string position_;  // key to go on from; "": from the front
  std::int64_t looked_ms_ = 0, look_again_ms_ = 0;
  bool behind_ = false;  // more to look at at once
  bool scarce_ = false;  // the map had little room when it was last looked at
};

// The steps of a message in order; empty where none are known.
std::vector<TrailStep> find_trail(const Txn& txn, const base::Id& id);
// Ids that the term finds, the latest first, each once, at most `ids_max`.
std::vector<base::Id> find_by_term(const Txn& txn, std::string_view term, std::size_t ids_max);

}  // namespace queue
