// Makes what is generated: credentials, webhook secrets, and the sealed and digested forms that are
// kept of them. Used inside one change of the accounts; not thread-safe.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "policy/account_store.h"

namespace policy {

class AccountMint {
 public:
  // All outlive the mint. `accounts` is the state before the change: new user names avoid its own.
  AccountMint(const AccountStoreOptions& options, const Accounts& accounts)
      : options_(options), accounts_(accounts) {}

  struct Minted {
    Credential kept;
    NewCredential shown;
  };
  // `domain` empty: the tenant's credential for sending out.
  Minted credential(const std::string& tenant, const std::string& domain);

  struct Secret {
    std::string shown;  // "whsec_" and the base64 of 32 random octets (Standard Webhooks)
    std::string sealed;
  };
  [[nodiscard]] Secret webhook_secret(const std::string& tenant) const;

  [[nodiscard]] const certs::Sealer& sealer() const { return *options_.sealer; }

 private:
  std::string unused_username(const std::string& tenant, const std::string& domain);

  const AccountStoreOptions& options_;
  const Accounts& accounts_;
  std::set<std::string> issued_;  // in this change
};

// HMAC-SHA-256 in hex. The secrets have 256 bits of their own, so a fast keyed digest is as safe as
// a slow hash (docs/decisions).
std::string credential_digest(std::string_view digest_key, std::string_view secret);

}  // namespace policy
