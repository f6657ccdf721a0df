#include "relayd/main/relayctl_verbs.h"

#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "relayd/main/relayctl_apply.h"
#include "relayd/main/relayctl_print.h"
#include "relayd/main/relayctl_queue.h"
#include "relayd/main/relayctl_trail.h"

namespace relayctl {
namespace {

using nlohmann::json;
using Print = std::function<void(const json&)>;

void show(const Context& context, const json& answer, const Print& for_people) {
  if (context.json) {
    std::cout << answer.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    for_people(answer);
  }
}

void say_done(const json&) { std::cout << "done\n"; }

// The values of one subcommand's options. Shared by the parser and the action.
struct Values {
  std::string name, second, tenant, domain, url, format, mode, inbound, host, tls, username,
      password_file, reconnect_interval, preset, selector, algorithm = "rsa-sha256", destination,
                                                           state, reason;
  std::vector<std::string> ids, authserv_ids;
  unsigned port = 587, limit = 0;
  std::optional<unsigned> connections;
  bool force = false, by_hand = false;
};

class Verbs {
 public:
  Verbs(CLI::App& app, Action& chosen) : app_(app), chosen_(chosen) {}

  void add_all() {
    add_apply();
    add_tenant();
    add_domain();
    add_address();
    add_smarthost();
    add_backend();
    add_partner();
    add_credential();
    add_dkim();
    add_queue_verbs(app_, chosen_);
    add_trail_verbs(app_, chosen_);
    verb(app_, "status", "how relayd is doing", [](Context& c, Values&) {
      show(c, c.client.get({"v1", "status"}), print_record);
    });
  }

 private:
  // A subcommand; `options` get their values before `run` is called.
  CLI::App* verb(CLI::App& parent, const std::string& name, const std::string& help,
                 std::function<void(Context&, Values&)> run,
                 const std::function<void(CLI::App&, Values&)>& options = {}) {
    CLI::App* command = parent.add_subcommand(name, help);
    auto values = std::make_shared<Values>();
    if (options) options(*command, *values);
    command->callback([&chosen = chosen_, values, run = std::move(run)] {
      chosen = [values, run](Context& context) { run(context, *values); };
    });
    return command;
  }
  CLI::App& group(const std::string& name, const std::string& help) {
    CLI::App* command = app_.add_subcommand(name, help);
    command->require_subcommand(1);
    return *command;
  }

  // list, show and remove are alike for everything that has a name.
  void add_standard(CLI::App& parent, const std::string& collection, const std::string& argument,
                    const std::vector<std::string>& columns, bool removable = true) {
    verb(
        parent, "list", "all of them",
        [collection, columns](Context& c, Values& v) {
          std::vector<std::pair<std::string, std::string>> query;
          if (!v.tenant.empty()) query.emplace_back("tenant", v.tenant);
          if (!v.domain.empty()) query.emplace_back("domain", v.domain);
          show(c, c.client.get({"v1", collection}, query),
               [&](const json& answer) { print_table(answer.at(collection), columns); });
        },
        [](CLI::App& command, Values& v) {
          command.add_option("--tenant", v.tenant, "only this tenant's");
          command.add_option("--domain", v.domain, "only this domain's");
        });
    verb(
        parent, "show", "one of them",
        [collection](Context& c, Values& v) {
          show(c, c.client.get({"v1", collection, v.name}), print_record);
        },
        [argument](CLI::App& command, Values& v) {
          command.add_option(argument, v.name)->required();
        });
    if (!removable) return;
    verb(
        parent, "remove", "remove it and all that belongs to it",
        [collection](Context& c, Values& v) {
          show(c, c.client.remove({"v1", collection, v.name}), print_removed);
        },
        [argument](CLI::App& command, Values& v) {
          command.add_option(argument, v.name)->required();
        });
  }

  static void apply(Context& c, json tenant) {
    show(c, c.client.post({"v1", "apply"}, {{"tenant", json::array({std::move(tenant)})}}),
         print_applied);
  }
  static json with_domain(const json& tenant_name, json domain) {
    return {{"name", tenant_name}, {"domain", json::array({std::move(domain)})}};
  }
  static std::string domain_of(const std::string& address) {
    const std::size_t at = address.rfind('@');
    if (at == std::string::npos) throw Failure(address + " is no mail address");
    return address.substr(at + 1);
  }
  static json tenant_of_domain(Context& c, const std::string& domain) {
    return c.client.get({"v1", "domains", domain}).at("tenant");
  }

