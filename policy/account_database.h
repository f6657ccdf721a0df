// The accounts' LMDB environment: one JSON record a tenant under "tenant/NAME", one a failing login
// at a smarthost under "lock/KEY", the version of the form under "schema", and a check value that
// tells when master.key is not the one the accounts were made with. Knows nothing of what the
// records mean. Not thread-safe: AccountStore serializes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace policy {

class AccountDatabase {
 public:
  // Makes the directory (0700) where it is missing. Errors: unreadable, a network file system, a
  // newer schema, another key (`key_check` differs from the one stored on the first opening).
  static base::Result<std::unique_ptr<AccountDatabase>> open(const std::string& directory,
                                                             std::int64_t map_octets,
                                                             const std::string& key_check);
  ~AccountDatabase();
  AccountDatabase(const AccountDatabase&) = delete;
  AccountDatabase& operator=(const AccountDatabase&) = delete;

  // By tenant name.
  base::Result<std::map<std::string, std::string>> load() const;
  // What is kept about logins at smarthosts, by a key of at most 400 octets.
  base::Result<std::map<std::string, std::string>> load_locks() const;
  base::Status write_lock(const std::string& key, const std::optional<std::string>& record);
  // One synchronous transaction; nullopt deletes. All or nothing.
  base::Status write(const std::map<std::string, std::optional<std::string>>& records);

 private:
  AccountDatabase();
  base::Status check_meta(const std::string& key_check);
  base::Result<std::map<std::string, std::string>> load(std::string_view prefix) const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace policy
