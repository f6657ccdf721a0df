#include "queue/tables.h"

#include <algorithm>
#include <set>

#include "core/base/log.h"
#include "queue/trail.h"

namespace queue {
namespace {

std::string cut(const std::string& reply) { return reply.substr(0, kReplyMax); }

Key due_key_of(const Delivery& delivery) {
  return due_key(delivery.destination, delivery.next_attempt_ms, delivery.id, delivery.index);
}

std::optional<Delivery> decode_row(const Txn& txn, const Cursor& cursor) {
  const auto key = parse_delivery_key(cursor.key());
  if (!key) return std::nullopt;
  auto delivery = decode_delivery(key->id, key->index, cursor.value());
  if (delivery) load_recipients(txn, *delivery);
  return delivery;
}

void write_delivery(Txn& txn, const Delivery& delivery, Changes& changes, bool ordered = false) {
  txn.put(Table::kDelivery, delivery_key(delivery.id, delivery.index), encode_delivery(delivery));
  if (delivery.state != State::kWaiting) return;
  txn.put(Table::kDue, due_key_of(delivery), delivery.destination);
  changes.waiting.push_back(
      {delivery.destination, delivery.id, delivery.index, delivery.next_attempt_ms, ordered});
}

void write_recipient(Txn& txn, const Delivery& delivery, RecipientStatus status) {
  const Key key = recipient_key(delivery.id, delivery.index, status.index);
  if (status.state == RecipientState::kPending && status.last_reply.empty()) {
    txn.remove(Table::kRecipient, key);
    return;
  }
  status.last_reply = cut(status.last_reply);
  txn.put(Table::kRecipient, key, encode_recipient(status));
}

void unschedule(Txn& txn, const Delivery& delivery) {
  if (delivery.state != State::kWaiting) return;
  txn.remove(Table::kDue, due_key_of(delivery));
}

void remove_rows(Txn& txn, Table table, std::string_view prefix) {
  Cursor cursor(txn, table);
  for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix);
       more = cursor.next()) {
    cursor.remove();
    if (txn.error() != 0) return;
  }
}

void remove_delivery(Txn& txn, const Delivery& delivery) {
  const Key key = delivery_key(delivery.id, delivery.index);
  unschedule(txn, delivery);
  txn.remove(Table::kDestination,
             destination_key(delivery.destination, delivery.id, delivery.index));
  txn.remove(Table::kDelivery, key);
  remove_rows(txn, Table::kRecipient, key);
}

bool has_deliveries(const Txn& txn, const base::Id& id) {
  Cursor cursor(txn, Table::kDelivery);
  return cursor.seek(id.key()) && cursor.key().starts_with(id.key());
}

void remove_message(Txn& txn, const base::Id& id, Changes& changes) {
  const auto record = txn.get(Table::kMessage, id.key());
  if (!record) return;
  if (const auto body = decode_body(*record)) {
    SegmentUse& use = changes.usage[body->segment];
    use.messages -= 1;
    use.octets -= static_cast<std::int64_t>(body->size());
  }
  txn.remove(Table::kMessage, id.key());
  changes.messages -= 1;
}

// The deliveries an order is about, without their recipients' states.
std::vector<Delivery> ordered_deliveries(const Txn& txn, const OperatorOrder& order) {
  std::vector<Delivery> deliveries;
  const Key prefix = order.index ? delivery_key(order.id, *order.index) : Key(order.id.key());
  Cursor cursor(txn, Table::kDelivery);
  for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix);
       more = cursor.next()) {
    const auto key = parse_delivery_key(cursor.key());
    auto delivery = decode_delivery(order.id, key ? key->index : 0, cursor.value());
    if (delivery) deliveries.push_back(*std::move(delivery));
  }
  return deliveries;
}

void change_delivery(Txn& txn, Delivery& delivery, const OperatorOrder& order, std::int64_t now_ms,
                     Changes& changes) {
  if (order.order == Order::kRelease && delivery.state != State::kHeld) return;
  if (changes.trail != nullptr) changes.trail->ordered(order.order, delivery, order.reason);
  if (order.order == Order::kRemove) return remove_delivery(txn, delivery);
  unschedule(txn, delivery);
  if (order.order == Order::kHold) {
    delivery.state = State::kHeld;
    delivery.last_reply = cut(order.reason);
  } else {
    delivery.state = State::kWaiting;
    delivery.next_attempt_ms = now_ms;
  }
  write_delivery(txn, delivery, changes, true);
}

}  // namespace

