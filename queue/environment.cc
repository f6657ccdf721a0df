#include "queue/environment.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/bytes.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "queue/codec.h"

namespace queue {
namespace {

constexpr std::array<const char*, kTables> kNames = {
    "meta", "message", "recipient", "delivery", "due", "destination", "segment", "trail", "term"};
// 2: messages may be of record version 2, which who wrote schema 1 cannot read, and the table of
// due times is sorted by destination. 3: what is not in the database yet may be in the journal. 4:
// the journal may go on in another segment without the database. An older store becomes one of this
// schema when it is opened.
constexpr std::string_view kSchema = "4";
constexpr std::array<std::string_view, 3> kOldSchemas = {"1", "2", "3"};
constexpr std::string_view kUnsortedSchema = "1";

bool is_old_schema(std::string_view schema) {
  return std::find(kOldSchemas.begin(), kOldSchemas.end(), schema) != kOldSchemas.end();
}
constexpr unsigned kReadersMax = 1024;
constexpr off_t kLockFileOctets = 128 * base::kKiB;  // a reader has 64 octets, a header is small
constexpr std::uint64_t kLargeOctets = 64 * base::kMiB;  // of a database; a smaller one may stay
constexpr std::size_t kRowsInARow = 64;                  // about 30 microseconds
constexpr MDB_dbi kFreeList = 0;  // LMDB's own table of pages that can be used again

MDB_val to_val(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};  // LMDB's C interface; it does not write
}

std::string_view to_view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

std::uint64_t reserve_octets(std::uint64_t map_size) {
  return std::clamp<std::uint64_t>(map_size / 8, 256 * base::kKiB, 64 * base::kMiB);
}

// LMDB keeps its table of readers in a sparse file that it maps: on a full disk, touching a page
// for the first time would end the process with SIGBUS. So the file gets its blocks first.
int allocate_lock_file(const std::string& directory) {
  const int fd = ::open((directory + "/lock.mdb").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const int code = posix_fallocate(fd, 0, kLockFileOctets);
  close(fd);
  return code;
}

// The table of due times anew, from the deliveries: those that cannot be read wait for nothing.
int rebuild_due(MDB_txn* txn, MDB_dbi deliveries, MDB_dbi due) {
  int code = mdb_drop(txn, due, 0);
  MDB_cursor* cursor = nullptr;
  if (code == 0) code = mdb_cursor_open(txn, deliveries, &cursor);
  MDB_val key{};
  MDB_val value{};
  while (code == 0 && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    const auto name = parse_delivery_key(to_view(key));
    const auto delivery =
        name ? decode_delivery(name->id, name->index, to_view(value)) : std::nullopt;
    if (!delivery || delivery->state != State::kWaiting) continue;
    const Key due_at =
        due_key(delivery->destination, delivery->next_attempt_ms, name->id, name->index);
    MDB_val new_key = to_val(due_at);
    MDB_val destination = to_val(delivery->destination);
    code = mdb_put(txn, due, &new_key, &destination, 0);
  }
  if (cursor != nullptr) mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : code;
}

base::Error wrong_schema(std::string_view schema) {
  return base::error("the queue was written by another version of relayd, schema " +
                     base::printable(schema, 20) + ", this one reads schema " +
                     std::string(kSchema) + "; start the version that wrote it");
}

}  // namespace

bool is_no_room(int code) {
  return code == MDB_MAP_FULL || code == MDB_TXN_FULL || code == ENOSPC || code == EDQUOT;
}

base::Result<std::unique_ptr<Environment>> Environment::open(const std::string& directory,
                                                             std::uint64_t map_size) {
  const auto failed = [&](int code) {
    return base::error("cannot open the queue's database in " + directory + ": " +
                       mdb_strerror(code));
  };
  std::unique_ptr<Environment> environment(new Environment);
  int code = allocate_lock_file(directory);
  if (code == 0) code = mdb_env_create(&environment->env_);
  if (code != 0) return failed(code);
  MDB_env* env = environment->env_;
  const std::uint64_t granule = 64 * base::kKiB;  // a multiple of every page size in use
  if ((code = mdb_env_set_maxdbs(env, kTables)) != 0 ||
      (code = mdb_env_set_maxreaders(env, kReadersMax)) != 0 ||
      (code = mdb_env_set_mapsize(env, (map_size + granule - 1) / granule * granule)) != 0 ||
      (code = mdb_env_open(env, directory.c_str(), MDB_NOTLS, 0600)) != 0) {
    return failed(code);
  }
  int dead = 0;  // slots of readers that were killed would keep old pages alive for ever
  if ((code = mdb_reader_check(env, &dead)) != 0) return failed(code);
  environment->find_map(directory);
  base::Status prepared = environment->prepare();
  if (!prepared) return base::error(directory + ": " + prepared.message());
  return environment;
}

base::Status Environment::prepare() {
  MDB_stat stat{};
  if (mdb_env_stat(env_, &stat) == 0) page_size_ = stat.ms_psize;
  MDB_txn* txn = nullptr;
  int code = mdb_txn_begin(env_, nullptr, 0, &txn);
  for (std::size_t i = 0; code == 0 && i < kTables; ++i) {
    code = mdb_dbi_open(txn, kNames[i], MDB_CREATE, &tables_[i]);
  }
  if (code == 0) {
    MDB_val key = to_val("schema");
    MDB_val value{};
    code = mdb_get(txn, table(Table::kMeta), &key, &value);
    const bool is_old = code == 0 && is_old_schema(to_view(value));
    const bool is_unsorted = is_old && to_view(value) == kUnsortedSchema;
    if (code == 0 && !is_old && to_view(value) != kSchema) {
      base::Status refused = wrong_schema(to_view(value));
      mdb_txn_abort(txn);
      return refused;
    }
    if (is_old) {
      value = to_val(kSchema);
      code = mdb_put(txn, table(Table::kMeta), &key, &value, 0);
      if (code == 0 && is_unsorted) {
        code = rebuild_due(txn, table(Table::kDelivery), table(Table::kDue));
      }
    } else if (code == MDB_NOTFOUND) {
      value = to_val(kSchema);
      code = mdb_put(txn, table(Table::kMeta), &key, &value, 0);
      const std::string uuid = base::random_bytes(16);
      key = to_val("uuid");
      value = to_val(uuid);
      if (code == 0) code = mdb_put(txn, table(Table::kMeta), &key, &value, 0);
    }
  }
  if (code == 0) {
    MDB_val key = to_val("uuid");
    MDB_val value{};
    code = mdb_get(txn, table(Table::kMeta), &key, &value);
    if (code == 0) uuid_ = to_view(value);
    if (code == 0 && uuid_.size() != 16) code = MDB_CORRUPTED;
  }
  if (code == 0) {
    code = mdb_txn_commit(txn);
  } else if (txn != nullptr) {
    mdb_txn_abort(txn);
  }
  if (code != 0) {
    return base::error(std::string("the queue's database cannot be used: ") + mdb_strerror(code));
  }
  return base::Ok{};
}

base::Result<std::unique_ptr<Environment>> Environment::open_for_reading(
    const std::string& directory) {
  const auto failed = [&](int code) {
    return base::error("cannot read the queue's database in " + directory + ": " +
                       mdb_strerror(code));
  };
  std::unique_ptr<Environment> environment(new Environment);
  int code = mdb_env_create(&environment->env_);
  if (code != 0) return failed(code);
  MDB_env* env = environment->env_;
  if ((code = mdb_env_set_maxdbs(env, kTables)) != 0 ||
      (code = mdb_env_open(env, directory.c_str(), MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600)) !=
          0) {
    return failed(code);
  }
  MDB_txn* txn = nullptr;
  if ((code = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn)) != 0) return failed(code);
  for (std::size_t i = 0; code == 0 && i < kTables; ++i) {
    code = mdb_dbi_open(txn, kNames[i], 0, &environment->tables_[i]);
    // Schema 1 has no trail; what reads without a lock does not look at it.
    if (code == MDB_NOTFOUND && i >= static_cast<std::size_t>(Table::kTrail)) code = 0;
  }
  MDB_val key = to_val("schema");
  MDB_val value{};
  if (code == 0) code = mdb_get(txn, environment->table(Table::kMeta), &key, &value);
  const std::string schema(code == 0 ? to_view(value) : std::string_view());
  key = to_val("uuid");
  if (code == 0) code = mdb_get(txn, environment->table(Table::kMeta), &key, &value);
  if (code == 0) environment->uuid_ = to_view(value);
  // Its tables can be used by later transactions only once this one is through.
  if (code == 0) {
    code = mdb_txn_commit(txn);
  } else {
    mdb_txn_abort(txn);
  }
  if (code != 0) return failed(code);
  if (schema != kSchema && !is_old_schema(schema)) return wrong_schema(schema);
  return environment;
}

