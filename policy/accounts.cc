#include "policy/accounts.h"

#include <array>
#include <utility>

namespace policy {
namespace {

template <typename E, std::size_t N>
using Words = std::array<std::pair<E, std::string_view>, N>;

constexpr Words<Mode, 2> kModes{
    {{Mode::kTwoWay, "two-way"}, {Mode::kOutboundOnly, "outbound-only"}}};
constexpr Words<InboundMode, 3> kInboundModes{{{InboundMode::kStandard, "standard"},
                                               {InboundMode::kEnhanced, "enhanced"},
                                               {InboundMode::kStrict, "strict"}}};
constexpr Words<SmarthostTls, 3> kSmarthostTls{{{SmarthostTls::kStartTls, "starttls"},
                                                {SmarthostTls::kImplicit, "implicit"},
                                                {SmarthostTls::kNone, "none"}}};
constexpr Words<TicketFormat, 3> kTicketFormats{{{TicketFormat::kJson, "json"},
                                                 {TicketFormat::kRfc822, "rfc822"},
                                                 {TicketFormat::kMailgun, "mailgun"}}};
constexpr Words<Verification, 4> kVerifications{{{Verification::kUnverified, "unverified"},
                                                 {Verification::kPending, "pending"},
                                                 {Verification::kVerified, "verified"},
                                                 {Verification::kFailed, "failed"}}};

template <typename E, std::size_t N>
std::string_view word_of(const Words<E, N>& words, E value) {
  for (const auto& [candidate, word] : words) {
    if (candidate == value) return word;
  }
  return "";
}

template <typename E, std::size_t N>
std::optional<E> value_of(const Words<E, N>& words, std::string_view text) {
  for (const auto& [value, word] : words) {
    if (word == text) return value;
  }
  return std::nullopt;
}

template <typename Index>
auto look_up(const Index& index, std::string_view key) -> typename Index::mapped_type {
  const auto at = index.find(key);
  return at == index.end() ? nullptr : at->second;
}

}  // namespace

std::string_view name(Mode mode) { return word_of(kModes, mode); }
std::string_view name(InboundMode mode) { return word_of(kInboundModes, mode); }
std::string_view name(SmarthostTls tls) { return word_of(kSmarthostTls, tls); }
std::string_view name(TicketFormat format) { return word_of(kTicketFormats, format); }
std::string_view name(Verification state) { return word_of(kVerifications, state); }

std::optional<Mode> parse_mode(std::string_view text) { return value_of(kModes, text); }
std::optional<InboundMode> parse_inbound_mode(std::string_view text) {
  return value_of(kInboundModes, text);
}
std::optional<SmarthostTls> parse_smarthost_tls(std::string_view text) {
  return value_of(kSmarthostTls, text);
}
std::optional<TicketFormat> parse_ticket_format(std::string_view text) {
  return value_of(kTicketFormats, text);
}
std::optional<Verification> parse_verification(std::string_view text) {
  return value_of(kVerifications, text);
}

Accounts::Accounts(std::map<std::string, Tenant> tenants) : tenants_(std::move(tenants)) {
  const auto index_credential = [this](const Credential& credential) {
    credentials_.emplace(credential.username, &credential);
    credentials_by_id_.emplace(credential.id, &credential);
  };
  for (const auto& [tenant_name, tenant] : tenants_) {
    for (const Credential& credential : tenant.credentials) index_credential(credential);
    for (const auto& [domain_name, domain] : tenant.domains) {
      domains_.emplace(domain_name, &domain);
      for (const Credential& credential : domain.credentials) index_credential(credential);
      for (const auto& [text, address] : domain.addresses) addresses_.emplace(text, &address);
    }
  }
}

const Tenant* Accounts::tenant(std::string_view name) const {
  const auto at = tenants_.find(std::string(name));
  return at == tenants_.end() ? nullptr : &at->second;
}

const Domain* Accounts::domain(std::string_view name) const { return look_up(domains_, name); }

const SupportAddress* Accounts::address(std::string_view normalized) const {
  return look_up(addresses_, normalized);
}

const Credential* Accounts::credential(std::string_view username) const {
  return look_up(credentials_, username);
}

const Credential* Accounts::credential_by_id(std::string_view id) const {
  return look_up(credentials_by_id_, id);
}

std::optional<Accounts::Route> Accounts::route(const SupportAddress& address) const {
  if (address.smarthost) return Route{address.address, &*address.smarthost};
  const Domain* owner = domain(address.domain);
  if (owner == nullptr || !owner->smarthost) return std::nullopt;
  return Route{owner->name, &*owner->smarthost};
}

const Smarthost* Accounts::smarthost_by_key(std::string_view key) const {
  if (key.find('@') != std::string_view::npos) {
    const SupportAddress* owner = address(key);
    return owner != nullptr && owner->smarthost ? &*owner->smarthost : nullptr;
  }
  const Domain* owner = domain(key);
  return owner != nullptr && owner->smarthost ? &*owner->smarthost : nullptr;
}

std::optional<SmarthostAccount> Accounts::smarthost_account(std::string_view key) const {
  const Smarthost* smarthost = smarthost_by_key(key);
  if (smarthost == nullptr) return std::nullopt;
  const std::size_t at = key.rfind('@');
  const Domain* owner = domain(at == std::string_view::npos ? key : key.substr(at + 1));
  return SmarthostAccount{owner->tenant, smarthost->host, smarthost->username};
}

}  // namespace policy
