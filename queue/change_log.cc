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

struct Change {
  Table table = Table::kMeta;
  bool is_put = false;  // else a removal
  std::string_view key, value;
};

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

bool redo(Draft& draft, std::string_view log) {
  Reader in(log);
  while (const auto change = next_change(in)) {
    if (change->is_put) {
      draft.put(change->table, change->key, change->value);
    } else {
      draft.remove(change->table, change->key, true);
    }
    draft.begin();
  }
  return in.done();
}

std::set<base::Id> ids_in(const Draft& draft) {
  std::set<base::Id> ids;
  for (const Table table : {Table::kMessage, Table::kDelivery, Table::kRecipient}) {
    for (const auto& [key, value] : draft.rows(table)) {
      const auto id = base::Id::from_key(key.substr(0, kIdOctets));
      if (id) ids.insert(*id);
    }
  }
  return ids;
}

}  // namespace queue