  void add_apply() {
    verb(
        app_, "apply", "make the accounts as a file says; the same file again changes nothing",
        [](Context& c, Values& v) {
          show(c, c.client.post({"v1", "apply"}, read_apply_file(v.name)), print_applied);
        },
        [](CLI::App& command, Values& v) { command.add_option("FILE", v.name)->required(); });
  }

  void add_tenant() {
    CLI::App& tenant = group("tenant", "tenants: back ends with their domains");
    add_standard(tenant, "tenants", "NAME", {"name", "domains", "credentials"});
    verb(
        tenant, "add", "a new tenant", [](Context& c, Values& v) { apply(c, backend_plan(v)); },
        [](CLI::App& command, Values& v) {
          command.add_option("NAME", v.name)->required();
          command.add_option("--url", v.url, "where tickets are posted")->required();
          command.add_option("--format", v.format, "json, rfc822 or mailgun");
        });
  }
  static json backend_plan(const Values& v) {
    json backend = json::object();
    if (!v.url.empty()) backend["url"] = v.url;
    if (!v.format.empty()) backend["format"] = v.format;
    return {{"name", v.name}, {"backend", std::move(backend)}};
  }

  void add_domain() {
    CLI::App& domain = group("domain", "domains of a tenant");
    add_standard(domain, "domains", "NAME",
                 {"name", "tenant", "mode", "inbound", "addresses", "smarthost"});
    verb(
        domain, "add", "a new domain; prints its credential",
        [](Context& c, Values& v) {
          c.client.get({"v1", "tenants", v.tenant});  // a clear word where there is none
          json plan = {{"name", v.name}};
          if (!v.mode.empty()) plan["mode"] = v.mode;
          if (!v.inbound.empty()) plan["inbound"] = v.inbound;
          if (!v.authserv_ids.empty()) plan["trusted_authserv_ids"] = v.authserv_ids;
          apply(c, with_domain(v.tenant, std::move(plan)));
        },
        [](CLI::App& command, Values& v) {
          command.add_option("NAME", v.name)->required();
          command.add_option("--tenant", v.tenant)->required();
          command.add_option("--mode", v.mode, "two-way or outbound-only");
          command.add_option("--inbound", v.inbound, "standard, enhanced or strict");
          command.add_option("--trusted-authserv-id", v.authserv_ids,
                             "server of the organisation whose Authentication-Results count; may "
                             "be given several times");
        });
  }

  void add_address() {
    CLI::App& address = group("address", "support addresses");
    add_standard(address, "addresses", "ADDRESS",
                 {"address", "tenant", "verification", "smarthost"});
    verb(
        address, "add", "connect an address of a domain that is there",
        [](Context& c, Values& v) {
          const std::string domain = domain_of(v.name);
          apply(c,
                with_domain(tenant_of_domain(c, domain),
                            {{"name", domain}, {"address", json::array({{{"address", v.name}}})}}));
        },
        [](CLI::App& command, Values& v) { command.add_option("ADDRESS", v.name)->required(); });
    verb(
        address, "verify", "take the address as verified on the operator's word",
        [](Context& c, Values& v) {
          show(c,
               c.client.post({"v1", "addresses", v.name, "verification"}, {{"state", "verified"}}),
               print_record);
        },
        [](CLI::App& command, Values& v) {
          command.add_option("ADDRESS", v.name)->required();
          command.add_flag("--by-hand", v.by_hand, "without a message that makes the round trip")
              ->required();
        });
  }

