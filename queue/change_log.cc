#include "queue/change_log.h"

#include <optional>
#include <utility>

#include "queue/record_bytes.h"

namespace queue {
namespace {

constexpr std::uint8_t kPut = 0x10;
constexpr std::uint8_t kRemoval = 0x20;
constexpr std::uint8_t kTableBits = 0x0f;
constexpr std::size_t kIdOctets = sizeof(base::Id::bytes);

std::uint8_t mark(std::uint8_t kind, Table table) {
  return static_cast<std::uint8_t>(kind | static_cast<std::uint8_t>(table));
}

// nullopt at the end, where in.done(), and at the first octet that is no change.
std::optional<Change> next_change(Reader& in) {
  if (!in.ok() || in.rest().empty()) return std::nullopt;
  const std::uint8_t first = in.octet();
  const auto number = static_cast<std::size_t>(first & kTableBits);
  const auto kind = static_cast<std::uint8_t>(first & ~kTableBits);
  Change change;
  change.is_put = kind == kPut;
  change.key = in.view();
  if (change.is_put) change.value = in.view();
  const bool is_known = number < kTables && (change.is_put || kind == kRemoval);
  if (!is_known || change.key.empty()) in.refuse();
  if (!in.ok()) return std::nullopt;
  change.table = static_cast<Table>(number);
  return change;
}

}  // namespace

void log_put(std::string& log, Table table, std::string_view key, std::string_view value) {
  Writer out(std::move(log));
  out.octet(mark(kPut, table));
  out.text(key);
  out.text(value);
  log = out.take();
}

void log_removal(std::string& log, Table table, std::string_view key) {
  Writer out(std::move(log));
  out.octet(mark(kRemoval, table));
  out.text(key);
  log = out.take();
}

bool each_change(std::string_view log, const std::function<void(const Change&)>& call) {
  Reader in(log);
  while (const auto change = next_change(in)) call(*change);
  return in.done();
}

bool redo(Txn& txn, std::string_view log) {
  Reader in(log);
  while (const auto change = next_change(in)) {
    if (change->is_put) {
      txn.put(change->table, change->key, change->value);
    } else {
      txn.remove(change->table, change->key);
    }
    if (txn.error() != 0) return true;
  }
  return in.done();
}

std::set<base::Id> ids_in(std::string_view log) {
  std::set<base::Id> ids;
  each_change(log, [&ids](const Change& change) {
    const bool is_about_one = change.table == Table::kMessage || change.table == Table::kDelivery ||
                              change.table == Table::kRecipient;
    const auto id =
        is_about_one ? base::Id::from_key(change.key.substr(0, kIdOctets)) : std::nullopt;
    if (id) ids.insert(*id);
  });
  return ids;
}

}  // namespace queue
