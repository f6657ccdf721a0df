#include "policy/account_store.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "core/base/bytes.h"
#include "core/mail/address.h"
#include "policy/account_codec.h"
#include "policy/account_database.h"
#include "policy/account_mint.h"
#include "policy/apply.h"
#include "policy/plan_check.h"

namespace policy {
namespace {

constexpr std::size_t kWebhookSecretsMax = 2;  // product rule T2

base::Error no_such(std::string_view what, std::string_view name) {
  return base::error("there is no " + std::string(what) + " " + base::printable(name));
}

base::Result<std::string> normalized_address(std::string_view text) {
  const auto parsed = mail::parse_mailbox(text);
  if (!parsed.ok()) return parsed.error();
  return mail::normalize_address(*parsed);
}

// The sealed passwords that the tenant's smarthosts have for an account.
std::set<std::string> passwords_of(const Accounts& accounts, const SmarthostAccount& account) {
  std::set<std::string> passwords;
  const auto look = [&](const std::optional<Smarthost>& smarthost) {
    if (smarthost && smarthost->host == account.host && smarthost->username == account.username) {
      passwords.insert(smarthost->sealed_password);
    }
  };
  const Tenant* tenant = accounts.tenant(account.tenant);
  if (tenant == nullptr) return passwords;
  for (const auto& [domain_name, domain] : tenant->domains) {
    look(domain.smarthost);
    for (const auto& [text, address] : domain.addresses) look(address.smarthost);
  }
  return passwords;
}

void note(Removed& removed, const SupportAddress& address) {
  removed.addresses.push_back(address.address);
  if (address.smarthost) removed.smarthosts.push_back(address.address);
}

void note(Removed& removed, const Domain& domain) {
  removed.domains.push_back(domain.name);
  if (domain.smarthost) removed.smarthosts.push_back(domain.name);
  for (const auto& [text, address] : domain.addresses) note(removed, address);
  for (const Credential& credential : domain.credentials) {
    removed.credentials.push_back(credential.id);
  }
  for (const auto& [selector, key] : domain.dkim_keys) {
    removed.dkim_keys.push_back(selector + "._domainkey." + domain.name);
  }
}

}  // namespace

struct AccountStore::State {
  AccountStoreOptions options;
  std::unique_ptr<AccountDatabase> database;
  std::mutex change_mutex;  // one change at a time, held over the transaction
  mutable std::mutex snapshot_mutex;
  AccountsSnapshot current;
  std::mutex callbacks_mutex;
  std::vector<std::function<void(const AccountsSnapshot&)>> callbacks;
  mutable std::mutex locks_mutex;
  std::map<SmarthostAccount, SmarthostLock> locks;

  [[nodiscard]] AccountsSnapshot snapshot() const {
    const std::lock_guard lock(snapshot_mutex);
    return current;
  }

  // `edit` changes the draft and gives a Result; on success what differs is written and published.
  template <typename Edit>
  auto change(Edit edit) -> decltype(edit(std::declval<Draft&>(), std::declval<const Accounts&>(),
                                          std::declval<AccountMint&>())) {
    AccountsSnapshot next;
    auto result = [&]() -> decltype(edit(std::declval<Draft&>(), std::declval<const Accounts&>(),
                                         std::declval<AccountMint&>())) {
      const std::lock_guard lock(change_mutex);
      const AccountsSnapshot before = snapshot();
      Draft draft{before->tenants(), {}};
      AccountMint mint(options, *before);
      auto edited = edit(draft, *before, mint);
      if (!edited.ok()) return edited;
      const base::Status written = write(*before, draft);
      if (!written.ok()) return written.error();
      if (draft.touched.empty()) return edited;
      next = std::make_shared<const Accounts>(std::move(draft.tenants));
      forget_locks(draft.touched, *before, *next);
      const std::lock_guard publish(snapshot_mutex);
      current = next;
      return edited;
    }();
    if (next != nullptr) tell(next);
    return result;
  }

  // Leaves in `touched` what was really written.
  base::Status write(const Accounts& before, Draft& draft) {
    std::map<std::string, std::optional<std::string>> records;
    for (const std::string& touched : draft.touched) {
      const auto at = draft.tenants.find(touched);
      const Tenant* old = before.tenant(touched);
      if (at == draft.tenants.end()) {
        if (old != nullptr) records.emplace(touched, std::nullopt);
      } else if (old == nullptr || !(*old == at->second)) {
        records.emplace(touched, encode_tenant(at->second, *options.sealer));
      }
    }
    draft.touched.clear();
    for (const auto& [touched, record] : records) draft.touched.insert(touched);
    if (records.empty()) return base::Ok{};
    return database->write(records);
  }