void load_recipients(const Txn& txn, Delivery& delivery) {
  Cursor cursor(txn, Table::kRecipient);
  const Key prefix = delivery_key(delivery.id, delivery.index);
  bool more = cursor.seek(prefix);
  // Rows are in the order of recipients, and so are, as a rule, the delivery's numbers.
  for (RecipientStatus& status : delivery.recipients) {
    const Key key = recipient_key(delivery.id, delivery.index, status.index);
    if (!more) return;
    if (cursor.key() != key.view()) {
      const auto row = txn.get(Table::kRecipient, key);
      if (!row) continue;
      if (auto known = decode_recipient(status.index, *row)) status = *std::move(known);
      continue;
    }
    if (auto known = decode_recipient(status.index, cursor.value())) status = *std::move(known);
    more = cursor.next();
  }
}

std::optional<Message> find_message(const Txn& txn, const base::Id& id) {
  const auto record = txn.get(Table::kMessage, id.key());
  if (!record) return std::nullopt;
  auto message = decode_message(id, *record);
  if (!message) {
    base::log_error("queue record cannot be read",
                    {{"id", id.str()}, {"reason", why_unreadable(*record)}});
  }
  return message;
}

std::optional<Delivery> find_delivery(const Txn& txn, const base::Id& id, std::uint32_t index) {
  const auto record = txn.get(Table::kDelivery, delivery_key(id, index));
  if (!record) return std::nullopt;
  auto delivery = decode_delivery(id, index, *record);
  if (delivery) load_recipients(txn, *delivery);
  return delivery;
}

std::vector<Delivery> find_deliveries(const Txn& txn, const base::Id& id) {
  std::vector<Delivery> found;
  Cursor cursor(txn, Table::kDelivery);
  for (bool more = cursor.seek(id.key()); more && cursor.key().starts_with(id.key());
       more = cursor.next()) {
    if (auto delivery = decode_row(txn, cursor)) found.push_back(*std::move(delivery));
  }
  return found;
}

Store::DuePage list_due(const Txn& txn, const std::string& destination,
                        const std::optional<Store::Due>& after, std::size_t rows_max) {
  Store::DuePage page;
  const Key prefix = destination_prefix(destination);
  const Key start = after ? due_key(destination, after->due_ms, after->id, after->index) : prefix;
  Cursor cursor(txn, Table::kDue);
  bool more = cursor.seek(start);
  if (more && after && cursor.key() == start.view()) more = cursor.next();
  for (; more && cursor.key().starts_with(prefix); more = cursor.next()) {
    if (page.rows.size() == rows_max) return page;
    const auto key = parse_due_key(cursor.key());
    // Another destination may be cut to the same prefix.
    if (key && cursor.value() == destination)
      page.rows.push_back({key->due_ms, key->id, key->index});
  }
  page.complete = txn.error() == 0;
  return page;
}

std::vector<Store::Destination> list_destinations(const Txn& txn) {
  std::vector<Store::Destination> found;
  std::set<std::string, std::less<>> alike;  // of one prefix
  Cursor cursor(txn, Table::kDue);
  for (bool more = cursor.seek({}); more;) {
    const std::string prefix(due_prefix(cursor.key()));
    const auto key = parse_due_key(cursor.key());
    if (!key) {  // damage; the check names it
      more = cursor.next();
      continue;
    }
    const bool is_new = alike.emplace(cursor.value()).second;
    if (is_new) found.push_back({std::string(cursor.value()), key->due_ms});
    if (cursor.value().size() + 1 != prefix.size()) {  // cut: the others are among the next rows
      more = cursor.next();
      if (more && !cursor.key().starts_with(prefix)) alike.clear();
      continue;
    }
    alike.clear();
    more = cursor.seek(prefix.substr(0, prefix.size() - 1) + '\x01');
  }
  return found;
}

