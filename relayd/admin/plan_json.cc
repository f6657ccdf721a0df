#include "relayd/admin/plan_json.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/units.h"

namespace admin {
namespace {

using nlohmann::json;

// One table of the document and where it stands. Mistakes are thrown and caught in read_plan().
class Table {
 public:
  Table(const json& value, std::string path, std::initializer_list<std::string_view> keys)
      : value_(value), path_(std::move(path)) {
    if (!value.is_object()) throw PlanMistake{path_, "a table is expected"};
    for (const auto& [key, unused] : value.items()) {
      bool known = false;
      std::string list;
      for (const std::string_view candidate : keys) {
        known = known || key == candidate;
        list += (list.empty() ? "" : ", ") + std::string(candidate);
      }
      if (!known) throw PlanMistake{at(key), "unknown key; known here: " + list};
    }
  }

  [[nodiscard]] std::string at(const std::string& key) const {
    return path_.empty() ? key : path_ + "." + key;
  }

  [[nodiscard]] std::optional<std::string> text(const std::string& key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) return std::nullopt;
    if (!found->is_string()) throw PlanMistake{at(key), "a string is expected"};
    return found->get<std::string>();
  }
  [[nodiscard]] std::string needed_text(const std::string& key) const {
    auto found = text(key);
    if (!found || found->empty()) throw PlanMistake{at(key), "is missing"};
    return std::move(*found);
  }

  [[nodiscard]] std::optional<std::vector<std::string>> texts(const std::string& key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) return std::nullopt;
    std::vector<std::string> values;
    const bool good = found->is_array() && std::all_of(found->begin(), found->end(),
                                                       [](auto& one) { return one.is_string(); });
    if (!good) throw PlanMistake{at(key), "a list of strings is expected"};
    for (const json& one : *found) values.push_back(one.get<std::string>());
    return values;
  }

  [[nodiscard]] std::optional<unsigned> number(const std::string& key, unsigned most) const {
    const auto found = value_.find(key);
    if (found == value_.end()) return std::nullopt;
    if (!found->is_number_integer() || found->get<std::int64_t>() < 0 ||
        found->get<std::int64_t>() > most) {
      throw PlanMistake{at(key), "a whole number up to " + std::to_string(most) + " is expected"};
    }
    return found->get<unsigned>();
  }

  template <typename E>
  [[nodiscard]] std::optional<E> word(const std::string& key,
                                      std::optional<E> (*parse)(std::string_view),
                                      std::string_view expected) const {
    const auto found = text(key);
    if (!found) return std::nullopt;
    const auto value = parse(*found);
    if (!value) throw PlanMistake{at(key), "expected: " + std::string(expected)};
    return value;
  }

  template <typename Read>
  void each(const std::string& key, Read read) const {
    const auto found = value_.find(key);
    if (found == value_.end()) return;
    if (!found->is_array())
      throw PlanMistake{at(key), "[[" + key + "]] is expected, a list of tables"};
    for (std::size_t i = 0; i < found->size(); ++i) {
      read((*found)[i], at(key) + "[" + std::to_string(i) + "]");
    }
  }

  [[nodiscard]] const json* child(const std::string& key) const {
    const auto found = value_.find(key);
    return found == value_.end() ? nullptr : &*found;
  }

 private:
  const json& value_;
  std::string path_;
};

// `host`, then what `hosts` names beside it; one of the two is needed.
void read_hosts(const Table& table, policy::SmarthostPlan& plan) {
  auto hosts = table.texts("hosts").value_or(std::vector<std::string>());
  plan.host = hosts.empty() ? table.needed_text("host") : table.text("host").value_or(hosts[0]);
  std::erase(hosts, plan.host);
  plan.more_hosts = std::move(hosts);
}

