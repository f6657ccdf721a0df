// LMDB with owners: an Environment, its tables, transactions and cursors. Only this room knows
// LMDB; only the committer writes. Views into the database live as long as their transaction.
#pragma once

#include <lmdb.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.h"
#include "queue/draft.h"
#include "queue/store.h"

namespace queue {

// Errors that mean "no room", as opposed to "broken": MDB_MAP_FULL, MDB_TXN_FULL, ENOSPC, EDQUOT.
bool is_no_room(int code);

class Environment {
 public:
  // Makes the database where it is missing. Errors: damage, a newer schema, no permission.
  static base::Result<std::unique_ptr<Environment>> open(const std::string& directory,
                                                         std::uint64_t map_size);
  // For salvage: makes and changes nothing, needs no lock file. The caller sees to it that nobody
  // writes meanwhile. Errors: damage that shows at once, another schema.
  static base::Result<std::unique_ptr<Environment>> open_for_reading(const std::string& directory);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  [[nodiscard]] MDB_env* handle() const { return env_; }
  [[nodiscard]] MDB_dbi table(Table table) const {
    return tables_[static_cast<std::size_t>(table)];
  }
  // 16 octets made with the database; segment files carry them too.
  [[nodiscard]] const std::string& uuid() const { return uuid_; }

  // Are `pages` pages to be had without touching the reserve, which is kept so that deliveries can
  // still be recorded and messages removed when the map is full? (Even a removal writes pages.)
  // New messages leave all of it, bounces half; "full" ends when there is half of it more, so that
  // it does not come and go with every message.
  enum class Reserve : std::uint8_t { kHalf = 1, kAll = 2, kAmple = 3 };
  [[nodiscard]] bool has_room(std::uint64_t pages, Reserve reserve) const;
  [[nodiscard]] std::uint64_t page_size() const { return page_size_; }
  [[nodiscard]] std::uint64_t map_pages() const;

  // What was read of the map counts as this process's memory until the system wants it back, so
  // that looking once at a million records would look like needing them. This lets go of it; it
  // stays in the system's cache and is mapped again when it is touched. Any thread.
  void let_go_of_pages() const;
  static constexpr std::size_t kRecordsOfPages = 50'000;  // between two calls in a long walk

  // Asked before every change of a table (kMap) and every commit; set before there are threads.
  void set_fault(FaultHook fault) { fault_ = std::move(fault); }
  [[nodiscard]] const FaultHook& fault() const { return fault_; }

 private:
  Environment() = default;
  base::Status prepare();
  void find_map(const std::string& directory);

  MDB_env* env_ = nullptr;
  std::array<MDB_dbi, kTables> tables_{};
  std::string uuid_;
  std::uint64_t page_size_ = 4096;
  void* map_ = nullptr;  // where LMDB has it; null where that is not known
  std::size_t map_octets_ = 0;
  FaultHook fault_;
};

// A transaction; rolled back unless committed. What changes the tables is gathered in a draft that
// lies over it, and written in one go. The first failure sticks: callers put and remove away and
// look at error() once.
class Txn {
 public:
  enum class Mode : std::uint8_t { kRead, kWrite };
  Txn(const Environment& environment, Mode mode);
  ~Txn();
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;

  // From here on the tables read as if the drafts were in them, `top` over `lower` (null: none),
  // and what is put and removed goes to `top`; nothing of it to the database. They are to be there
  // for as long.
  void lay_over(const Draft* lower, Draft* top);

  [[nodiscard]] std::optional<std::string_view> get(Table table, std::string_view key) const;
  // Both need a draft on top.
  void put(Table table, std::string_view key, std::string_view value);
  bool remove(Table table, std::string_view key);  // true where it was there
  // To the database what the draft says, in the order of keys, a table after the other.
  void write(const Draft& draft);
  // Of the database, without drafts.
  [[nodiscard]] std::uint64_t count(Table table) const;
  [[nodiscard]] std::uint64_t pages(Table table) const;

  // 0, or the code of the first failure.
  [[nodiscard]] int error() const { return error_; }
  // The code; the transaction is over in any case.
  int commit();

  [[nodiscard]] MDB_txn* handle() const { return txn_; }
  [[nodiscard]] const Environment& environment() const { return environment_; }

 private:
  friend class Cursor;
  void note(int code) const {
    if (error_ == 0) error_ = code;
  }

  [[nodiscard]] std::optional<std::string_view> get_below(Table table, std::string_view key) const;

  const Environment& environment_;
  MDB_txn* txn_ = nullptr;
  const Draft* lower_ = nullptr;
  Draft* top_ = nullptr;
  mutable int error_ = 0;
};

// Walks a table in key order, with the drafts that lie over it. Its transaction must outlive it.
class Cursor {
 public:
  Cursor(const Txn& txn, Table table);
  ~Cursor();
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  // The first entry at or behind `key`; false at the end.
  bool seek(std::string_view key) { return find(Where::kAtOrBehind, key); }
  // The last entry before `key`; false where there is none.
  bool seek_before(std::string_view key) { return find(Where::kBefore, key); }
  bool next();
  bool previous();
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] std::string_view value() const { return value_; }
  // Of a transaction with a draft on top: removes the entry it stands on; next() goes on behind it.
  void remove();

 private:
  enum class Where : std::uint8_t { kAtOrBehind, kBehind, kBefore };
  bool find(Where where, std::string_view key);
  bool find_stored(Where where, std::string_view key);
  bool step(MDB_cursor_op op, std::string_view key = {});

  const Txn& txn_;
  const Table table_;
  MDB_cursor* cursor_ = nullptr;
  bool has_drafts_ = false;
  std::string_view key_, value_;
};

}  // namespace queue
