#include "queue/selection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/bytes.h"
#include "queue/codec.h"
#include "queue/tables.h"

namespace queue {
namespace {

bool matches(const Filter& filter, const DeliveryGlance& delivery) {
  return (filter.destination.empty() || delivery.destination == filter.destination) &&
         (!filter.state || delivery.state == *filter.state);
}

bool matches(const Filter& filter, const MessageGlance& message) {
  return (filter.tenant.empty() || message.tenant == filter.tenant) &&
         (filter.domain.empty() || message.domain == filter.domain) &&
         (!filter.arrived_before_ms || message.arrival_ms < *filter.arrived_before_ms) &&
         (!filter.arrived_after_ms || message.arrival_ms > *filter.arrived_after_ms) &&
         (filter.sender.empty() || base::iequals(message.mail_from, filter.sender)) &&
         (filter.recipient.empty() || has_recipient(message, filter.recipient));
}

// Walks the deliveries that can match, in order of id: a destination's, a message's, or all. A
// filter may have to look at all there are, so nothing is copied before it matches, and the records
// are found from where the last one was: they are in the same order everywhere.
class Candidates {
 public:
  Candidates(const Txn& txn, const Filter& filter)
      : txn_(txn),
        filter_(filter),
        by_destination_(!filter.destination.empty() && !filter.id),
        prefix_(by_destination_ ? destination_prefix(filter.destination)
                : filter.id     ? Key(filter.id->key())
                                : Key()),
        cursor_(txn, by_destination_ ? Table::kDestination : Table::kDelivery),
        deliveries_(txn, Table::kDelivery),
        messages_(txn, Table::kMessage) {}

  bool start(const std::optional<DeliveryName>& after) {
    if (!after) return on(cursor_.seek(prefix_));
    const Key name = delivery_key(after->id, after->index);
    Key key(prefix_);
    key.append(name);
    const bool more = cursor_.seek(key);
    return on(more && cursor_.key() == key.view() ? cursor_.next() : more);
  }
  bool next() { return on(cursor_.next()); }
  [[nodiscard]] std::optional<DeliveryKey> name() const { return parse_delivery_key(name_key()); }
  [[nodiscard]] bool match() {
    if (++looked_at_ % Environment::kRecordsOfPages == 0) txn_.environment().let_go_of_pages();
    const auto record = by_destination_ ? find(deliveries_, name_key()) : cursor_.value();
    const auto delivery = record ? glance_at_delivery(*record) : std::nullopt;
    if (!delivery || !matches(filter_, *delivery)) return false;
    if (!filter_.is_by_message()) return true;
    const auto message = find(messages_, name_key().substr(0, 16));
    const auto glance = message ? glance_at_message(*message) : std::nullopt;
    return glance && matches(filter_, *glance);
  }

 private:
  [[nodiscard]] bool on(bool more) const { return more && cursor_.key().starts_with(prefix_); }
  [[nodiscard]] std::string_view name_key() const {
    return cursor_.key().substr(by_destination_ ? prefix_.view().size() : 0);
  }
  // As a rule it is where the cursor stands, or the next one.
  static std::optional<std::string_view> find(Cursor& cursor, std::string_view key) {
    if (key.empty()) return std::nullopt;
    if (cursor.key() == key) return cursor.value();
    const bool is_next = !cursor.key().empty() && cursor.next() && cursor.key() == key;
    if (!is_next && (!cursor.seek(key) || cursor.key() != key)) return std::nullopt;
    return cursor.value();
  }

  const Txn& txn_;
  const Filter& filter_;
  const bool by_destination_;
  const Key prefix_;
  Cursor cursor_, deliveries_, messages_;
  std::size_t looked_at_ = 0;
};

}  // namespace

Listing list_deliveries(const Txn& txn, const Filter& filter, std::size_t rows_max) {
  Listing listing;
  const bool any = filter.is_any();
  Candidates candidates(txn, filter);
  for (bool more = candidates.start({}); more; more = candidates.next()) {
    const bool wanted = listing.rows.size() < rows_max;
    if (any && !wanted) break;
    if (!candidates.match()) continue;
    if (wanted) {
      const auto name = candidates.name();
      auto delivery = name ? find_delivery(txn, name->id, name->index) : std::nullopt;
      auto message = delivery ? find_message(txn, name->id) : std::nullopt;
      if (!message) continue;
      listing.rows.push_back({*std::move(message), *std::move(delivery)});
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
    const bool is_it = candidates.match();
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
  const Key prefix = destination_prefix(delivery.destination);
  const Key own = destination_key(delivery.destination, delivery.id, delivery.index);
  std::uint64_t count = 0;
  Cursor cursor(txn, Table::kDestination);
  for (bool more = cursor.seek(prefix); more && count < most && cursor.key() < own.view();
       more = cursor.next()) {
    ++count;
  }
  return count;
}

}  // namespace queue