  // A changed password is a new chance. Called with change_mutex held.
  void forget_locks(const std::set<std::string>& tenants, const Accounts& before,
                    const Accounts& next) {
    std::vector<SmarthostAccount> gone;
    {
      const std::lock_guard lock(locks_mutex);
      for (const auto& [account, held] : locks) {
        if (!tenants.contains(account.tenant)) continue;
        const auto passwords = passwords_of(next, account);
        if (passwords.empty() || passwords != passwords_of(before, account)) {
          gone.push_back(account);
        }
      }
    }
    // Not written: it is found again at the next start, and one probe then ends it.
    for (const SmarthostAccount& account : gone) (void)keep_lock(account, std::nullopt);
  }

  // With change_mutex held: the database is not thread-safe.
  base::Status keep_lock(const SmarthostAccount& account,
                         const std::optional<SmarthostLock>& held) {
    {
      const std::lock_guard lock(locks_mutex);
      if (held) {
        locks[account] = *held;
      } else if (locks.erase(account) == 0) {
        return base::Ok{};
      }
    }
    const std::string key =
        credential_digest(options.digest_key, "lock\n" + account.tenant + "\n" + account.host +
                                                  "\n" + account.username);
    return database->write_lock(key,
                                held ? std::optional(encode_lock(account, *held)) : std::nullopt);
  }

  void tell(const AccountsSnapshot& next) {
    std::vector<std::function<void(const AccountsSnapshot&)>> to_call;
    {
      const std::lock_guard lock(callbacks_mutex);
      to_call = callbacks;
    }
    for (const auto& callback : to_call) callback(next);
  }

  // `edit` gets the domain of that name in the draft.
  template <typename Edit>
  auto change_domain(std::string_view name, Edit edit)
      -> decltype(edit(std::declval<Domain&>(), std::declval<AccountMint&>())) {
    using Answer = decltype(edit(std::declval<Domain&>(), std::declval<AccountMint&>()));
    return change([&](Draft& draft, const Accounts& before, AccountMint& mint) -> Answer {
      const auto normalized = mail::normalize_domain(name);
      if (!normalized.ok()) return normalized.error();
      const Domain* domain = before.domain(*normalized);
      if (domain == nullptr) return no_such("domain", name);
      return edit(draft.tenant(domain->tenant)->domains.at(*normalized), mint);
    });
  }

