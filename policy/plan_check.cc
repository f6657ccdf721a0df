#include "policy/plan_check.h"

#include <arpa/inet.h>

#include <algorithm>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace policy {
namespace {

constexpr std::size_t kUrlOctets = 2048;
constexpr std::size_t kUsernameOctets = 255;
constexpr std::size_t kPasswordOctets = 4096;
constexpr std::size_t kAuthservIdsMax = 20;
constexpr std::size_t kHostsMax = 8;
constexpr std::int64_t kReconnectLongestMs = base::kDay;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_plain_text(std::string_view text) {
  return base::is_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return (c >= 0 && c < 0x20) || c == 0x7f;
         });
}

bool is_ip(const std::string& text) {
  in6_addr buffer{};
  return inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

base::Status check_host(const std::string& host) {
  if (is_ip(host)) return base::Ok{};
  const auto normalized = mail::normalize_domain(host);
  if (!normalized.ok()) return base::error("host: " + normalized.message());
  return base::Ok{};
}

// What the providers let one account do; they count over sliding windows, as relayd does.
// exchange-online: Microsoft's "Exchange Online limits", SMTP AUTH client submission.
// google-relay: Google's "SMTP relay service", limits of one user.
constexpr SmarthostPreset kPresets[] = {
    {"exchange-online", 3, 30, 0, 10'000},
    {"google-relay", 5, 0, 10'000, 10'000},
};

}  // namespace

base::Status check_tenant_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= 63 && is_lower_or_digit(name.front()) &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_';
                    });
  if (good) return base::Ok{};
  return base::error("tenant " + base::printable(name) +
                     ": a tenant's name has 1 to 63 of a-z, 0-9, '.', '-' and '_', and starts with "
                     "a letter or a digit");
}

base::Status check_backend_url(std::string_view url) {
  std::string_view rest;
  if (base::istarts_with(url, "http://")) rest = url.substr(7);
  if (base::istarts_with(url, "https://")) rest = url.substr(8);
  if (rest.empty()) return base::error("starts with http:// or https:// and names a host");
  std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  authority.remove_prefix(
      authority.rfind('@') == std::string_view::npos ? 0 : authority.rfind('@') + 1);
  if (authority.empty() || authority.front() == ':') return base::error("names no host");
  if (url.size() > kUrlOctets) {
    return base::error("is longer than " + std::to_string(kUrlOctets) + " octets");
  }
  if (!is_plain_text(url) || url.find(' ') != std::string_view::npos) {
    return base::error("has blanks or control characters in it");
  }
  return base::Ok{};
}

const SmarthostPreset* smarthost_preset(std::string_view name) {
  for (const SmarthostPreset& preset : kPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

base::Status check_smarthost(const SmarthostPlan& plan, const base::Limits& limits) {
  if (plan.host.empty()) return base::error("host is missing");
  if (base::Status status = check_host(plan.host); !status.ok()) return status;
  if (plan.more_hosts.size() >= kHostsMax) {
    return base::error("hosts: at most " + std::to_string(kHostsMax));
  }
  for (const std::string& host : plan.more_hosts) {
    if (base::Status status = check_host(host); !status.ok()) return status;
  }
  if (!plan.preset.empty() && smarthost_preset(plan.preset) == nullptr) {
    return base::error("preset is exchange-online or google-relay");
  }
  if (plan.port < 1 || plan.port > 65535) return base::error("port is between 1 and 65535");
  if (plan.connections < 1 || plan.connections > limits.smarthost_connections) {
    return base::error("connections is between 1 and " +
                       std::to_string(limits.smarthost_connections) +
                       " (limits.smarthost_connections)");
  }
  if (plan.reconnect_interval_ms < 0 || plan.reconnect_interval_ms > kReconnectLongestMs) {
    return base::error("reconnect_interval is between 0s and 1d");
  }
  if (plan.username.size() > kUsernameOctets || !is_plain_text(plan.username)) {
    return base::error("username is UTF-8 without control characters, at most 255 octets");
  }
  if (!plan.password) return base::Ok{};
  if (plan.username.empty()) return base::error("a password needs a username");
  // NUL separates the parts of SASL PLAIN (RFC 4616 2).
  if (plan.password->empty() || plan.password->size() > kPasswordOctets ||
      plan.password->find('\0') != std::string::npos) {
    return base::error("the password has 1 to 4096 octets, no NUL among them");
  }
  return base::Ok{};
}

base::Result<std::vector<std::string>> check_authserv_ids(const std::vector<std::string>& ids) {
  std::vector<std::string> names;
  for (const std::string& id : ids) {
    auto name = mail::normalize_domain(id);
    if (!name.ok()) {
      return base::error("trusted_authserv_ids: " + base::printable(id) +
                         " is no host name: " + name.message());
    }
    names.push_back(name.take());
  }
  if (names.size() > kAuthservIdsMax) {
    return base::error("trusted_authserv_ids: at most " + std::to_string(kAuthservIdsMax) +
                       " names");
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

base::Result<std::vector<std::string>> check_partners(const std::vector<std::string>& partners,
                                                      const base::Limits& limits) {
  std::vector<std::string> names;
  for (const std::string& partner : partners) {
    base::Result<std::string> name = base::error("");
    if (partner.find('@') == std::string::npos) {
      name = mail::normalize_domain(partner);
    } else if (const auto parsed = mail::parse_mailbox(partner); parsed.ok()) {
      name = mail::normalize_address(*parsed);
    } else {
      name = parsed.error();
    }
    if (!name.ok()) {
      return base::error("partners: " + base::printable(partner) +
                         " is no mail address and no domain: " + name.message());
    }
    names.push_back(name.take());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > static_cast<std::size_t>(limits.partners)) {
    return base::error("partners: at most " + std::to_string(limits.partners) +
                       " (limits.partners)");
  }
  return names;
}

base::Status check_selector(std::string_view selector) {
  bool good = !selector.empty() && selector.size() <= 63;
  for (const std::string_view label : base::parts(selector, '.')) {
    good = good && !label.empty() && std::all_of(label.begin(), label.end(), [](char c) {
             return is_lower_or_digit(c) || c == '-' || c == '_';
           });
  }
  if (good) return base::Ok{};
  return base::error(
      "a selector has 1 to 63 of a-z, 0-9, '-', '_' and '.' between them, as in 's1' or "
      "'2026.mail'");
}

}  // namespace policy
