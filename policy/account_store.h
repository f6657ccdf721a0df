// The accounts on disk: one LMDB environment, every change one synchronous transaction, then a new
// snapshot. Generated secrets are returned exactly once; inbound ones are kept as a keyed digest,
// those that must be replayed are sealed. Thread-safe; changes come from the admin API, one at a
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "certs/sealer.h"
#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/base/result.h"
#include "policy/accounts.h"
#include "policy/smarthost_lock.h"

namespace policy {

// What `relayctl apply FILE` asks for, already read: no files, no secrets by reference. What is
// left open (nullopt, an empty url) stays as it is, or gets its default where the record is new.
struct SmarthostPlan {
  std::string host;
  unsigned port = 587;
  SmarthostTls tls = SmarthostTls::kStartTls;
  std::string username;                 // "" for no AUTH
  std::optional<std::string> password;  // nullopt keeps the one there is, for the same user name
  std::int64_t reconnect_interval_ms = 30'000;
  unsigned connections = 2;
  std::vector<std::string> more_hosts;
  unsigned messages_per_minute = 0;
  unsigned messages_per_day = 0;
  unsigned recipients_per_day = 0;
  std::string preset;
};

// What a provider lets one account send; keys that are set beside `preset` win over it.
struct SmarthostPreset {
  std::string_view name;
  unsigned connections, messages_per_minute, messages_per_day, recipients_per_day;
};
// nullptr where there is none of that name.
const SmarthostPreset* smarthost_preset(std::string_view name);

struct AddressPlan {
  std::string address;
  std::optional<SmarthostPlan> smarthost;
};
struct DomainPlan {
  std::string name;
  std::optional<Mode> mode;
  std::optional<InboundMode> inbound;
  std::optional<std::vector<std::string>> trusted_authserv_ids;
  std::optional<SmarthostPlan> smarthost;
  std::vector<AddressPlan> addresses;
  std::optional<std::vector<std::string>> partners{};
};
struct TenantPlan {
  std::string name;
  std::string backend_url;  // needed where the tenant is new
  std::optional<TicketFormat> format;
  std::vector<DomainPlan> domains;
  std::optional<std::vector<std::string>> partners{};
};
struct Plan {
  std::vector<TenantPlan> tenants;
};

struct NewCredential {
  std::string id, username, password;  // the only time the password is seen
};

struct Applied {
  struct TenantPart {
    std::string name;
    std::string webhook_secret;               // "" where it existed
    std::optional<NewCredential> credential;  // absent where one existed
  };
  struct DomainPart {
    std::string name;
    std::optional<NewCredential> credential;
  };
  std::vector<TenantPart> tenants;
  std::vector<DomainPart> domains;
};

struct AccountStoreOptions {
  std::string directory;  // state_dir/accounts; made where missing
  const certs::Sealer* sealer = nullptr;
  const base::Limits* limits = nullptr;
  const base::Clock* clock = nullptr;
  std::string digest_key;  // derived from the master key
  std::string hostname{};  // behind the "@" of tenants' user names; "" gives names without one
};

// What a removal took away: every record, in words that can be looked up in logs and files.
struct Removed {
  std::vector<std::string> domains, addresses, smarthosts, credentials, dkim_keys;
};

class AccountStore {
 public:
  static base::Result<std::unique_ptr<AccountStore>> open(AccountStoreOptions options);
  ~AccountStore();

  [[nodiscard]] AccountsSnapshot snapshot() const;
  // Called after every change, on the changing thread, without locks held (to end revoked sessions,
  // to look at routes anew). Register before traffic.
  void on_change(std::function<void(const AccountsSnapshot&)> callback);

  // All or nothing: an error names the entry ("tenant acme, domain acme.example, address x@y: ...")
  // and changes nothing. Idempotent; what the plan does not name stays as it is.
  base::Result<Applied> apply(const Plan& plan);

  base::Result<NewCredential> add_tenant_credential(std::string_view tenant);
  base::Result<NewCredential> rotate_credential(std::string_view domain);       // rule D3
  base::Status revoke_credential(std::string_view owner, std::string_view id);  // tenant or domain
  base::Result<Removed> remove_tenant(std::string_view name);
  base::Result<Removed> remove_domain(std::string_view name);
  base::Result<Removed> remove_address(std::string_view address);
  // Partners of a tenant or of a domain (a name with a dot that is a domain here). False where
  // nothing had to be changed.
  base::Result<bool> add_partner(std::string_view owner, std::string_view partner);
  base::Result<bool> remove_partner(std::string_view owner, std::string_view partner);
  base::Result<Removed> remove_smarthost(std::string_view key);  // of a domain or of an address
  // Both sign from now on; of two that were there the older one ends.
  base::Result<std::string> rotate_webhook_secret(std::string_view tenant);
  // Only the newest secret signs from now on. How many ended: 0 where there was one.
  base::Result<std::size_t> end_old_webhook_secrets(std::string_view tenant);
  // The DNS record to publish.
  struct DnsRecord {
    std::string name, type, value;
  };
  static DnsRecord dns_record(std::string_view domain, const DkimKey& key);
  // Makes a key that does not sign yet.
  base::Result<DnsRecord> add_dkim_key(std::string_view domain, std::string_view selector,
                                       dkim::Algorithm algorithm);
  // Signs from now on, beside other keys; those of the same algorithm stop (one signature each).
  base::Status activate_dkim_key(std::string_view domain, std::string_view selector);
  base::Status remove_dkim_key(std::string_view domain, std::string_view selector);
  base::Status set_verification(std::string_view address, Verification state);

  // The accounts at smarthosts whose last login failed (product rule O3). They outlive the process;
  // a record goes with its account and with a change of the account's password.
  [[nodiscard]] std::map<SmarthostAccount, SmarthostLock> smarthost_locks() const;
  [[nodiscard]] std::optional<SmarthostLock> smarthost_lock(const SmarthostAccount& account) const;
  // nullopt: the login succeeded, nothing is held against it. On disk when it returns; after an
  // error it holds until the process ends. Does not call on_change.
  base::Status keep_smarthost_lock(const SmarthostAccount& account,
                                   const std::optional<SmarthostLock>& lock);
  // The operator's word that the account is mended; on_change is called. Not an error where the
  // account was not locked: false. `key` as in Accounts::Route.
  base::Result<bool> unlock_smarthost(std::string_view key);

  // Digest of a presented secret, for comparison in constant time with Credential::digest.
  [[nodiscard]] std::string digest(std::string_view secret) const;
  // Secrets to replay.
  [[nodiscard]] base::Result<std::string> smarthost_password(std::string_view route_key,
                                                             const Smarthost& smarthost) const;
  [[nodiscard]] base::Result<std::vector<std::string>> webhook_secrets(const Tenant& tenant) const;

 private:
  AccountStore();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace policy