  void add_smarthost() {
    CLI::App& smarthost = group("smarthost", "servers that addresses send through");
    add_standard(smarthost, "smarthosts", "DOMAIN|ADDRESS",
                 {"key", "host", "port", "tls", "username", "reconnect_interval", "connections",
                  "locked", "next_probe", "last_reply"});
    verb(
        smarthost, "add", "the smarthost of a domain, or of one address",
        [](Context& c, Values& v) { apply(c, smarthost_plan(c, v)); },
        [](CLI::App& command, Values& v) {
          command.add_option("DOMAIN|ADDRESS", v.name)->required();
          command.add_option("--host", v.host)->required();
          command.add_option("--port", v.port, "587 by default");
          command.add_option("--tls", v.tls, "starttls, implicit or none");
          command.add_option("--username", v.username);
          command.add_option("--password-file", v.password_file);
          command.add_option("--reconnect-interval", v.reconnect_interval, "as in 30s");
          command.add_option("--preset", v.preset, "exchange-online or google-relay");
          command.add_option("--connections", v.connections, "at once");
        });
    verb(
        smarthost, "unlock", "try a locked account again now",
        [](Context& c, Values& v) {
          show(c, c.client.post({"v1", "smarthosts", v.name, "unlock"}, json::object()),
               print_record);
        },
        [](CLI::App& command, Values& v) {
          command.add_option("DOMAIN|ADDRESS", v.name)->required();
        });
  }
  static json smarthost_plan(Context& c, const Values& v) {
    json plan = {{"host", v.host}, {"port", v.port}};
    if (v.connections) plan["connections"] = *v.connections;
    if (!v.preset.empty()) plan["preset"] = v.preset;
    if (!v.tls.empty()) plan["tls"] = v.tls;
    if (!v.username.empty()) plan["username"] = v.username;
    if (!v.password_file.empty()) plan["password"] = read_secret(v.password_file);
    if (!v.reconnect_interval.empty()) plan["reconnect_interval"] = v.reconnect_interval;
    const bool of_address = v.name.find('@') != std::string::npos;
    const std::string domain_name = of_address ? domain_of(v.name) : v.name;
    json domain = {{"name", domain_name}};
    if (of_address) {
      domain["address"] = json::array({{{"address", v.name}, {"smarthost", std::move(plan)}}});
    } else {
      domain["smarthost"] = std::move(plan);
    }
    return with_domain(tenant_of_domain(c, domain_name), std::move(domain));
  }

  void add_backend() {
    CLI::App& backend = group("backend", "where tickets go");
    add_standard(
        backend, "backends", "TENANT",
        {"tenant", "url", "format", "webhook_secrets", "paused", "next_probe", "last_reply"},
        false);
    verb(
        backend, "add", "another URL or format for a tenant that is there",
        [](Context& c, Values& v) {
          c.client.get({"v1", "tenants", v.name});
          apply(c, backend_plan(v));
        },
        [](CLI::App& command, Values& v) {
          command.add_option("TENANT", v.name)->required();
          command.add_option("--url", v.url)->required();
          command.add_option("--format", v.format, "json, rfc822 or mailgun");
        });
    verb(
        backend, "rotate-secret", "a new webhook secret beside the old one",
        [](Context& c, Values& v) {
          show(c, c.client.post({"v1", "backends", v.name, "rotate-secret"}),
               [&](const json& answer) {
                 print_applied(
                     {{"tenants",
                       {{{"name", v.name}, {"webhook_secret", answer.at("webhook_secret")}}}},
                      {"domains", json::array()}});
               });
        },
        [](CLI::App& command, Values& v) { command.add_option("TENANT", v.name)->required(); });
    const auto order = [&](const std::string& name, const std::string& help) {
      verb(
          backend, name, help,
          [name](Context& c, Values& v) {
            show(c, c.client.post({"v1", "backends", v.name, name}), print_record);
          },
          [](CLI::App& command, Values& v) { command.add_option("TENANT", v.name)->required(); });
    };
    order("end-old-secret", "only the newest webhook secret signs from now on");
    order("resume", "ask a paused back end again now");
  }

  void add_partner() {
    CLI::App& partner =
        group("partner", "addresses and domains that share tickets: no mail to or from");
    const auto owner = [](CLI::App& command, Values& v) {
      command.add_option("TENANT|DOMAIN", v.name)->required();
    };
    const auto both = [owner](CLI::App& command, Values& v) {
      owner(command, v);
      command.add_option("ADDRESS|DOMAIN", v.second)->required();
    };
    verb(
        partner, "list", "those of a domain, or of a tenant for all its domains",
        [](Context& c, Values& v) {
          show(c, c.client.get({"v1", "partners", v.name}), print_record);
        },
        owner);
    verb(
        partner, "add", "from now on its mail is refused and mail to it suppressed",
        [](Context& c, Values& v) {
          show(c, c.client.post({"v1", "partners", v.name, v.second}), print_record);
        },
        both);
    verb(
        partner, "remove", "mail flows again",
        [](Context& c, Values& v) {
          show(c, c.client.remove({"v1", "partners", v.name, v.second}), print_record);
        },
        both);
  }

