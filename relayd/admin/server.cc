#include "relayd/admin/server.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "core/base/bytes.h"
#include "relayd/admin/api.h"
#include "relayd/admin/http_server.h"

namespace admin {
namespace {

using nlohmann::json;

base::Result<std::string> read_token(const std::string& path) {
  if (path.empty()) return base::error("admin.token_file: needed where admin.listen is set");
  std::ifstream file(path);
  if (!file) return base::error("admin.token_file: cannot read " + path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  return std::string(base::trim(text));
}

json count_accounts(const policy::Accounts& accounts) {
  std::size_t domains = 0;
  std::size_t addresses = 0;
  for (const auto& [tenant_name, tenant] : accounts.tenants()) {
    domains += tenant.domains.size();
    for (const auto& [domain_name, domain] : tenant.domains) addresses += domain.addresses.size();
  }
  return {{"tenants", accounts.tenants().size()}, {"domains", domains}, {"addresses", addresses}};
}

}  // namespace

struct AdminServer::State {
  AdminOptions options;
  std::int64_t started_ms = 0;
  Router router;
  std::unique_ptr<HttpServer> http;

  // "" where mail can be taken.
  [[nodiscard]] std::string why_not_ready() const {
    const queue::Health health = options.store->health();
    if (health.failure != queue::Failure::kNone) return health.reason;
    if (options.ready && !options.ready()) return "starting or stopping";
    return "";
  }

  [[nodiscard]] json paused_backends() const {
    json tenants = json::array();
    if (!options.paused_backends) return tenants;
    for (const auto& [tenant, paused] : options.paused_backends()) tenants.push_back(tenant);
    return tenants;
  }

  [[nodiscard]] json status() const {
    const std::string reason = why_not_ready();
    return {{"version", options.version},
            {"hostname", options.hostname},
            {"ready", reason.empty()},
            {"reason", reason},
            {"uptime_s", (options.clock->steady_ms() - started_ms) / base::kSecond},
            {"queue", {{"messages", options.store->message_count()}}},
            {"paused_backends", paused_backends()},
            {"accounts", count_accounts(*options.accounts->snapshot())}};
  }

  void add_routes() {
    router.add("GET", "/healthz", [](const ExchangePtr& exchange) {
      exchange->reply_text(200, "text/plain", "alive\n");
    });
    router.add("GET", "/readyz", [this](const ExchangePtr& exchange) {
      const std::string reason = why_not_ready();
      if (reason.empty()) {
        exchange->reply_text(200, "text/plain", "ready\n");
      } else {
        exchange->refuse(503, reason);
      }
    });
    router.add("GET", "/metrics", [this](const ExchangePtr& exchange) {
      exchange->reply_text(200, "text/plain; version=0.0.4; charset=utf-8",
                           options.metrics->expose());
    });
    router.add("GET", "/v1/status",
               [this](const ExchangePtr& exchange) { exchange->reply(200, status()); });
    register_accounts(router, options);
    register_credentials(router, options);
    register_dkim(router, options);
    register_queue(router, options);
    register_trail(router, options);
  }
};

AdminServer::AdminServer() : state_(std::make_unique<State>()) {}
AdminServer::~AdminServer() = default;

base::Result<std::unique_ptr<AdminServer>> AdminServer::open(AdminOptions options) {
  auto server = std::unique_ptr<AdminServer>(new AdminServer());
  State& state = *server->state_;
  state.options = std::move(options);
  state.started_ms = state.options.clock->steady_ms();
  state.add_routes();
  state.http = std::make_unique<HttpServer>(
      *state.options.loop, *state.options.limits,
      [&state](const ExchangePtr& exchange) { state.router.dispatch(exchange); });
  if (base::Status status = state.http->listen_unix(state.options.socket); !status.ok()) {
    return status.error();
  }
  if (!state.options.listen.empty()) {
    const auto token = read_token(state.options.token_file);
    if (!token.ok()) return token.error();
    if (base::Status status = state.http->listen_tcp(state.options.listen, *token); !status.ok()) {
      return status.error();
    }
  }
  return server;
}

unsigned AdminServer::tcp_port() const { return state_->http->tcp_port(); }

}  // namespace admin
