#include "relayd/main/schema.h"

#include <filesystem>

#include "core/base/units.h"
#include "core/mail/address.h"
#include "core/net/socket_address.h"

namespace configuration {
namespace {

using Wrong = std::optional<std::string>;
using Setter = std::function<Wrong(Target&, const toml::node&)>;

std::optional<std::string> text_of(const toml::node& node) {
  return node.value_exact<std::string>();
}

// ---- Setters by type: a setter takes where the value goes as a function of the target ----------

template <typename Where>
Setter text(Where where) {
  return [where](Target& target, const toml::node& node) -> Wrong {
    const auto value = text_of(node);
    if (!value || value->empty()) return "expected a text";
    where(target) = *value;
    return std::nullopt;
  };
}

std::string absolute(const Target& target, const std::string& path) {
  return (std::filesystem::path(target.directory) / path).lexically_normal().string();
}

template <typename Where>
Setter path(Where where) {
  return [where](Target& target, const toml::node& node) -> Wrong {
    const auto value = text_of(node);
    if (!value || value->empty()) return "expected a path";
    where(target) = absolute(target, *value);
    return std::nullopt;
  };
}

Wrong check_file(const std::string& file) {
  std::error_code error;
  if (std::filesystem::is_regular_file(file, error)) return std::nullopt;
  return "expected a file that exists; there is none at " + file;
}

template <typename Where>
Setter file(Where where) {
  return [where](Target& target, const toml::node& node) -> Wrong {
    const auto value = text_of(node);
    if (!value || value->empty()) return "expected the path of a file";
    where(target) = absolute(target, *value);
    return check_file(where(target));
  };
}

template <typename Where>
Setter boolean(Where where) {
  return [where](Target& target, const toml::node& node) -> Wrong {
    const auto value = node.value_exact<bool>();
    if (!value) return "expected true or false";
    where(target) = *value;
    return std::nullopt;
  };
}

std::optional<std::int64_t> number_of(const toml::node& node, base::Unit unit) {
  if (const auto whole = node.value_exact<std::int64_t>()) {
    // A duration without a unit would be a guess, all but none.
    const bool is_guess = unit == base::Unit::kMilliseconds && *whole != 0;
    return is_guess || *whole < 0 ? std::nullopt : whole;
  }
  const auto value = text_of(node);
  if (!value) return std::nullopt;
  switch (unit) {
    case base::Unit::kCount:
      return base::parse_count(*value);
    case base::Unit::kOctets:
      return base::parse_size(*value);
    case base::Unit::kMilliseconds:
      return base::parse_duration_ms(*value);
  }
  return std::nullopt;
}

std::string expectation(base::Unit unit) {
  switch (unit) {
    case base::Unit::kCount:
      return R"(expected a count such as 100 or "20k")";
    case base::Unit::kOctets:
      return R"(expected a size such as "50MiB" or "512KiB")";
    case base::Unit::kMilliseconds:
      return R"(expected a duration such as "30s", "5m" or "2h")";
  }
  return {};
}

template <typename Where>
Setter number(base::Unit unit, std::int64_t least, Where where) {
  return [unit, least, where](Target& target, const toml::node& node) -> Wrong {
    const auto value = number_of(node, unit);
    if (!value) return expectation(unit);
    if (*value < least) return expectation(unit) + ", at least " + std::to_string(least);
    where(target) = *value;
    return std::nullopt;
  };
}

template <typename Value, typename Where>
Setter choice(std::vector<std::pair<std::string, Value>> choices, Where where) {
  return [choices, where](Target& target, const toml::node& node) -> Wrong {
    const auto value = text_of(node);
    std::string names;
    for (const auto& [name, meaning] : choices) {
      if (value == name) {
        where(target) = meaning;
        return std::nullopt;
      }
      names += (names.empty() ? "\"" : ", \"") + name + "\"";
    }
    return "expected one of " + names;
  };
}

// A list of texts, each of which `check` may change or refuse.
template <typename Where>
Setter texts(const std::string& what, Where where,
             const std::function<Wrong(const Target&, std::string&)>& check) {
  return [what, where, check](Target& target, const toml::node& node) -> Wrong {
    const toml::array* array = node.as_array();
    if (array == nullptr) return "expected a list of " + what + " in [ ]";
    std::vector<std::string> values;
    for (const toml::node& element : *array) {
      auto value = text_of(element);
      if (!value) return "expected a list of " + what + " in [ ]";
      if (auto wrong = check(target, *value)) return wrong;
      values.push_back(std::move(*value));
    }
    where(target) = std::move(values);
    return std::nullopt;
  };
}

Wrong set_hostname(Target& target, const toml::node& node) {
  const auto value = text_of(node);
  const auto name = value ? mail::normalize_domain(*value) : base::error("");
  if (!name || name->find('.') == std::string::npos) {
    return "expected a full host name such as \"relay.example.net\"";
  }
  target.configuration.hostname = *name;
  return std::nullopt;
}

Wrong set_listener_address(Target& target, const toml::node& node) {
  const auto value = text_of(node);
  if (!value || !net::SocketAddress::parse(*value)) {
    return R"(expected an IP address and a port such as "0.0.0.0:25" or "[::]:587")";
  }
  target.listener->address = *value;
  return std::nullopt;
}

Wrong set_retry(Target& target, const toml::node& node) {
  const std::string expected = R"(expected a list of durations such as ["1m", "5m", "1h"])";
  const toml::array* array = node.as_array();
  if (array == nullptr || array->empty()) return expected;
  std::vector<std::int64_t> values;
  for (const toml::node& element : *array) {
    const auto value = number_of(element, base::Unit::kMilliseconds);
    if (!value || *value < 100) return expected + ", each at least 100ms";
    values.push_back(*value);
  }
  target.configuration.queue.retry_ms = std::move(values);
  return std::nullopt;
}

Wrong check_dns_server(const Target&, std::string& server) {
  if (net::SocketAddress::parse(server) || net::SocketAddress::from_ip(server, 53)) {
    return std::nullopt;
  }
  return R"(expected IP addresses, with a port where it is not 53: ["127.0.0.1:5353"])";
}

Wrong check_domain(const Target&, std::string& domain) {
  auto name = mail::normalize_domain(domain);
  if (!name) return R"(expected domain names such as "forwarder.example")";
  domain = name.take();
  return std::nullopt;
}

Wrong check_trust_file(const Target& target, std::string& file_path) {
  file_path = absolute(target, file_path);
  return check_file(file_path);
}

Wrong check_field_name(const Target&, std::string& name) {
  const bool good =
      !name.empty() && name.size() <= 64 && name.find_first_of(": \t\r\n") == std::string::npos;
  return good ? Wrong() : "expected header field names such as \"X-Desk-Email-Id\"";
}

std::string limit_default(const base::LimitRow& row) {
  switch (row.unit) {
    case base::Unit::kOctets:
      return base::format_size(row.standard);
    case base::Unit::kMilliseconds:
      return base::format_duration_ms(row.standard);
    case base::Unit::kCount:
      break;
  }
  return std::to_string(row.standard);
}

std::string limit_type(base::Unit unit) {
  switch (unit) {
    case base::Unit::kOctets:
      return "size";
    case base::Unit::kMilliseconds:
      return "duration";
    case base::Unit::kCount:
      break;
  }
  return "count";
}

std::vector<Row> make_schema() {
  const auto config = [](auto member) {
    return [member](Target & t) -> auto& { return member(t.configuration); };
  };
  std::vector<Row> rows = {
      {"hostname", "name", "required", "banner, EHLO name and authserv-id; what the MX record says",
       set_hostname},
      {"state_dir", "path", "required", "queue, accounts and secrets live here; a local disk",
       path(config([](Configuration & c) -> auto& { return c.state_dir; }))},
      {"loops", "count", "0", "event loops for SMTP; 0 means one a core",
       number(base::Unit::kCount, 0, config([](Configuration & c) -> auto& { return c.loops; }))},
      {"listener.address", "address", "required", "IP:PORT to listen on", set_listener_address},
      {"listener.role", "mx | submission", "required",
       "mx: AUTH possible, others judged by the domain's mode; submission: AUTH required",
       choice<ingress::Role>(
           {{"mx", ingress::Role::kMx}, {"submission", ingress::Role::kSubmission}},
           [](Target & t) -> auto& { return t.listener->role; })},
      {"listener.tls", "starttls | implicit | none", "starttls",
       "none takes AUTH only on a loopback address",
       choice<ingress::ListenerTls>(
           {{"starttls", ingress::ListenerTls::kStartTls},
            {"implicit", ingress::ListenerTls::kImplicit},
            {"none", ingress::ListenerTls::kNone}},
           [](Target & t) -> auto& { return t.listener->tls; })},
      {"tls.certificate", "file", "", "PEM, the server's first, then intermediates",
       file(config([](Configuration & c) -> auto& { return c.tls.certificate; }))},
      {"tls.key", "file", "", "PEM, the certificate's private key",
       file(config([](Configuration & c) -> auto& { return c.tls.key; }))},
      {"tls.trust", "list of files", "[]",
       "extra roots for smarthosts and back ends; the system's are always in",
       texts("files", config([](Configuration & c) -> auto& { return c.tls.trust; }),
             check_trust_file)},
      {"dns.servers", "list of addresses", "[]", "the system's where empty",
       texts("IP addresses", config([](Configuration & c) -> auto& { return c.dns.servers; }),
             check_dns_server)},
      {"admin.socket", "path", "admin.sock", "Unix socket of the admin API, mode 0600",
       path(config([](Configuration & c) -> auto& { return c.admin.socket; }))},
      {"admin.listen", "address", "", "the admin API over TCP; needs admin.token_file",
       text(config([](Configuration & c) -> auto& { return c.admin.listen; }))},
      {"admin.token_file", "file", "", "holds the bearer token of the admin API over TCP",
       file(config([](Configuration & c) -> auto& { return c.admin.token_file; }))},
      {"queue.retry", "list of durations", R"(["1m", "5m", "15m", "30m", "1h", "2h", "4h"])",
       "waits between attempts; the last one repeats", set_retry},
      {"queue.expire", "duration", "5d",
       "RFC 5321 4.5.4.1 asks for 4 to 5 days; then the sender is told",
       number(base::Unit::kMilliseconds, 1000,
              config([](Configuration & c) -> auto& { return c.queue.expire_ms; }))},
      {"queue.trail", "duration", "14d",
       "how long `relayctl trail` knows what became of a message that is gone: people ask after "
       "days, and a week off is between; 0 keeps nothing",
       number(base::Unit::kMilliseconds, 0,
              config([](Configuration & c) -> auto& { return c.queue.trail_ms; }))},
      {"verification.required", "true | false", "true",
       "false: addresses send through their smarthost at once",
       boolean(config([](Configuration & c) -> auto& { return c.verification.required; }))},
      {"outbound.marker_headers", "list of names", "[]",
       "the back end's own fields that must survive to the smarthost byte for byte",
       texts("field names",
             config([](Configuration & c) -> auto& { return c.outbound.marker_headers; }),
             check_field_name)},
      {"spf.engine", "native | libspf2", "native",
       "native follows RFC 7208 to the letter; libspf2 is a second opinion behind our guards",
       choice<spf::Engine>(
           {{"native", spf::Engine::kNative}, {"libspf2", spf::Engine::kLibspf2}},
           config([](Configuration & c) -> auto& { return c.judgement.spf_engine; }))},
      {"dmarc.profile", "rfc9989 | rfc7489", "rfc9989",
       "rfc7489 finds organisations by the public suffix list, for those who must match older "
       "receivers",
       choice<policy::DmarcProfile>(
           {{"rfc9989", policy::DmarcProfile::kRfc9989},
            {"rfc7489", policy::DmarcProfile::kRfc7489}},
           config([](Configuration & c) -> auto& { return c.judgement.dmarc_profile; }))},
      {"arc.trusted_sealers", "list of domains", "[]",
       "forwarders whose ARC sets are believed: where forwarding broke DMARC, what they recorded "
       "stands in",
       texts("domains",
             config([](Configuration & c) -> auto& { return c.judgement.trusted_sealers; }),
             check_domain)},
      {"log.format", "json | text", "json", "json for machines, text for people",
       choice<base::LogFormat>({{"json", base::LogFormat::kJson}, {"text", base::LogFormat::kText}},
                               config([](Configuration & c) -> auto& { return c.log.format; }))},
      {"log.level", "debug | info | warning | error", "info", "the least that is written",
       choice<base::LogLevel>({{"debug", base::LogLevel::kDebug},
                               {"info", base::LogLevel::kInfo},
                               {"warning", base::LogLevel::kWarning},
                               {"error", base::LogLevel::kError}},
                              config([](Configuration & c) -> auto& { return c.log.level; }))},
  };
  for (const base::LimitRow& limit : base::limit_table()) {
    rows.push_back({"limits." + std::string(limit.name), limit_type(limit.unit),
                    limit_default(limit), std::string(limit.why),
                    number(
                        limit.unit, 1, [field = limit.field](Target & t) -> auto& {
                          return t.configuration.limits.*field;
                        })});
  }
  return rows;
}

}  // namespace

const std::vector<Row>& schema() {
  static const std::vector<Row> rows = make_schema();
  return rows;
}

}  // namespace configuration