  void add_credential() {
    CLI::App& credential = group("credential", "who may log in");
    verb(
        credential, "list", "never with secrets",
        [](Context& c, Values& v) {
          std::vector<std::string> path = {"v1", "credentials"};
          if (!v.name.empty()) path.push_back(v.name);
          show(c, c.client.get(path), [](const json& answer) {
            print_table(answer.at("credentials"),
                        {"id", "username", "direction", "tenant", "domain", "created"});
          });
        },
        [](CLI::App& command, Values& v) { command.add_option("DOMAIN|TENANT", v.name); });
    const auto rotate = [](Context& c, Values& v) {
      show(c, c.client.post({"v1", "credentials", v.name, "rotate"}),
           [&](const json& answer) { print_credential(v.name, answer.at("credential")); });
    };
    const auto owner = [](CLI::App& command, Values& v) {
      command.add_option("DOMAIN|TENANT", v.name)->required();
    };
    verb(credential, "rotate", "a new one; the old one stays until it is revoked", rotate, owner);
    verb(credential, "add", "the same as rotate", rotate, owner);
    const auto revoke = [](Context& c, Values& v) {
      show(c, c.client.remove({"v1", "credentials", v.name, v.second}), say_done);
    };
    const auto owner_and_id = [](CLI::App& command, Values& v) {
      command.add_option("DOMAIN|TENANT", v.name)->required();
      command.add_option("ID", v.second)->required();
    };
    verb(credential, "revoke", "at once; its open sessions end", revoke, owner_and_id);
    verb(credential, "remove", "the same as revoke", revoke, owner_and_id);
  }

  void add_dkim() {
    CLI::App& dkim = group("dkim", "signing keys of domains");
    const auto key = [](CLI::App& command, Values& v) {
      command.add_option("DOMAIN", v.name)->required();
      command.add_option("SELECTOR", v.selector)->required();
    };
    verb(
        dkim, "add", "make a key; prints the DNS record to publish",
        [](Context& c, Values& v) {
          show(c,
               c.client.post({"v1", "dkim", v.name},
                             {{"selector", v.selector}, {"algorithm", v.algorithm}}),
               print_dns_record);
        },
        [](CLI::App& command, Values& v) {
          command.add_option("DOMAIN", v.name)->required();
          command.add_option("--selector", v.selector)->required();
          command.add_option("--algorithm", v.algorithm, "rsa-sha256 or ed25519-sha256");
        });
    verb(
        dkim, "list", "all keys, or a domain's",
        [](Context& c, Values& v) {
          std::vector<std::string> path = {"v1", "dkim"};
          if (!v.name.empty()) path.push_back(v.name);
          show(c, c.client.get(path), [](const json& answer) {
            print_table(answer.at("keys"), {"domain", "selector", "algorithm", "active", "name"});
          });
        },
        [](CLI::App& command, Values& v) { command.add_option("DOMAIN", v.name); });
    verb(
        dkim, "show", "a key's DNS record",
        [](Context& c, Values& v) {
          show(c, c.client.get({"v1", "dkim", v.name, v.selector}), [](const json& answer) {
            print_record(answer);
            print_dns_record(answer);
          });
        },
        key);
    verb(
        dkim, "activate", "sign with it, once DNS has it",
        [](Context& c, Values& v) {
          show(c,
               c.client.post({"v1", "dkim", v.name, v.selector, "activate"}, {{"force", v.force}}),
               say_done);
        },
        [key](CLI::App& command, Values& v) {
          key(command, v);
          command.add_flag("--force", v.force, "without looking at DNS");
        });
    verb(
        dkim, "remove", "forget the key; nothing is signed with it any more",
        [](Context& c, Values& v) {
          show(c, c.client.remove({"v1", "dkim", v.name, v.selector}), say_done);
        },
        key);
  }

  CLI::App& app_;
  Action& chosen_;
};

}  // namespace

void add_verbs(CLI::App& app, Action& chosen) { Verbs(app, chosen).add_all(); }

}  // namespace relayctl
