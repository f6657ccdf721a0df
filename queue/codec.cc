#include "queue/codec.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "queue/record_bytes.h"

namespace queue {
namespace {

constexpr std::uint8_t kVersion = 1;
// Of messages: 2 has `event`, 1 has not. The older one is read and never written.
constexpr std::uint8_t kMessageVersion = 2;
// LMDB takes keys of 511 octets: the name, a zero, perhaps a moment, id and index.
constexpr std::size_t kDestinationKeyMax = 400;
constexpr std::size_t kMomentAndName = 8 + 20;

BodyRef read_body(Reader& reader) {
  BodyRef body;
  body.segment = reader.fixed(8);
  body.prefix_offset = reader.fixed(8);
  body.prefix_size = reader.fixed(8);
  body.content_offset = reader.fixed(8);
  body.content_size = reader.fixed(8);
  body.checksum = static_cast<std::uint32_t>(reader.fixed(4));
  return body;
}

// Offsets and sizes are added all over the place: no sum of a decoded record may overflow.
bool is_sane(const BodyRef& body) {
  constexpr std::uint64_t kMax = std::uint64_t{1} << 60;
  return body.prefix_offset <= kMax && body.prefix_size <= kMax && body.content_offset <= kMax &&
         body.content_size <= kMax;
}

}  // namespace

std::string encode_message(const Message& message) {
  const mail::Envelope& envelope = message.envelope;
  Writer out(512 + message.judgement.size() + message.details.size());
  out.octet(kMessageVersion);
  out.fixed(message.body.segment, 8);
  out.fixed(message.body.prefix_offset, 8);
  out.fixed(message.body.prefix_size, 8);
  out.fixed(message.body.content_offset, 8);
  out.fixed(message.body.content_size, 8);
  out.fixed(message.body.checksum, 4);
  out.octet(static_cast<std::uint8_t>(message.kind));
  for (const std::string* text :
       {&message.tenant, &message.domain, &message.support_address, &message.helo,
        &message.remote_ip, &message.trust, &message.judgement, &message.guard, &message.related_id,
        &message.event, &message.details}) {
    out.text(*text);
  }
  out.signed_number(message.arrival_ms);
  out.signed_number(message.expiry_ms);
  out.text(envelope.mail_from);
  out.octet(static_cast<std::uint8_t>(envelope.body));
  out.octet(envelope.smtputf8 ? 1 : 0);
  out.number(envelope.size_declared);
  out.text(envelope.ret);
  out.text(envelope.envid);
  out.number(envelope.recipients.size());
  for (const mail::Recipient& recipient : envelope.recipients) {
    out.text(recipient.address);
    out.text(recipient.notify);
    out.text(recipient.orcpt);
  }
  return out.take();
}

std::optional<Message> decode_message(const base::Id& id, std::string_view record) {
  Reader in(record);
  const std::uint8_t version = in.octet_in(1, kMessageVersion);
  if (version == 0) return std::nullopt;
  Message message;
  message.id = id;
  message.body = read_body(in);
  if (!is_sane(message.body)) return std::nullopt;
  message.kind = static_cast<Kind>(in.octet_in(1, 4));
  for (std::string* text : {&message.tenant, &message.domain, &message.support_address,
                            &message.helo, &message.remote_ip, &message.trust, &message.judgement,
                            &message.guard, &message.related_id}) {
    *text = in.text();
  }
  if (version >= 2) message.event = in.text();
  message.details = in.text();
  message.arrival_ms = in.signed_number();
  message.expiry_ms = in.signed_number();
  mail::Envelope& envelope = message.envelope;
  envelope.mail_from = in.text();
  envelope.body = static_cast<mail::BodyType>(in.octet_in(0, 1));
  envelope.smtputf8 = in.octet_in(0, 1) == 1;
  envelope.size_declared = in.number();
  envelope.ret = in.text();
  envelope.envid = in.text();
  const std::uint64_t recipients = in.count(3);
  envelope.recipients.reserve(recipients);
  for (std::uint64_t i = 0; i < recipients && in.ok(); ++i) {
    mail::Recipient& recipient = envelope.recipients.emplace_back();
    recipient.address = in.text();
    recipient.notify = in.text();
    recipient.orcpt = in.text();
  }
  if (!in.done()) return std::nullopt;
  return message;
}

std::optional<BodyRef> decode_body(std::string_view record) {
  Reader in(record);
  if (in.octet_in(1, kMessageVersion) == 0) return std::nullopt;
  const BodyRef body = read_body(in);
  if (!in.ok() || !is_sane(body)) return std::nullopt;
  return body;
}

// Field by field as decode_message.
std::optional<MessageGlance> glance_at_message(std::string_view record) {
  Reader in(record);
  const std::uint8_t version = in.octet_in(1, kMessageVersion);
  if (version == 0) return std::nullopt;
  MessageGlance message;
  message.body = read_body(in);
  if (!is_sane(message.body)) return std::nullopt;
  (void)in.octet_in(1, 4);
  message.tenant = in.view();
  message.domain = in.view();
  const int texts = version >= 2 ? 9 : 8;  // support_address to details
  for (int i = 0; i < texts; ++i) (void)in.view();
  message.arrival_ms = in.signed_number();
  (void)in.signed_number();
  message.mail_from = in.view();
  (void)in.octet_in(0, 1);
  (void)in.octet_in(0, 1);
  (void)in.number();
  (void)in.view();
  (void)in.view();
  message.recipients = in.rest();
  const std::uint64_t recipients = in.count(3);
  for (std::uint64_t i = 0; i < 3 * recipients && in.ok(); ++i) (void)in.view();
  if (!in.done()) return std::nullopt;
  return message;
}

bool has_recipient(const MessageGlance& message, std::string_view address) {
  Reader in(message.recipients);
  const std::uint64_t recipients = in.count(3);
  for (std::uint64_t i = 0; i < recipients && in.ok(); ++i) {
    if (base::iequals(in.view(), address)) return true;
    (void)in.view();
    (void)in.view();
  }
  return false;
}

std::optional<DeliveryGlance> glance_at_delivery(std::string_view record) {
  Reader in(record);
  if (in.octet() != kVersion) return std::nullopt;
  DeliveryGlance delivery;
  delivery.state = static_cast<State>(in.octet_in(1, 2));
  (void)in.number32();
  (void)in.signed_number();
  delivery.destination = in.view();
  (void)in.view();
  const std::uint64_t recipients = in.count(1);
  for (std::uint64_t i = 0; i < recipients && in.ok(); ++i) (void)in.number32();
  if (!in.done()) return std::nullopt;
  return delivery;
}

std::string why_unreadable(std::string_view record) {
  const auto version = record.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(record.front());
  if (version <= kMessageVersion) return "its record is damaged";
  return "its record is of version " + std::to_string(version) +
         ", this relayd reads versions up to " + std::to_string(kMessageVersion) +
         ": a newer relayd wrote it, or it is damaged";
}

std::string encode_delivery(const Delivery& delivery) {
  Writer out(64 + delivery.destination.size() + delivery.last_reply.size());
  out.octet(kVersion);
  out.octet(static_cast<std::uint8_t>(delivery.state));
  out.number(delivery.attempts);
  out.signed_number(delivery.next_attempt_ms);
  out.text(delivery.destination);
  out.text(delivery.last_reply);
  out.number(delivery.recipients.size());
  for (const RecipientStatus& recipient : delivery.recipients) out.number(recipient.index);
  return out.take();
}

std::optional<Delivery> decode_delivery(const base::Id& id, std::uint32_t index,
                                        std::string_view record) {
  Reader in(record);
  if (in.octet() != kVersion) return std::nullopt;
  Delivery delivery;
  delivery.id = id;
  delivery.index = index;
  delivery.state = static_cast<State>(in.octet_in(1, 2));
  delivery.attempts = in.number32();
  delivery.next_attempt_ms = in.signed_number();
  delivery.destination = in.text();
  delivery.last_reply = in.text();
  const std::uint64_t recipients = in.count(1);
  delivery.recipients.reserve(recipients);
  for (std::uint64_t i = 0; i < recipients && in.ok(); ++i) {
    delivery.recipients.emplace_back().index = in.number32();
  }
  if (!in.done()) return std::nullopt;
  return delivery;
}

std::string encode_recipient(const RecipientStatus& status) {
  Writer out(8 + status.last_reply.size());
  out.octet(kVersion);
  out.octet(static_cast<std::uint8_t>(status.state));
  out.text(status.last_reply);
  return out.take();
}

std::optional<RecipientStatus> decode_recipient(std::uint32_t index, std::string_view record) {
  Reader in(record);
  if (in.octet() != kVersion) return std::nullopt;
  RecipientStatus status;
  status.index = index;
  status.state = static_cast<RecipientState>(in.octet_in(1, 3));
  status.last_reply = in.text();
  if (!in.done()) return std::nullopt;
  return status;
}

std::string encode_segment(const SegmentUse& use) {
  Writer out(24);
  out.octet(kVersion);
  out.signed_number(use.messages);
  out.signed_number(use.octets);
  return out.take();
}

std::optional<SegmentUse> decode_segment(std::string_view record) {
  Reader in(record);
  if (in.octet() != kVersion) return std::nullopt;
  SegmentUse use;
  use.messages = in.signed_number();
  use.octets = in.signed_number();
  if (!in.done()) return std::nullopt;
  return use;
}

Key delivery_key(const base::Id& id, std::uint32_t index) {
  Key key(id.key());
  key.append_big_endian(index, 4);
  return key;
}

std::optional<DeliveryKey> parse_delivery_key(std::string_view key) {
  if (key.size() != 20) return std::nullopt;
  return DeliveryKey{*base::Id::from_key(key.substr(0, 16)),
                     static_cast<std::uint32_t>(big_endian(key.substr(16)))};
}

Key recipient_key(const base::Id& id, std::uint32_t delivery, std::uint32_t recipient) {
  Key key = delivery_key(id, delivery);
  key.append_big_endian(recipient, 4);
  return key;
}

Key destination_prefix(std::string_view destination) {
  Key key(destination.substr(0, std::min(destination.find('\0'), kDestinationKeyMax)));
  key.append(std::string_view("\0", 1));
  return key;
}

Key destination_key(std::string_view destination, const base::Id& id, std::uint32_t index) {
  Key key = destination_prefix(destination);
  key.append(delivery_key(id, index));
  return key;
}

Key due_key(std::string_view destination, std::int64_t due_ms, const base::Id& id,
            std::uint32_t index) {
  Key key = destination_prefix(destination);
  key.append_big_endian(static_cast<std::uint64_t>(std::max<std::int64_t>(due_ms, 0)), 8);
  key.append(delivery_key(id, index));
  return key;
}

std::string_view due_prefix(std::string_view key) {
  if (key.size() <= kMomentAndName) return {};
  const std::string_view prefix = key.substr(0, key.size() - kMomentAndName);
  return prefix.find('\0') == prefix.size() - 1 ? prefix : std::string_view();
}

std::optional<DueKey> parse_due_key(std::string_view key) {
  const std::size_t prefix = due_prefix(key).size();
  if (prefix == 0) return std::nullopt;
  const auto name = parse_delivery_key(key.substr(prefix + 8));
  return DueKey{static_cast<std::int64_t>(big_endian(key.substr(prefix, 8))), name->id,
                name->index};
}

Key segment_key(std::uint64_t number) {
  Key key;
  key.append_big_endian(number, 8);
  return key;
}

std::optional<std::uint64_t> parse_segment_key(std::string_view key) {
  if (key.size() != 8) return std::nullopt;
  return big_endian(key);
}

}  // namespace queue