// A preset gives what is not said beside it.
void read_rates(const Table& table, policy::SmarthostPlan& plan) {
  constexpr unsigned kMost = 100'000'000;
  plan.preset = table.text("preset").value_or("");
  if (!plan.preset.empty()) {
    const policy::SmarthostPreset* preset = policy::smarthost_preset(plan.preset);
    if (preset == nullptr) {
      throw PlanMistake{table.at("preset"), "expected: exchange-online or google-relay"};
    }
    plan.connections = preset->connections;
    plan.messages_per_minute = preset->messages_per_minute;
    plan.messages_per_day = preset->messages_per_day;
    plan.recipients_per_day = preset->recipients_per_day;
  }
  const auto read = [&](const std::string& key, unsigned& value) {
    if (const auto number = table.number(key, kMost)) value = *number;
  };
  read("messages_per_minute", plan.messages_per_minute);
  read("messages_per_day", plan.messages_per_day);
  read("recipients_per_day", plan.recipients_per_day);
}

policy::SmarthostPlan read_smarthost(const json& value, const std::string& path) {
  const Table table(
      value, path,
      {"host", "hosts", "port", "tls", "username", "password", "reconnect_interval", "connections",
       "preset", "messages_per_minute", "messages_per_day", "recipients_per_day"});
  policy::SmarthostPlan plan;
  read_hosts(table, plan);
  read_rates(table, plan);
  if (const auto port = table.number("port", 65535)) plan.port = *port;
  if (const auto tls =
          table.word("tls", policy::parse_smarthost_tls, "starttls, implicit or none")) {
    plan.tls = *tls;
  }
  plan.username = table.text("username").value_or("");
  plan.password = table.text("password");
  if (const auto interval = table.text("reconnect_interval")) {
    const auto interval_ms = base::parse_duration_ms(*interval);
    if (!interval_ms) {
      throw PlanMistake{table.at("reconnect_interval"), "a duration is expected, as in 30s or 2m"};
    }
    plan.reconnect_interval_ms = *interval_ms;
  }
  if (const auto connections = table.number("connections", 1'000'000)) {
    plan.connections = *connections;
  }
  return plan;
}

policy::AddressPlan read_address(const json& value, const std::string& path) {
  const Table table(value, path, {"address", "smarthost"});
  policy::AddressPlan plan;
  plan.address = table.needed_text("address");
  if (const json* smarthost = table.child("smarthost")) {
    plan.smarthost = read_smarthost(*smarthost, table.at("smarthost"));
  }
  return plan;
}

policy::DomainPlan read_domain(const json& value, const std::string& path) {
  const Table table(
      value, path,
      {"name", "mode", "inbound", "trusted_authserv_ids", "partners", "smarthost", "address"});
  policy::DomainPlan plan;
  plan.name = table.needed_text("name");
  plan.mode = table.word("mode", policy::parse_mode, "two-way or outbound-only");
  plan.inbound = table.word("inbound", policy::parse_inbound_mode, "standard, enhanced or strict");
  plan.trusted_authserv_ids = table.texts("trusted_authserv_ids");
  plan.partners = table.texts("partners");
  if (const json* smarthost = table.child("smarthost")) {
    plan.smarthost = read_smarthost(*smarthost, table.at("smarthost"));
  }
  table.each("address", [&](const json& row, const std::string& where) {
    plan.addresses.push_back(read_address(row, where));
  });
  return plan;
}

policy::TenantPlan read_tenant(const json& value, const std::string& path) {
  const Table table(value, path, {"name", "backend", "partners", "domain"});
  policy::TenantPlan plan;
  plan.name = table.needed_text("name");
  if (const json* child = table.child("backend")) {
    const Table backend(*child, table.at("backend"), {"url", "format"});
    plan.backend_url = backend.text("url").value_or("");
    plan.format = backend.word("format", policy::parse_ticket_format, "json, rfc822 or mailgun");
  }
  plan.partners = table.texts("partners");
  table.each("domain", [&](const json& row, const std::string& where) {
    plan.domains.push_back(read_domain(row, where));
  });
  return plan;
}

}  // namespace

std::variant<policy::Plan, PlanMistake> read_plan(const json& document) {
  try {
    const Table table(document, "", {"tenant"});
    policy::Plan plan;
    table.each("tenant", [&](const json& row, const std::string& where) {
      plan.tenants.push_back(read_tenant(row, where));
    });
    return plan;
  } catch (const PlanMistake& mistake) {
    return mistake;
  }
}

}  // namespace admin