Environment::~Environment() {
  if (env_ != nullptr) mdb_env_close(env_);
}

std::uint64_t Environment::map_pages() const {
  MDB_envinfo info{};
  return mdb_env_info(env_, &info) == 0 ? info.me_mapsize / page_size_ : 0;
}

bool Environment::has_room(std::uint64_t pages, Reserve reserve) const {
  MDB_envinfo info{};
  if (mdb_env_info(env_, &info) != 0) return true;
  const std::uint64_t all = info.me_mapsize / page_size_;
  const std::uint64_t half = reserve_octets(info.me_mapsize) / page_size_ / 2;
  const std::uint64_t wanted = pages + half * static_cast<std::uint64_t>(reserve);
  std::uint64_t free = all - std::min<std::uint64_t>(all, info.me_last_pgno + 1);
  if (free >= wanted) return true;
  // Near the end of the map: pages that were given back count too. Each row of the free list starts
  // with the count of its pages.
  MDB_txn* txn = nullptr;
  if (mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn) != 0) return false;
  MDB_cursor* cursor = nullptr;
  if (mdb_cursor_open(txn, kFreeList, &cursor) == 0) {
    MDB_val key{};
    MDB_val value{};
    while (free < wanted && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
      std::size_t pages_of_row = 0;
      if (value.mv_size < sizeof pages_of_row) continue;
      std::memcpy(&pages_of_row, value.mv_data, sizeof pages_of_row);  // it may lie unaligned
      free += pages_of_row;
    }
    mdb_cursor_close(cursor);
  }
  mdb_txn_abort(txn);
  return free >= wanted;
}