Failure insert_message(Txn& txn, const NewMessage& message, Changes& changes) {
  const base::Id& id = message.message.id;
  // Without a delivery nothing would ever take it out again; an id that is taken is no new message.
  if (message.deliveries.empty()) return Failure::kNotFound;
  if (txn.get(Table::kMessage, id.key())) return Failure::kFailed;
  txn.put(Table::kMessage, id.key(), encode_message(message.message));
  std::uint32_t index = 0;
  for (Delivery delivery : message.deliveries) {
    delivery.id = id;
    delivery.index = index++;
    delivery.last_reply = cut(delivery.last_reply);
    write_delivery(txn, delivery, changes);
    txn.put(Table::kDestination, destination_key(delivery.destination, id, delivery.index), {});
    for (const RecipientStatus& status : delivery.recipients) {
      write_recipient(txn, delivery, status);
    }
  }
  SegmentUse& use = changes.usage[message.message.body.segment];
  use.messages += 1;
  use.octets += static_cast<std::int64_t>(message.message.body.size());
  changes.messages += 1;
  if (changes.trail != nullptr) changes.trail->received(message);
  return Failure::kNone;
}

Failure update_delivery(Txn& txn, const DeliveryUpdate& update, Changes& changes) {
  const auto record = txn.get(Table::kDelivery, delivery_key(update.id, update.index));
  auto delivery = record ? decode_delivery(update.id, update.index, *record) : std::nullopt;
  if (!delivery) return Failure::kNotFound;
  std::set<base::Id> new_ids;  // looked at first: nothing may fail half-way
  for (const NewMessage& message : update.also) {
    if (message.deliveries.empty()) return Failure::kNotFound;
    const base::Id& id = message.message.id;
    if (!new_ids.insert(id).second || txn.get(Table::kMessage, id.key())) return Failure::kFailed;
  }
  if (changes.trail != nullptr) changes.trail->updated(update, *delivery);
  if (update.finished) {
    remove_delivery(txn, *delivery);
    if (!has_deliveries(txn, update.id)) remove_message(txn, update.id, changes);
  } else {
    unschedule(txn, *delivery);
    // What the operator held while an attempt was under way stays held.
    if (delivery->state != State::kHeld) delivery->state = update.state;
    delivery->attempts = update.attempts;
    delivery->next_attempt_ms = update.next_attempt_ms;
    delivery->last_reply = cut(update.last_reply);
    write_delivery(txn, *delivery, changes);
    for (const RecipientStatus& status : update.recipients) {
      const auto is_it = [&](const RecipientStatus& r) { return r.index == status.index; };
      if (std::any_of(delivery->recipients.begin(), delivery->recipients.end(), is_it)) {
        write_recipient(txn, *delivery, status);
      }
    }
  }
  for (const NewMessage& message : update.also) {
    if (const Failure f = insert_message(txn, message, changes); f != Failure::kNone) return f;
  }
  return Failure::kNone;
}

Failure obey(Txn& txn, const OperatorOrder& order, std::int64_t now_ms, Changes& changes) {
  std::vector<Delivery> deliveries = ordered_deliveries(txn, order);
  const bool whole = !order.index;
  const bool exists = whole && txn.get(Table::kMessage, order.id.key()).has_value();
  if (!exists && deliveries.empty()) return Failure::kNotFound;
  for (Delivery& delivery : deliveries) change_delivery(txn, delivery, order, now_ms, changes);
  if (order.order != Order::kRemove) return Failure::kNone;
  if (whole) remove_rows(txn, Table::kDelivery, order.id.key());  // what could not be decoded
  if (whole || !has_deliveries(txn, order.id)) remove_message(txn, order.id, changes);
  return Failure::kNone;
}

void settle_segments(Txn& txn, std::optional<std::uint64_t> active, bool drop_active,
                     Changes& changes) {
  for (const auto& [number, change] : changes.usage) {
    const Key key = segment_key(number);
    const auto record = txn.get(Table::kSegment, key);
    SegmentUse use = (record ? decode_segment(*record) : std::nullopt).value_or(SegmentUse{});
    use.messages += change.messages;
    use.octets += change.octets;
    if (use.messages > 0 || (number == active && !drop_active)) {
      txn.put(Table::kSegment, key, encode_segment(use));
      continue;
    }
    txn.remove(Table::kSegment, key);
    changes.emptied.push_back(number);
  }
}

void move_body(Txn& txn, const Message& message, const BodyRef& to, Changes& changes) {
  SegmentUse& from_use = changes.usage[message.body.segment];
  from_use.messages -= 1;
  from_use.octets -= static_cast<std::int64_t>(message.body.size());
  SegmentUse& to_use = changes.usage[to.segment];
  to_use.messages += 1;
  to_use.octets += static_cast<std::int64_t>(to.size());
  Message moved = message;
  moved.body = to;
  txn.put(Table::kMessage, message.id.key(), encode_message(moved));
}

}  // namespace queue
