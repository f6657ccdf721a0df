#include "policy/account_database.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace policy {
namespace {

constexpr std::string_view kTenantPrefix = "tenant/";
constexpr std::string_view kLockPrefix = "lock/";
constexpr std::string_view kSchemaKey = "schema";
constexpr std::string_view kKeyCheckKey = "key-check";
constexpr std::string_view kSchema = "1";

MDB_val as_value(std::string_view text) {
  // LMDB's interface is not const-correct; it never writes through the data of a put or a key.
  return MDB_val{text.size(), const_cast<char*>(text.data())};
}

std::string_view as_text(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

base::Error failure(std::string_view what, int rc) {
  std::string message = "accounts: " + std::string(what) + ": " + mdb_strerror(rc);
  if (rc == MDB_MAP_FULL) message += "; raise limits.accounts_map_size";
  if (rc == ENOSPC) message += "; free some space in state_dir";
  return base::error(std::move(message));
}

// LMDB's locks and memory map do not work over a network.
bool is_network_file_system(const std::string& directory) {
  struct statfs info {};
  if (statfs(directory.c_str(), &info) != 0) return false;
  const auto type = static_cast<std::uint32_t>(info.f_type);
  return type == 0x6969U || type == 0x517BU || type == 0xFF534D42U || type == 0xFE534D42U;
}

class Transaction {
 public:
  Transaction() = default;
  ~Transaction() {
    if (handle_ != nullptr) mdb_txn_abort(handle_);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  int begin(MDB_env* environment, unsigned flags) {
    return mdb_txn_begin(environment, nullptr, flags, &handle_);
  }
  int commit() { return mdb_txn_commit(std::exchange(handle_, nullptr)); }
  [[nodiscard]] MDB_txn* get() const { return handle_; }

 private:
  MDB_txn* handle_ = nullptr;
};

}  // namespace

struct AccountDatabase::State {
  MDB_env* environment = nullptr;
  MDB_dbi dbi = 0;
  ~State() {
    if (environment != nullptr) mdb_env_close(environment);
  }
};

AccountDatabase::AccountDatabase() : state_(std::make_unique<State>()) {}
AccountDatabase::~AccountDatabase() = default;

base::Result<std::unique_ptr<AccountDatabase>> AccountDatabase::open(const std::string& directory,
                                                                     std::int64_t map_octets,
                                                                     const std::string& key_check) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::error("accounts: cannot make " + directory + ": " + std::strerror(errno));
  }
  if (is_network_file_system(directory)) {
    return base::error("accounts: " + directory +
                       " lies on a network file system; put state_dir on a local disk");
  }
  auto database = std::unique_ptr<AccountDatabase>(new AccountDatabase());
  State& state = *database->state_;
  int rc = mdb_env_create(&state.environment);
  if (rc != 0) return failure("cannot make an LMDB environment", rc);
  rc = mdb_env_set_mapsize(state.environment, static_cast<std::size_t>(map_octets));
  if (rc != 0) return failure("cannot set limits.accounts_map_size", rc);
  rc = mdb_env_open(state.environment, directory.c_str(), MDB_NOTLS, 0600);
  if (rc != 0) return failure("cannot open " + directory, rc);
  int dead_readers = 0;
  rc = mdb_reader_check(state.environment, &dead_readers);
  if (rc != 0) return failure("cannot check the readers of " + directory, rc);
  const base::Status checked = database->check_meta(key_check);
  if (!checked.ok()) return checked.error();
  return database;
}

