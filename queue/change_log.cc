#include "queue/change_log.h"

#include <optional>

#include "queue/record_bytes.h"

namespace queue {
namespace {

constexpr std::uint8_t kPut = 0x10;
constexpr std::uint8_t kRemoval = 0x20;
constexpr std::uint8_t kTableBits = 0x0f;
constexpr std::size_t kIdOctets = sizeof(base::Id::bytes);

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

std::string log_of(const Draft& draft) {
  Writer out(draft.octets());
  for (std::size_t number = 0; number < kTables; ++number) {
    const auto table = static_cast<std::uint8_t>(number);
    for (const auto& [key, value] : draft.rows(static_cast<Table>(table))) {
      out.octet(table | (value ? kPut : kRemoval));
      out.text(key);
      if (value) out.text(*value);
    }
  }
  return out.take();
}

bool add_log(Draft& draft, std::string_view log) {
  Reader in(log);
  while (const auto change = next_change(in)) {
    if (change->is_put) {
      draft.put(change->table, change->key, change->value);
    } else {
      draft.remove(change->table, change->key);
    }
  }
  return in.done();
}

std::set<base::Id> ids_in(const Draft& draft) {
  std::set<base::Id> ids;
  for (const Table table : {Table::kMessage, Table::kDelivery, Table::kRecipient}) {
    for (const auto& [key, value] : draft.rows(table)) {
      const auto id = base::Id::from_key(std::string_view(key).substr(0, kIdOctets));
      if (id) ids.insert(*id);
    }
  }
  return ids;
}

}  // namespace queue
