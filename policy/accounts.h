// Tenants, domains, support addresses, credentials, smarthosts and DKIM keys (product rules D1-D8)
// as an immutable snapshot. Whoever asks takes the current one and keeps it for as long as one
// question lasts; a change makes a new snapshot (policy/account_store.h). Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "dkim/signer.h"
#include "policy/smarthost_lock.h"

namespace policy {

enum class Mode { kTwoWay, kOutboundOnly };                // "two-way", "outbound-only"
enum class InboundMode { kStandard, kEnhanced, kStrict };  // product rule A2; in this order
enum class SmarthostTls { kStartTls, kImplicit, kNone };
enum class TicketFormat { kJson, kRfc822, kMailgun };
enum class Verification { kUnverified, kPending, kVerified, kFailed };  // product rule D9

// The words of interface and storage; nullopt where the text is none of them.
std::string_view name(Mode mode);
std::string_view name(InboundMode mode);
std::string_view name(SmarthostTls tls);  // "starttls", "implicit", "none"
std::string_view name(TicketFormat format);
std::string_view name(Verification state);
std::optional<Mode> parse_mode(std::string_view text);
std::optional<InboundMode> parse_inbound_mode(std::string_view text);
std::optional<SmarthostTls> parse_smarthost_tls(std::string_view text);
std::optional<TicketFormat> parse_ticket_format(std::string_view text);
std::optional<Verification> parse_verification(std::string_view text);

struct Smarthost {
  std::string host;
  unsigned port = 587;
  SmarthostTls tls = SmarthostTls::kStartTls;
  std::string username;         // "" for no AUTH
  std::string sealed_password;  // certs::Sealer, context "smarthost/KEY"
  std::int64_t reconnect_interval_ms = 30'000;
  unsigned connections = 2;
  std::vector<std::string> more_hosts;  // tried in order where `host` cannot be used
  // Most that is sent, over sliding windows; 0: no limit.
  unsigned messages_per_minute = 0;
  unsigned messages_per_day = 0;
  unsigned recipients_per_day = 0;
  std::string preset;  // the name the limits came from, "" for none
  bool operator==(const Smarthost&) const = default;
};

struct Credential {
  std::string id;        // short, public: "cr_..."
  std::string username;  // unique over the installation; may look like an address (rule D2)
  std::string digest;    // keyed SHA-256 of the secret, hex
  std::string tenant;    // always set
  std::string domain;  // set: inbound, delivers to that domain; empty: the tenant's, sends outward
  std::int64_t created_ms = 0;
  [[nodiscard]] bool is_inbound() const { return !domain.empty(); }
  bool operator==(const Credential&) const = default;
};

struct DkimKey {
  std::string selector;
  std::string sealed_key;  // context "dkim/DOMAIN/SELECTOR"
  bool active = false;     // signs; see `relayctl dkim activate`
  std::shared_ptr<const dkim::SigningKey> key;
  bool operator==(const DkimKey&) const = default;
};

struct SupportAddress {
  std::string address;  // normalized
  std::string domain;
  std::optional<Smarthost> smarthost;  // own one; else the domain's
  Verification verification = Verification::kUnverified;
  bool operator==(const SupportAddress&) const = default;
};

struct Domain {
  std::string name;  // normalized, A-labels
  std::string tenant;
  Mode mode = Mode::kTwoWay;
  InboundMode inbound = InboundMode::kStandard;
  // Authserv-ids of the organisation's own servers (RFC 8601 2.5): behind the authenticated relay
  // their Authentication-Results count (product rule A3). Normalized names, sorted.
  std::vector<std::string> trusted_authserv_ids;
  // Addresses and domains that share tickets with this one (product rule A5): no mail is taken from
  // them or sent to them. Normalized, sorted.
  std::vector<std::string> partners;
  std::optional<Smarthost> smarthost;
  std::map<std::string, SupportAddress> addresses;  // by address
  std::vector<Credential> credentials;              // inbound, oldest first, two at most
  std::map<std::string, DkimKey> dkim_keys;         // by selector
  bool operator==(const Domain&) const = default;
};

struct Backend {
  std::string url;  // may carry user:password@ (HTTP Basic)
  TicketFormat format = TicketFormat::kJson;
  std::vector<std::string> sealed_webhook_secrets;  // newest first, two at most; "webhook/TENANT"
  bool operator==(const Backend&) const = default;
};

struct Tenant {
  std::string name;
  Backend backend;
  std::vector<Credential> credentials;
  std::vector<std::string> partners;      // of all its domains, beside their own
  std::map<std::string, Domain> domains;  // by name
  bool operator==(const Tenant&) const = default;
};

class Accounts {
 public:
  explicit Accounts(std::map<std::string, Tenant> tenants);
  Accounts(const Accounts&) = delete;  // the indexes point into it
  Accounts& operator=(const Accounts&) = delete;

  [[nodiscard]] const std::map<std::string, Tenant>& tenants() const { return tenants_; }
  // All nullptr where there is none. Names and addresses are given normalized.
  [[nodiscard]] const Tenant* tenant(std::string_view name) const;
  [[nodiscard]] const Domain* domain(std::string_view name) const;
  [[nodiscard]] const SupportAddress* address(std::string_view normalized) const;
  [[nodiscard]] const Credential* credential(std::string_view username) const;
  [[nodiscard]] const Credential* credential_by_id(std::string_view id) const;
  // The smarthost an address sends through, with the key that names it as a queue destination and
  // a sealing context: "acme.example" (the domain's) or "support@acme.example" (its own).
  struct Route {
    std::string key;
    const Smarthost* smarthost;
  };
  [[nodiscard]] std::optional<Route> route(const SupportAddress& address) const;
  [[nodiscard]] const Smarthost* smarthost_by_key(std::string_view key) const;
  // Whose login that smarthost uses; nullopt where there is none of that key.
  [[nodiscard]] std::optional<SmarthostAccount> smarthost_account(std::string_view key) const;

 private:
  const std::map<std::string, Tenant> tenants_;
  std::map<std::string, const Domain*, std::less<>> domains_;
  std::map<std::string, const SupportAddress*, std::less<>> addresses_;
  std::map<std::string, const Credential*, std::less<>> credentials_;
  std::map<std::string, const Credential*, std::less<>> credentials_by_id_;
};

using AccountsSnapshot = std::shared_ptr<const Accounts>;

}  // namespace policy