  // A domain's name has a dot and a tenant's may have one: what is a domain here is meant as one.
  base::Result<bool> change_partners(std::string_view owner, std::string_view partner,
                                     bool wanted) {
    return change([&](Draft& draft, const Accounts& before, AccountMint&) -> base::Result<bool> {
      const auto domain_name = mail::normalize_domain(owner);
      const Domain* domain = domain_name.ok() ? before.domain(*domain_name) : nullptr;
      Tenant* tenant = draft.tenant(domain == nullptr ? std::string(owner) : domain->tenant);
      if (tenant == nullptr) return no_such("tenant or domain", owner);
      std::vector<std::string>& partners =
          domain == nullptr ? tenant->partners : tenant->domains.at(domain->name).partners;
      const auto name = check_partners({std::string(partner)}, *options.limits);
      if (!name.ok()) return name.error();
      std::vector<std::string> next = partners;
      std::erase(next, name->front());
      if (wanted) next.push_back(name->front());
      auto checked = check_partners(next, *options.limits);
      if (!checked.ok()) return checked.error();
      const bool changed = partners != *checked;
      partners = checked.take();
      return changed;
    });
  }
};

AccountStore::AccountStore() : state_(std::make_unique<State>()) {}
AccountStore::~AccountStore() = default;

base::Result<std::unique_ptr<AccountStore>> AccountStore::open(AccountStoreOptions options) {
  auto store = std::unique_ptr<AccountStore>(new AccountStore());
  State& state = *store->state_;
  state.options = std::move(options);
  auto database =
      AccountDatabase::open(state.options.directory, state.options.limits->accounts_map_size,
                            credential_digest(state.options.digest_key, "accounts/key-check"));
  if (!database.ok()) return database.error();
  state.database = database.take();
  const auto records = state.database->load();
  if (!records.ok()) return records.error();
  std::map<std::string, Tenant> tenants;
  for (const auto& [name, record] : *records) {
    auto tenant = decode_tenant(name, record, *state.options.sealer);
    if (!tenant.ok()) return tenant.error();
    tenants.emplace(name, tenant.take());
  }
  state.current = std::make_shared<const Accounts>(std::move(tenants));
  const auto locks = state.database->load_locks();
  if (!locks.ok()) return locks.error();
  for (const auto& [key, record] : *locks) {
    auto lock = decode_lock(record);
    if (!lock.ok()) return lock.error();
    state.locks.insert(lock.take());
  }
  return store;
}

AccountsSnapshot AccountStore::snapshot() const { return state_->snapshot(); }

void AccountStore::on_change(std::function<void(const AccountsSnapshot&)> callback) {
  const std::lock_guard lock(state_->callbacks_mutex);
  state_->callbacks.push_back(std::move(callback));
}

base::Result<Applied> AccountStore::apply(const Plan& plan) {
  return state_->change([&](Draft& draft, const Accounts& before, AccountMint& mint) {
    return apply_plan(draft, plan, before, mint, *state_->options.limits);
  });
}

base::Result<NewCredential> AccountStore::add_tenant_credential(std::string_view name) {
  return state_->change(
      [&](Draft& draft, const Accounts&, AccountMint& mint) -> base::Result<NewCredential> {
        Tenant* tenant = draft.tenant(std::string(name));
        if (tenant == nullptr) return no_such("tenant", name);
        const auto most = static_cast<std::size_t>(state_->options.limits->credentials_per_tenant);
        if (tenant->credentials.size() >= most) {
          return base::error("tenant " + tenant->name + " has " + std::to_string(most) +
                             " credentials already (limits.credentials_per_tenant); revoke one "
                             "with `relayctl credential revoke " +
                             tenant->name + " ID`");
        }
        AccountMint::Minted minted = mint.credential(tenant->name, "");
        tenant->credentials.push_back(minted.kept);
        return minted.shown;
      });
}

base::Result<NewCredential> AccountStore::rotate_credential(std::string_view name) {
  return state_->change_domain(
      name, [&](Domain& domain, AccountMint& mint) -> base::Result<NewCredential> {
        const auto most =
            static_cast<std::size_t>(state_->options.limits->inbound_credentials_per_domain);
        if (domain.credentials.size() >= most) {
          return base::error("domain " + domain.name + " has " + std::to_string(most) +
                             " live credentials (limits.inbound_credentials_per_domain); revoke "
                             "the old one first: `relayctl credential revoke " +
                             domain.name + " " + domain.credentials.front().id + "`");
        }
        AccountMint::Minted minted = mint.credential(domain.tenant, domain.name);
        domain.credentials.push_back(minted.kept);
        return minted.shown;
      });
}

base::Status AccountStore::revoke_credential(std::string_view owner, std::string_view id) {
  return state_->change([&](Draft& draft, const Accounts& before, AccountMint&) -> base::Status {
    const Credential* credential = before.credential_by_id(id);
    const auto domain_name = mail::normalize_domain(owner);
    const bool owned =
        credential != nullptr &&
        (credential->is_inbound() ? domain_name.ok() && credential->domain == *domain_name
                                  : credential->tenant == owner);
    if (!owned) return no_such("credential of " + base::printable(owner) + " with id", id);
    Tenant* tenant = draft.tenant(credential->tenant);
    std::vector<Credential>& credentials = credential->is_inbound()
                                               ? tenant->domains.at(credential->domain).credentials
                                               : tenant->credentials;
    std::erase_if(credentials, [&](const Credential& row) { return row.id == id; });
    return base::Ok{};
  });
}

base::Result<Removed> AccountStore::remove_tenant(std::string_view name) {
  return state_->change([&](Draft& draft, const Accounts&, AccountMint&) -> base::Result<Removed> {
    const Tenant* tenant = draft.tenant(std::string(name));
    if (tenant == nullptr) return no_such("tenant", name);
    Removed removed;
    for (const Credential& credential : tenant->credentials) {
      removed.credentials.push_back(credential.id);
    }
    for (const auto& [domain_name, domain] : tenant->domains) note(removed, domain);
    draft.tenants.erase(std::string(name));
    return removed;
  });
}

base::Result<Removed> AccountStore::remove_domain(std::string_view name) {
  return state_->change(
      [&](Draft& draft, const Accounts& before, AccountMint&) -> base::Result<Removed> {
        const auto normalized = mail::normalize_domain(name);
        if (!normalized.ok()) return normalized.error();
        const Domain* domain = before.domain(*normalized);
        if (domain == nullptr) return no_such("domain", name);
        Removed removed;
        note(removed, *domain);
        draft.tenant(domain->tenant)->domains.erase(*normalized);
        return removed;
      });
}

base::Result<Removed> AccountStore::remove_address(std::string_view text) {
  const auto normalized = normalized_address(text);
  if (!normalized.ok()) return normalized.error();
  const std::string domain_name = normalized->substr(normalized->rfind('@') + 1);
  return state_->change_domain(domain_name,
                               [&](Domain& domain, AccountMint&) -> base::Result<Removed> {
                                 const auto at = domain.addresses.find(*normalized);
                                 if (at == domain.addresses.end()) return no_such("address", text);
                                 Removed removed;
                                 note(removed, at->second);
                                 domain.addresses.erase(at);
                                 return removed;
                               });
}

base::Result<Removed> AccountStore::remove_smarthost(std::string_view key) {
  std::string address;
  std::string domain_name(key);
  if (key.find('@') != std::string_view::npos) {
    auto normalized = normalized_address(key);
    if (!normalized.ok()) return normalized.error();
    address = normalized.take();
    domain_name = address.substr(address.rfind('@') + 1);
  }
  return state_->change_domain(
      domain_name, [&](Domain& domain, AccountMint&) -> base::Result<Removed> {
        std::optional<Smarthost>* smarthost = &domain.smarthost;
        if (!address.empty()) {
          const auto at = domain.addresses.find(address);
          if (at == domain.addresses.end()) return no_such("address", key);
          smarthost = &at->second.smarthost;
        }
        if (!*smarthost) return no_such("smarthost of", key);
        smarthost->reset();
        Removed removed;
        removed.smarthosts.push_back(address.empty() ? domain.name : address);
        return removed;
      });
}

base::Result<std::string> AccountStore::rotate_webhook_secret(std::string_view name) {
  return state_->change(
      [&](Draft& draft, const Accounts&, AccountMint& mint) -> base::Result<std::string> {
        Tenant* tenant = draft.tenant(std::string(name));
        if (tenant == nullptr) return no_such("tenant", name);
        AccountMint::Secret secret = mint.webhook_secret(tenant->name);
        auto& sealed = tenant->backend.sealed_webhook_secrets;
        sealed.insert(sealed.begin(), secret.sealed);
        if (sealed.size() > kWebhookSecretsMax) sealed.resize(kWebhookSecretsMax);
        return secret.shown;
      });
}

base::Result<bool> AccountStore::add_partner(std::string_view owner, std::string_view partner) {
  return state_->change_partners(owner, partner, /*wanted=*/true);
}

base::Result<bool> AccountStore::remove_partner(std::string_view owner, std::string_view partner) {
  return state_->change_partners(owner, partner, /*wanted=*/false);
}

base::Result<std::size_t> AccountStore::end_old_webhook_secrets(std::string_view name) {
  return state_->change(
      [&](Draft& draft, const Accounts&, AccountMint&) -> base::Result<std::size_t> {
        Tenant* tenant = draft.tenant(std::string(name));
        if (tenant == nullptr) return no_such("tenant", name);
        auto& sealed = tenant->backend.sealed_webhook_secrets;
        const std::size_t ended = sealed.size() - std::min<std::size_t>(sealed.size(), 1);
        sealed.resize(sealed.size() - ended);
        return ended;
      });
}

AccountStore::DnsRecord AccountStore::dns_record(std::string_view domain, const DkimKey& key) {
  return {key.selector + "._domainkey." + std::string(domain), "TXT", key.key->dns_record()};
}

base::Result<AccountStore::DnsRecord> AccountStore::add_dkim_key(std::string_view name,
                                                                 std::string_view selector_text,
                                                                 dkim::Algorithm algorithm) {
  const std::string selector = base::ascii_lower(selector_text);
  if (base::Status status = check_selector(selector); !status.ok()) return status.error();
  return state_->change_domain(
      name, [&](Domain& domain, AccountMint& mint) -> base::Result<DnsRecord> {
        if (domain.dkim_keys.contains(selector)) {
          return base::error("domain " + domain.name + " has a DKIM key " + selector +
                             " already; choose another selector (receivers may have cached its "
                             "record)");
        }
        const auto most = static_cast<std::size_t>(state_->options.limits->dkim_keys_per_domain);
        if (domain.dkim_keys.size() >= most) {
          return base::error("domain " + domain.name + " has " + std::to_string(most) +
                             " DKIM keys (limits.dkim_keys_per_domain); remove one first");
        }
        auto generated = dkim::SigningKey::generate(algorithm);
        if (!generated.ok()) return generated.error();
        DkimKey key;
        key.selector = selector;
        key.key = generated.take();
        key.sealed_key = mint.sealer().seal(key.key->pem(), "dkim/" + domain.name + "/" + selector);
        DnsRecord record = dns_record(domain.name, key);
        domain.dkim_keys.emplace(selector, std::move(key));
        return record;
      });
}

base::Status AccountStore::activate_dkim_key(std::string_view name,
                                             std::string_view selector_text) {
  const std::string selector = base::ascii_lower(selector_text);
  return state_->change_domain(name, [&](Domain& domain, AccountMint&) -> base::Status {
    const auto chosen = domain.dkim_keys.find(selector);
    if (chosen == domain.dkim_keys.end()) {
      return no_such("DKIM key of " + domain.name + " with selector", selector);
    }
    for (auto& [other, key] : domain.dkim_keys) {
      if (key.key->algorithm() == chosen->second.key->algorithm()) key.active = false;
    }
    chosen->second.active = true;
    return base::Ok{};
  });
}

base::Status AccountStore::remove_dkim_key(std::string_view name, std::string_view selector_text) {
  const std::string selector = base::ascii_lower(selector_text);
  return state_->change_domain(name, [&](Domain& domain, AccountMint&) -> base::Status {
    if (domain.dkim_keys.erase(selector) == 0) {
      return no_such("DKIM key of " + domain.name + " with selector", selector);
    }
    return base::Ok{};
  });
}

base::Status AccountStore::set_verification(std::string_view text, Verification verification) {
  const auto normalized = normalized_address(text);
  if (!normalized.ok()) return normalized.error();
  const std::string domain_name = normalized->substr(normalized->rfind('@') + 1);
  return state_->change_domain(domain_name, [&](Domain& domain, AccountMint&) -> base::Status {
    const auto at = domain.addresses.find(*normalized);
    if (at == domain.addresses.end()) return no_such("address", text);
    at->second.verification = verification;
    return base::Ok{};
  });
}

std::map<SmarthostAccount, SmarthostLock> AccountStore::smarthost_locks() const {
  const std::lock_guard lock(state_->locks_mutex);
  return state_->locks;
}

std::optional<SmarthostLock> AccountStore::smarthost_lock(const SmarthostAccount& account) const {
  const std::lock_guard lock(state_->locks_mutex);
  const auto at = state_->locks.find(account);
  return at == state_->locks.end() ? std::nullopt : std::optional(at->second);
}

base::Status AccountStore::keep_smarthost_lock(const SmarthostAccount& account,
                                               const std::optional<SmarthostLock>& held) {
  // A login that succeeds where nothing is held against the account is the rule, and costs no more.
  if (!held && !smarthost_lock(account)) return base::Ok{};
  const std::lock_guard lock(state_->change_mutex);
  return state_->keep_lock(account, held);
}

base::Result<bool> AccountStore::unlock_smarthost(std::string_view key) {
  const AccountsSnapshot accounts = snapshot();
  const auto account = accounts->smarthost_account(key);
  if (!account) return no_such("smarthost of", key);
  bool was_locked = false;
  {
    const std::lock_guard lock(state_->change_mutex);
    const auto held = smarthost_lock(*account);
    was_locked = held && held->locked();
    if (base::Status status = state_->keep_lock(*account, std::nullopt); !status.ok()) {
      return status.error();
    }
  }
  state_->tell(accounts);
  return was_locked;
}

std::string AccountStore::digest(std::string_view secret) const {
  return credential_digest(state_->options.digest_key, secret);
}

base::Result<std::string> AccountStore::smarthost_password(std::string_view route_key,
                                                           const Smarthost& smarthost) const {
  const std::string context = "smarthost/" + std::string(route_key);
  auto password = state_->options.sealer->unseal(smarthost.sealed_password, context);
  if (password.ok()) return password;
  return base::error("password of the smarthost of " + std::string(route_key) + ": " +
                     password.message());
}

base::Result<std::vector<std::string>> AccountStore::webhook_secrets(const Tenant& tenant) const {
  std::vector<std::string> secrets;
  for (const std::string& sealed : tenant.backend.sealed_webhook_secrets) {
    auto secret = state_->options.sealer->unseal(sealed, "webhook/" + tenant.name);
    if (!secret.ok()) {
      return base::error("webhook secret of tenant " + tenant.name + ": " + secret.message());
    }
    secrets.push_back(secret.take());
  }
  return secrets;
}

}  // namespace policy
