#include "queue/selection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/bytes.h"
#include "queue/codec.h"
#include "queue/tables.h"

namespace queue {
namespace {

bool matches(const Filter& filter, const Delivery& delivery) {
  return (filter.destination.empty() || delivery.destination == filter.destination) &&
         (!filter.state || delivery.state == *filter.state);
}

bool matches(const Filter& filter, const Message& message) {
  const auto& recipients = message.envelope.recipients;
  const auto is_recipient = [&](const mail::Recipient& recipient) {
    return base::iequals(recipient.address, filter.recipient);
  };
  return (filter.tenant.empty() || message.tenant == filter.tenant) &&
         (filter.domain.empty() || message.domain == filter.domain) &&
         (!filter.arrived_before_ms || message.arrival_ms < *filter.arrived_before_ms) &&
         (!filter.arrived_after_ms || message.arrival_ms > *filter.arrived_after_ms) &&
         (filter.sender.empty() || base::iequals(message.envelope.mail_from, filter.sender)) &&
         (filter.recipient.empty() ||
          std::any_of(recipients.begin(), recipients.end(), is_recipient));
}

// Walks the deliveries that can match, in order of id: a destination's, a message's, or all.
class Candidates {
 public:
  Candidates(const Txn& txn, const Filter& filter)
      : txn_(txn),
        by_destination_(!filter.destination.empty() && !filter.id),
        prefix_(by_destination_ ? destination_prefix(filter.destination)
                : filter.id     ? std::string(filter.id->key())
                                : std::string()),
        cursor_(txn, by_destination_ ? Table::kDestination : Table::kDelivery) {}

  bool start(const std::optional<DeliveryName>& after) {
    if (!after) return on(cursor_.seek(prefix_));
    const std::string name = delivery_key(after->id, after->index);
    const std::string key = by_destination_ ? prefix_ + name : name;
    const bool more = cursor_.seek(key);
    return on(more && cursor_.key() == key ? cursor_.next() : more);
  }
  bool next() { return on(cursor_.next()); }
  [[nodiscard]] std::optional<DeliveryKey> name() const {
    return parse_delivery_key(cursor_.key().substr(by_destination_ ? prefix_.size() : 0));
  }
  [[nodiscard]] std::optional<Delivery> delivery() const {
    const auto key = name();
    if (!key) return std::nullopt;
    if (!by_destination_) return decode_delivery(key->id, key->index, cursor_.value());
    const auto record = txn_.get(Table::kDelivery, delivery_key(key->id, key->index));
    return record ? decode_delivery(key->id, key->index, *record) : std::nullopt;
  }

 private:
  [[nodiscard]] bool on(bool more) const { return more && cursor_.key().starts_with(prefix_); }

  const Txn& txn_;
  const bool by_destination_;
  const std::string prefix_;
  Cursor cursor_;
};

}  // namespace

Listing list_deliveries(const Txn& txn, const Filter& filter, std::size_t rows_max) {
  Listing listing;
  const bool any = filter.is_any();
  Candidates candidates(txn, filter);
  for (bool more = candidates.start({}); more; more = candidates.next()) {
    const bool wanted = listing.rows.size() < rows_max;
    if (any && !wanted) break;
    auto delivery = candidates.delivery();
    if (!delivery || !matches(filter, *delivery)) continue;
    if (wanted || filter.is_by_message()) {
      auto message = find_message(txn, delivery->id);
      if (!message || !matches(filter, *message)) continue;
      if (wanted) {
        load_recipients(txn, *delivery);
        listing.rows.push_back({*std::move(message), *std::move(delivery)});
      }
    }
    ++listing.total;
  }
  if (any) listing.total = txn.count(Table::kDelivery);
  return listing;
}

Selection select_deliveries(const Txn& txn, const Filter& filter,
                            const std::optional<DeliveryName>& after, std::size_t rows_max,
                            std::size_t records_max) {
  Selection selection;
  Candidates candidates(txn, filter);
  for (bool more = candidates.start(after); more; more = candidates.next()) {
    const auto key = candidates.name();
    if (!key) continue;
    const auto delivery = candidates.delivery();
    bool is_it = delivery && matches(filter, *delivery);
    if (is_it && filter.is_by_message()) {
      const auto message = find_message(txn, key->id);
      is_it = message && matches(filter, *message);
    }
    if (is_it) selection.deliveries.push_back({key->id, key->index});
    if (--records_max == 0 || selection.deliveries.size() == rows_max) {
      selection.next = DeliveryName{key->id, key->index};
      break;
    }
  }
  return selection;
}

std::uint64_t count_deliveries_before(const Txn& txn, const Delivery& delivery,
                                      std::uint64_t most) {
  const std::string prefix = destination_prefix(delivery.destination);
  const std::string own = destination_key(delivery.destination, delivery.id, delivery.index);
  std::uint64_t count = 0;
  Cursor cursor(txn, Table::kDestination);
  for (bool more = cursor.seek(prefix); more && count < most && cursor.key() < own;
       more = cursor.next()) {
    ++count;
  }
  return count;
}

}  // namespace queue