base::Status AccountDatabase::check_meta(const std::string& key_check) {
  Transaction transaction;
  int rc = transaction.begin(state_->environment, 0);
  if (rc == 0) rc = mdb_dbi_open(transaction.get(), nullptr, 0, &state_->dbi);
  if (rc != 0) return failure("cannot start a transaction", rc);
  MDB_val schema_key = as_value(kSchemaKey);
  MDB_val key_check_key = as_value(kKeyCheckKey);
  MDB_val found{};
  rc = mdb_get(transaction.get(), state_->dbi, &schema_key, &found);
  if (rc == MDB_NOTFOUND) {
    MDB_val schema = as_value(kSchema);
    MDB_val check = as_value(key_check);
    rc = mdb_put(transaction.get(), state_->dbi, &schema_key, &schema, 0);
    if (rc == 0) rc = mdb_put(transaction.get(), state_->dbi, &key_check_key, &check, 0);
    if (rc == 0) rc = transaction.commit();
    if (rc != 0) return failure("cannot write the schema", rc);
    return base::Ok{};
  }
  if (rc != 0) return failure("cannot read the schema", rc);
  if (as_text(found) != kSchema) {
    return base::error("accounts: the database has schema " + std::string(as_text(found)) +
                       ", this relayd knows " + std::string(kSchema) +
                       "; start the relayd that wrote it, or a newer one");
  }
  rc = mdb_get(transaction.get(), state_->dbi, &key_check_key, &found);
  if (rc != 0) return failure("cannot read the key check", rc);
  if (as_text(found) != key_check) {
    return base::error(
        "accounts: secrets/master.key is not the one these accounts were made with; put the old "
        "key back from a backup, or start with an empty accounts directory");
  }
  // Committed, not aborted: an aborted transaction would take the handle of the database with it.
  rc = transaction.commit();
  if (rc != 0) return failure("cannot open the database", rc);
  return base::Ok{};
}

base::Result<std::map<std::string, std::string>> AccountDatabase::load() const {
  return load(kTenantPrefix);
}

base::Result<std::map<std::string, std::string>> AccountDatabase::load_locks() const {
  return load(kLockPrefix);
}

base::Status AccountDatabase::write_lock(const std::string& key,
                                         const std::optional<std::string>& record) {
  Transaction transaction;
  int rc = transaction.begin(state_->environment, 0);
  if (rc != 0) return failure("cannot start a transaction", rc);
  const std::string key_text = std::string(kLockPrefix) + key;
  MDB_val key_value = as_value(key_text);
  if (record) {
    MDB_val value = as_value(*record);
    rc = mdb_put(transaction.get(), state_->dbi, &key_value, &value, 0);
  } else {
    rc = mdb_del(transaction.get(), state_->dbi, &key_value, nullptr);
    if (rc == MDB_NOTFOUND) rc = 0;
  }
  if (rc == 0) rc = transaction.commit();
  if (rc != 0) return failure("cannot write the lock of a smarthost", rc);
  return base::Ok{};
}

base::Result<std::map<std::string, std::string>> AccountDatabase::load(
    std::string_view prefix) const {
  Transaction transaction;
  int rc = transaction.begin(state_->environment, MDB_RDONLY);
  if (rc != 0) return failure("cannot start a transaction", rc);
  MDB_cursor* cursor = nullptr;
  rc = mdb_cursor_open(transaction.get(), state_->dbi, &cursor);
  if (rc != 0) return failure("cannot read", rc);
  std::map<std::string, std::string> records;
  MDB_val key = as_value(prefix);
  MDB_val value{};
  rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
  while (rc == 0 && as_text(key).starts_with(prefix)) {
    records.emplace(as_text(key).substr(prefix.size()), as_text(value));
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  if (rc != 0 && rc != MDB_NOTFOUND) return failure("cannot read", rc);
  return records;
}

base::Status AccountDatabase::write(
    const std::map<std::string, std::optional<std::string>>& records) {
  Transaction transaction;
  int rc = transaction.begin(state_->environment, 0);
  if (rc != 0) return failure("cannot start a transaction", rc);
  for (const auto& [name, record] : records) {
    const std::string key_text = std::string(kTenantPrefix) + name;
    MDB_val key = as_value(key_text);
    if (record) {
      MDB_val value = as_value(*record);
      rc = mdb_put(transaction.get(), state_->dbi, &key, &value, 0);
    } else {
      rc = mdb_del(transaction.get(), state_->dbi, &key, nullptr);
      if (rc == MDB_NOTFOUND) rc = 0;
    }
    if (rc != 0) return failure("cannot write tenant " + name, rc);
  }
  rc = transaction.commit();
  if (rc != 0) return failure("cannot write to disk", rc);
  return base::Ok{};
}

}  // namespace policy
