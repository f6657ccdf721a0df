// Rows of the database that are not in it yet: what was put and what was removed, by table in the
// order of keys. It lies over the tables like a sheet over a drawing (Txn::lay_over): who reads
// sees both, and what was put and removed again before the sheet is copied is never drawn.
//
// Its bytes lie in an arena that only grows and goes as a whole: what was read of it stays valid as
// long as it is there. Not thread-safe; reading from several threads is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  using Value = std::optional<std::string_view>;  // nullopt: the row was removed
  using Rows = std::pmr::map<std::string_view, Value>;

  Draft();
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  void put(Table table, std::string_view key, std::string_view value);
  // `is_below`: there is such a row under this draft, so that the removal has to be remembered.
  // True where the row was there.
  bool remove(Table table, std::string_view key, bool is_below);
  // Null: it says nothing of that row.
  [[nodiscard]] const Value* find(Table table, std::string_view key) const;
  [[nodiscard]] const Rows& rows(Table table) const {
    return tables_[static_cast<std::size_t>(table)];
  }
  [[nodiscard]] bool empty() const;
  // Of memory, roughly; it never becomes less.
  [[nodiscard]] std::uint64_t octets() const { return octets_; }

  // From here on everything that changes can be taken back, until the next begin().
  void begin();
  void take_back();
  // What has changed since begin(), as the journal has it (queue/change_log.h).
  [[nodiscard]] const std::string& log() const { return log_; }

  // The rows of a table that are put, gone without a trace; so many there were.
  std::size_t forget_puts(Table table);

 private:
  // One change, to be undone.
  struct Change {
    Table table = Table::kMeta;
    std::string_view key;
    std::optional<Value> before;  // nullopt: the draft said nothing
  };
  Rows& rows(Table table) { return tables_[static_cast<std::size_t>(table)]; }
  std::string_view keep(std::string_view bytes);

  std::pmr::monotonic_buffer_resource arena_;
  std::array<Rows, kTables>& tables_;  // in the arena as well, and never taken apart
  std::vector<Change> changes_;
  std::string log_;
  std::uint64_t octets_ = 0;
};

}  // namespace queue
