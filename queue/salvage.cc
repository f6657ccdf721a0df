#include "queue/salvage.h"

#include <lmdb.h>

#include <optional>
#include <string_view>
#include <utility>

#include "queue/codec.h"
#include "queue/content.h"
#include "queue/environment.h"
#include "queue/recovery.h"
#include "queue/segment.h"
#include "queue/tables.h"

namespace queue {
namespace {

// Whether to go on.
bool salvage_record(const Txn& txn, SegmentDirectory& segments, const Cursor& cursor,
                    const SalvageCalls& calls) {
  const auto id = base::Id::from_key(cursor.key());
  if (!id) {
    calls.skipped("?", "its key is no queue id");
    return true;
  }
  if (calls.looking_at) calls.looking_at(id->str());
  Salvaged found;
  auto message = decode_message(*id, cursor.value());
  if (!message) {
    calls.skipped(id->str(), why_unreadable(cursor.value()));
    return true;
  }
  found.message = *std::move(message);
  found.deliveries = find_deliveries(txn, *id);
  auto file = segments.find(found.message.body.segment);
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
  Cursor cursor(txn, Table::kMessage);
  for (bool more = cursor.seek({}); more; more = cursor.next()) {
    if (!salvage_record(txn, **segments, cursor, calls)) return base::Ok{};
  }
  if (txn.error() == 0) return base::Ok{};
  return base::error("the queue's database is damaged; what follows cannot be read: " +
                     std::string(mdb_strerror(txn.error())));
}

}  // namespace queue
