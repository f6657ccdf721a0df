// What the queue does to its tables, in terms of messages and deliveries. Reading needs any
// transaction, changing the committer's; a change either is made whole or not at all (where it
// answers kNotFound or kFailed nothing was written). Errors of the database stay in Txn::error().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "queue/codec.h"
#include "queue/environment.h"
#include "queue/store.h"

namespace queue {

// Of what a remote server or a back end says, this much is kept.
inline constexpr std::size_t kReplyMax = 2048;

using Order = Store::Order;
struct OperatorOrder {
  Order order = Order::kRetry;
  base::Id id;
  std::optional<std::uint32_t> index;  // one delivery; else all of the message's
  std::string reason;
};

class TrailWriter;

// What follows from a transaction once it is committed; and who writes down what is changed.
struct Changes {
  std::vector<Store::Waiting> waiting;        // new or rescheduled
  std::map<std::uint64_t, SegmentUse> usage;  // by segment: what was added, what went
  std::vector<std::uint64_t> emptied;         // segments whose files can go
  std::int64_t messages = 0;                  // added less removed
  TrailWriter* trail = nullptr;               // null: nobody
};

std::optional<Message> find_message(const Txn& txn, const base::Id& id);
std::optional<Delivery> find_delivery(const Txn& txn, const base::Id& id, std::uint32_t index);
std::vector<Delivery> find_deliveries(const Txn& txn, const base::Id& id);
// Fills in what is known of the delivery's recipients.
void load_recipients(const Txn& txn, Delivery& delivery);
Store::DuePage list_due(const Txn& txn, const std::string& destination,
                        const std::optional<Store::Due>& after, std::size_t rows_max);
std::vector<Store::Destination> list_destinations(const Txn& txn);

Failure insert_message(Txn& txn, const NewMessage& message, Changes& changes);
Failure update_delivery(Txn& txn, const DeliveryUpdate& update, Changes& changes);
Failure obey(Txn& txn, const OperatorOrder& order, std::int64_t now_ms, Changes& changes);
// The same bytes lie in another place now. `message` is as it is in the table.
void move_body(Txn& txn, const Message& message, const BodyRef& to, Changes& changes);
// Writes changes.usage; segments that hold nothing any more are noted in changes.emptied: all but
// `active`, the one that is written to, and that one too where `drop_active` is set.
void settle_segments(Txn& txn, std::optional<std::uint64_t> active, bool drop_active,
                     Changes& changes);

}  // namespace queue
