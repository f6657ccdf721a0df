// The bytes of the queue's database: records (versioned, compact) and keys (big-endian, so that
// they sort as they should). Decoding is strict: whatever the bytes, it gives a whole record or
// nullopt. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/id.h"
#include "queue/key.h"
#include "queue/records.h"

namespace queue {

// The message without its id, which is the key.
std::string encode_message(const Message& message);
std::optional<Message> decode_message(const base::Id& id, std::string_view record);
// Why decode_message does not take it: damaged, or of a newer version; for the operator.
std::string why_unreadable(std::string_view record);
// Only where the bytes are; cheap.
std::optional<BodyRef> decode_body(std::string_view record);
// What filters and the scan at start look at, a million records in a row: views of the record, and
// nullopt exactly where decode_message says so.
struct MessageGlance {
  BodyRef body;
  std::string_view tenant, domain, mail_from;
  std::int64_t arrival_ms = 0;
  std::string_view recipients;  // for has_recipient
};
std::optional<MessageGlance> glance_at_message(std::string_view record);
// Exact but for case.
bool has_recipient(const MessageGlance& message, std::string_view address);

// The delivery without id and index, which are the key, and with its recipients' numbers only:
// their states are rows of their own, written where they say more than "pending".
std::string encode_delivery(const Delivery& delivery);
std::optional<Delivery> decode_delivery(const base::Id& id, std::uint32_t index,
                                        std::string_view record);

// The same for a delivery.
struct DeliveryGlance {
  State state = State::kWaiting;
  std::string_view destination;
};
std::optional<DeliveryGlance> glance_at_delivery(std::string_view record);

std::string encode_recipient(const RecipientStatus& status);
std::optional<RecipientStatus> decode_recipient(std::uint32_t index, std::string_view record);

// What of a segment is in use.
struct SegmentUse {
  std::int64_t messages = 0;
  std::int64_t octets = 0;
};
std::string encode_segment(const SegmentUse& use);
std::optional<SegmentUse> decode_segment(std::string_view record);

struct DeliveryKey {
  base::Id id;
  std::uint32_t index = 0;
};
Key delivery_key(const base::Id& id, std::uint32_t index);
std::optional<DeliveryKey> parse_delivery_key(std::string_view key);

Key recipient_key(const base::Id& id, std::uint32_t delivery, std::uint32_t recipient);

// What all keys of a destination start with: its name, cut to what fits a key, and a zero octet.
// Two destinations that are cut alike share it: readers compare with the delivery's record.
Key destination_prefix(std::string_view destination);
Key destination_key(std::string_view destination, const base::Id& id, std::uint32_t index);

// Behind the destination's prefix the moment, so that one destination's deliveries lie together in
// order of due time, and the next destination is one seek away. Before 1970 is 1970.
struct DueKey {
  std::int64_t due_ms = 0;
  base::Id id;
  std::uint32_t index = 0;
};
Key due_key(std::string_view destination, std::int64_t due_ms, const base::Id& id,
            std::uint32_t index);
std::optional<DueKey> parse_due_key(std::string_view key);
// The prefix of a due key; empty where it is none.
std::string_view due_prefix(std::string_view key);

Key segment_key(std::uint64_t number);
std::optional<std::uint64_t> parse_segment_key(std::string_view key);

}  // namespace queue
