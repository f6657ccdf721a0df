// Rows of the database that are not in it yet: what was put and what was removed, by table in the
// order of keys. It lies over the tables like a sheet over a drawing (Txn::lay_over): who reads
// sees both, and what was put and removed again before the sheet is copied was never drawn.
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace queue {

enum class Table : std::uint8_t {
  kMeta,         // "schema", "uuid", "journal"
  kMessage,      // id -> message
  kRecipient,    // id, delivery, recipient -> state; only where it is not plainly pending
  kDelivery,     // id, index -> delivery
  kDue,          // destination, 0, due time, id, index -> destination; waiting deliveries only
  kDestination,  // destination, 0, id, index -> nothing
  kSegment,      // number -> messages and octets in use
  kTrail,        // id, number -> step: see queue/trail.h
  kTerm,         // time, hash of a term, id -> nothing
};
inline constexpr std::size_t kTables = 9;

class Draft {
 public:
  // nullopt: the row was removed. Rows keep their address until take() or destruction.
  using Value = std::optional<std::string>;
  using Rows = std::map<std::string, Value, std::less<>>;

  void put(Table table, std::string_view key, std::string_view value);
  void remove(Table table, std::string_view key);
  // Null: it says nothing of that row.
  [[nodiscard]] const Value* find(Table table, std::string_view key) const;
  [[nodiscard]] const Rows& rows(Table table) const {
    return tables_[static_cast<std::size_t>(table)];
  }
  [[nodiscard]] bool empty() const;
  // Of memory, roughly.
  [[nodiscard]] std::uint64_t octets() const { return octets_; }
  // The rows of a table that are put; so many there were.
  std::size_t forget_puts(Table table);

  // What `later` says comes in place of what this says. A removal is forgotten where `is_below`
  // says that there is no such row under this draft.
  using IsBelow = std::function<bool(Table table, std::string_view key)>;
  void take(Draft later, const IsBelow& is_below);

 private:
  Rows& rows(Table table) { return tables_[static_cast<std::size_t>(table)]; }

  std::array<Rows, kTables> tables_;
  std::uint64_t octets_ = 0;
};

}  // namespace queue