// LMDB does not say where; the system does (proc(5)): "from-to perms offset dev inode path".
void Environment::find_map(const std::string& directory) {
  std::error_code error;
  const std::string path = std::filesystem::canonical(directory + "/data.mdb", error).string();
  std::ifstream maps("/proc/self/maps");
  for (std::string line; !error && std::getline(maps, line);) {
    if (!line.ends_with(" " + path)) continue;
    std::istringstream range(line);
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    char dash = 0;
    if (!(range >> std::hex >> from >> dash >> to) || to <= from) continue;
    map_ = reinterpret_cast<void*>(from);
    map_octets_ = to - from;
  }
}

// Nothing is in the map that is not in the file: LMDB writes to the file (no MDB_WRITEMAP).
void Environment::let_go_of_pages() const {
  MDB_envinfo info{};
  if (map_ == nullptr || mdb_env_info(env_, &info) != 0) return;
  if (info.me_last_pgno < kLargeOctets / page_size_) return;
  (void)madvise(map_, map_octets_, MADV_DONTNEED);
}

Txn::Txn(const Environment& environment, Mode mode) : environment_(environment) {
  note(mdb_txn_begin(environment.handle(), nullptr, mode == Mode::kRead ? MDB_RDONLY : 0, &txn_));
  if (error_ != 0) txn_ = nullptr;
}

Txn::~Txn() {
  if (txn_ != nullptr) mdb_txn_abort(txn_);
}

void Txn::lay_over(const Draft* lower, Draft* top) {
  lower_ = lower;
  top_ = top;
}

std::optional<std::string_view> Txn::get(Table table, std::string_view key) const {
  const Draft::Value* value = top_ == nullptr ? nullptr : top_->find(table, key);
  return value != nullptr ? *value : get_below(table, key);
}

std::optional<std::string_view> Txn::get_below(Table table, std::string_view key) const {
  if (error_ != 0) return std::nullopt;
  const Draft::Value* value = lower_ == nullptr ? nullptr : lower_->find(table, key);
  if (value != nullptr) return *value;
  MDB_val k = to_val(key);
  MDB_val v{};
  const int code = mdb_get(txn_, environment_.table(table), &k, &v);
  if (code == 0) return to_view(v);
  if (code != MDB_NOTFOUND) note(code);
  return std::nullopt;
}

void Txn::put(Table table, std::string_view key, std::string_view value) {
  if (error_ == 0) top_->put(table, key, value);
}

bool Txn::remove(Table table, std::string_view key) {
  const bool is_below = get_below(table, key).has_value();
  return error_ == 0 && top_->remove(table, key, is_below);
}

