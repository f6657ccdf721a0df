// What the queue keeps about a message, as plain data. Encoded by queue/codec.h, versioned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/id.h"
#include "core/mail/envelope.h"

namespace queue {

enum class Kind : std::uint8_t {
  kInbound = 1,   // a customer's mail, on its way to a back end as message.received
  kOutbound = 2,  // a back end's mail, on its way to a smarthost
  kBounce = 3,    // our RFC 3464 report about an outbound message, on its way to a back end
  kEvent = 4,     // something else a back end is told (Message::event), on its way to it
};

// Where the bytes are. The message that leaves is prefix + content; both lie in one segment, not
// necessarily side by side. `content` is immutable; the prefix holds the fields we add in front.
struct BodyRef {
  std::uint64_t segment = 0;
  std::uint64_t prefix_offset = 0;
  std::uint64_t prefix_size = 0;
  std::uint64_t content_offset = 0;
  std::uint64_t content_size = 0;
  std::uint32_t checksum = 0;  // CRC-32 of prefix and content

  [[nodiscard]] std::uint64_t size() const { return prefix_size + content_size; }
};

struct Message {
  base::Id id;
  Kind kind = Kind::kInbound;
  std::string tenant;
  std::string domain;           // the support address's domain
  std::string support_address;  // inbound: the (first) support address; outbound: the sending one
  mail::Envelope envelope;      // all recipients; index = position
  std::string helo;
  std::string remote_ip;
  std::string trust;       // product.md T5: password, client-certificate, cloud-tenant, none
  std::string judgement;   // JSON made by policy; empty for outbound
  std::string guard;       // digests made by policy/header_guard; empty where not guarded
  std::string related_id;  // bounce: the id of the message it is about
  std::string event;       // event: its type, as in "connector.locked" or "message.delayed"
  std::string details;     // bounce, event: JSON for `data`
  std::int64_t arrival_ms = 0;
  std::int64_t expiry_ms = 0;
  BodyRef body;
};

enum class State : std::uint8_t {
  kWaiting = 1,  // due at next_attempt_ms
  kHeld = 2,     // by the operator, the header guard or a back end's 413/415/422: see last_reply
};

enum class RecipientState : std::uint8_t { kPending = 1, kDelivered = 2, kFailed = 3 };

struct RecipientStatus {
  std::uint32_t index = 0;  // in Message::envelope.recipients
  RecipientState state = RecipientState::kPending;
  std::string last_reply;
};

// One message towards one destination: the unit of scheduling.
struct Delivery {
  base::Id id;
  std::uint32_t index = 0;  // 0, 1, ... within the message
  std::string destination;  // "smarthost:acme.example", "backend:acme"
  State state = State::kWaiting;
  std::uint32_t attempts = 0;
  std::int64_t next_attempt_ms = 0;
  std::string last_reply;  // what the other side said last, or why it waits
  std::vector<RecipientStatus> recipients;
};

}  // namespace queue
