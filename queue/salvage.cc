#include "queue/salvage.h"

#include <lmdb.h>

#include <optional>
#include <string_view>
#include <utility>

#include "queue/codec.h"
#include "queue/content.h"
#include "queue/environment.h"
#include "queue/journal.h"
#include "queue/recovery.h"
#include "queue/segment.h"
#include "queue/tables.h"

namespace queue {
namespace {

// What is in the journal and not in the database.
class Unrecorded {
 public:
  base::Status read(const Txn& txn, SegmentDirectory& segments, std::string_view uuid) {
    auto place = journal_place(txn);
    if (!place) return base::Ok{};
    const auto read = read_journal(segments, uuid, *place, draft_);
    return read ? base::Status(base::Ok{}) : read.error();
  }

  // The record of a message as it is: nullopt where it is gone, `recorded` where nothing has
  // changed.
  std::optional<std::string_view> message(const base::Id& id, std::string_view recorded) const {
    const Draft::Value* value = draft_.find(Table::kMessage, id.key());
    if (value == nullptr) return recorded;
    return *value;
  }
  // What the journal changed of its deliveries; `deliveries` are those of the database.
  void change(const base::Id& id, std::vector<Delivery>& deliveries) const {
    const Draft::Rows& changed = draft_.rows(Table::kDelivery);
    for (auto at = changed.lower_bound(id.key());
         at != changed.end() && at->first.starts_with(id.key()); ++at) {
      const auto key = parse_delivery_key(at->first);
      if (!key) continue;
      std::erase_if(deliveries, [&](const Delivery& d) { return d.index == key->index; });
      auto now = at->second ? decode_delivery(id, key->index, *at->second) : std::nullopt;
      if (now) deliveries.push_back(*std::move(now));
    }
  }
  // Messages that the database has never had are among them.
  [[nodiscard]] const Draft::Rows& messages() const { return draft_.rows(Table::kMessage); }

 private:
  Draft draft_;
};

struct Place {
  const Txn& txn;
  SegmentDirectory& segments;
  const Unrecorded& unrecorded;
  const SalvageCalls& calls;
};

// Whether to go on.
bool salvage_record(const Place& place, std::string_view key, std::string_view recorded) {
  const SalvageCalls& calls = place.calls;
  const auto id = base::Id::from_key(key);
  if (!id) {
    calls.skipped("?", "its key is no queue id");
    return true;
  }
  if (calls.looking_at) calls.looking_at(id->str());
  const auto record = place.unrecorded.message(*id, recorded);
  if (!record) return true;  // gone
  Salvaged found;
  auto message = decode_message(*id, *record);
  if (!message) {
    calls.skipped(id->str(), why_unreadable(*record));
    return true;
  }
  found.message = *std::move(message);
  found.deliveries = find_deliveries(place.txn, *id);
  place.unrecorded.change(*id, found.deliveries);
  auto file = place.segments.find(found.message.body.segment);
  if (!file) {
    calls.skipped(id->str(), file.message());
    return true;
  }
  const StoredReader reader(file.take(), found.message.body);
  found.content = &reader;
  return calls.message(found);
}

}  // namespace

base::Status salvage(const std::string& directory, const SalvageCalls& calls) {
  const auto lock = DirectoryLock::take(directory);
  if (!lock) return lock.error();
  const auto environment = Environment::open_for_reading(directory);
  if (!environment) return environment.error();
  const auto segments =
      SegmentDirectory::open(directory + "/segments", (*environment)->uuid(), nullptr);
  if (!segments) return segments.error();
  const Txn txn(**environment, Txn::Mode::kRead);
  Unrecorded unrecorded;
  if (auto read = unrecorded.read(txn, **segments, (*environment)->uuid()); !read) {
    calls.skipped("?", read.message());
  }
  const Place place{txn, **segments, unrecorded, calls};
  Cursor cursor(txn, Table::kMessage);
  Draft::Rows only_in_journal = unrecorded.messages();
  for (bool more = cursor.seek({}); more; more = cursor.next()) {
    only_in_journal.erase(cursor.key());
    if (!salvage_record(place, cursor.key(), cursor.value())) return base::Ok{};
  }
  const int code = txn.error();
  for (const auto& [key, record] : only_in_journal) {
    if (record && !salvage_record(place, key, *record)) return base::Ok{};
  }
  if (code == 0) return base::Ok{};
  return base::error("the queue's database is damaged; what follows cannot be read: " +
                     std::string(mdb_strerror(code)));
}

}  // namespace queue