// One cursor a table: the next key is as a rule on the page where it stands. Of many rows it makes
// way now and then: on a kernel that preempts late, who wants to run waits for the next call of it.
void Txn::write(const Draft& draft) {
  std::size_t rows = 0;
  for (std::size_t number = 0; number < kTables; ++number) {
    const auto table = static_cast<Table>(number);
    if (error_ != 0) return;
    if (draft.rows(table).empty()) continue;
    MDB_cursor* cursor = nullptr;
    note(mdb_cursor_open(txn_, environment_.table(table), &cursor));
    for (const auto& [key, value] : draft.rows(table)) {
      if (++rows % kRowsInARow == 0) (void)sched_yield();
      if (error_ == 0 && environment_.fault()) note(environment_.fault()(FileCall::kMap));
      if (error_ != 0) break;
      MDB_val k = to_val(key);
      MDB_val v = to_val(value.value_or(std::string_view()));
      int code = 0;
      if (value) {
        code = mdb_cursor_put(cursor, &k, &v, 0);
      } else {
        code = mdb_cursor_get(cursor, &k, &v, MDB_SET);
        if (code == 0) code = mdb_cursor_del(cursor, 0);
        if (code == MDB_NOTFOUND) code = 0;
      }
      note(code);
    }
    if (cursor != nullptr) mdb_cursor_close(cursor);
  }
}

std::uint64_t Txn::count(Table table) const {
  MDB_stat stat{};
  if (error_ != 0 || mdb_stat(txn_, environment_.table(table), &stat) != 0) return 0;
  return stat.ms_entries;
}

std::uint64_t Txn::pages(Table table) const {
  MDB_stat stat{};
  if (error_ != 0 || mdb_stat(txn_, environment_.table(table), &stat) != 0) return 0;
  return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

int Txn::commit() {
  if (txn_ == nullptr) return error_;
  if (error_ != 0) {
    mdb_txn_abort(txn_);
  } else {
    if (environment_.fault()) note(environment_.fault()(FileCall::kCommit));
    if (error_ == 0) {
      note(mdb_txn_commit(txn_));
    } else {
      mdb_txn_abort(txn_);
    }
  }
  txn_ = nullptr;
  return error_;
}

Cursor::Cursor(const Txn& txn, Table table) : txn_(txn), table_(table) {
  // What is removed while this walks goes to the upper one, which may be empty yet.
  has_drafts_ = txn.top_ != nullptr || (txn.lower_ != nullptr && !txn.lower_->rows(table).empty());
  if (txn.error() == 0) {
    txn.note(mdb_cursor_open(txn.handle(), txn.environment().table(table), &cursor_));
  }
  if (txn.error() != 0) cursor_ = nullptr;
}

Cursor::~Cursor() {
  if (cursor_ != nullptr) mdb_cursor_close(cursor_);
}

bool Cursor::step(MDB_cursor_op op, std::string_view key) {
  if (cursor_ == nullptr) return false;
  MDB_val k = to_val(key);
  MDB_val v{};
  const int code = mdb_cursor_get(cursor_, &k, &v, op);
  if (code != 0 && code != MDB_NOTFOUND) txn_.note(code);
  if (code != 0) return false;
  key_ = to_view(k);
  value_ = to_view(v);
  return true;
}

bool Cursor::next() { return has_drafts_ ? find(Where::kBehind, key_) : step(MDB_NEXT); }

bool Cursor::previous() { return has_drafts_ ? find(Where::kBefore, key_) : step(MDB_PREV); }

// An empty key is no key to LMDB: start at the first.
bool Cursor::find_stored(Where where, std::string_view key) {
  const bool found = key.empty() ? step(MDB_FIRST) : step(MDB_SET_RANGE, key);
  if (where == Where::kBefore) return step(found ? MDB_PREV : MDB_LAST);
  return found && where == Where::kBehind && key_ == key ? step(MDB_NEXT) : found;
}

// The nearest row of all layers; where two have it, the upper one speaks.
bool Cursor::find(Where where, std::string_view key) {
  if (!has_drafts_) return find_stored(where, key);
  for (std::string_view from = key;;) {
    bool found = find_stored(where, from);
    bool is_removed = false;
    if (txn_.error() != 0) return false;
    for (const Draft* draft : {txn_.lower_, static_cast<const Draft*>(txn_.top_)}) {
      if (draft == nullptr) continue;
      const Draft::Rows& rows = draft->rows(table_);
      auto at = where == Where::kBehind ? rows.upper_bound(from) : rows.lower_bound(from);
      if (at == (where == Where::kBefore ? rows.begin() : rows.end())) continue;
      if (where == Where::kBefore) --at;
      const bool is_nearer = where == Where::kBefore ? at->first >= key_ : at->first <= key_;
      if (found && !is_nearer) continue;
      found = true;
      is_removed = !at->second;
      key_ = at->first;
      value_ = at->second.value_or(std::string_view());
    }
    if (!found || !is_removed) return found;
    from = key_;
    if (where == Where::kAtOrBehind) where = Where::kBehind;
  }
}

void Cursor::remove() {
  const bool is_below = txn_.get_below(table_, key_).has_value();
  if (txn_.error() == 0) txn_.top_->remove(table_, key_, is_below);
}

}  // namespace queue
