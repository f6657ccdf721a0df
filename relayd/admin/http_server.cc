#include "relayd/admin/http_server.h"

#include <event2/http.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/net/socket_address.h"

namespace admin {
namespace {

constexpr int kBacklog = 128;
constexpr ev_ssize_t kHeaderOctets = 32 * 1024;

struct HttpFree {
  void operator()(evhttp* http) const { evhttp_free(http); }
};

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

base::Error system_error(const std::string& what) {
  return base::error("admin: " + what + ": " + std::strerror(errno));
}

bool has_listener(const sockaddr_un& address) {
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe.get() >= 0 &&
         connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

struct HttpServer::State {
  // What evhttp hands back with a request: which door it came in by.
  struct Door {
    State* state = nullptr;
    std::string token;  // "" on the Unix socket
  };

  net::Loop& loop;
  const base::Limits& limits;
  OnRequest on_request;
  std::map<Exchange*, std::weak_ptr<Exchange>> open;
  Door unix_door, tcp_door;
  std::string socket_path;
  unsigned port = 0;
  std::unique_ptr<evhttp, HttpFree> unix_http, tcp_http;

  State(net::Loop& l, const base::Limits& lim, OnRequest request)
      : loop(l), limits(lim), on_request(std::move(request)) {}

  ~State() {
    for (const auto& [key, weak] : open) {
      if (const ExchangePtr exchange = weak.lock()) exchange->abandon();
    }
    unix_http.reset();
    tcp_http.reset();
    if (!socket_path.empty()) unlink(socket_path.c_str());
  }

  base::Status serve(std::unique_ptr<evhttp, HttpFree>& http, Door& door, int listening) {
    Fd socket(listening);
    http.reset(evhttp_new(loop.base()));
    if (http == nullptr) return base::error("admin: out of memory");
    // Twice ours: what is a little too long gets our own error, only the rest libevent's.
    evhttp_set_max_body_size(http.get(), static_cast<ev_ssize_t>(2 * limits.admin_request));
    evhttp_set_max_headers_size(http.get(), kHeaderOctets);
    evhttp_set_timeout(http.get(), static_cast<int>(limits.admin_timeout / base::kSecond));
    evhttp_set_allowed_methods(http.get(), EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                               EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                               EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                               EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    door.state = this;
    evhttp_set_gencb(
        http.get(),
        [](evhttp_request* request, void* context) {
          auto* from = static_cast<Door*>(context);
          from->state->take(*from, request);
        },
        &door);
    if (evhttp_accept_socket_with_handle(http.get(), socket.get()) == nullptr) {
      return base::error("admin: libevent does not take the socket");
    }
    static_cast<void>(socket.release());
    return base::Ok{};
  }

  void take(const Door& door, evhttp_request* request) {
    const auto exchange = std::make_shared<Exchange>(request);
    open.emplace(exchange.get(), exchange);
    exchange->on_answered = [this, key = exchange.get(), method = exchange->method,
                             path = std::string(evhttp_request_get_uri(request))](int status) {
      open.erase(key);
      if (method == "GET") return;
      base::log_info("admin request",
                     {{"method", method}, {"path", base::printable(path)}, {"status", status}});
    };
    if (!may_enter(door, *exchange)) {
      exchange->refuse(401, "send the header Authorization: Bearer TOKEN, see admin.token_file");
    } else if (!exchange->well_formed) {
      exchange->refuse(400, "the path is not percent-encoded UTF-8");
    } else if (exchange->body.size() > static_cast<std::size_t>(limits.admin_request)) {
      exchange->refuse(413, "the request is longer than " + std::to_string(limits.admin_request) +
                                " octets (limits.admin_request)");
    } else {
      on_request(exchange);
    }
  }

  static bool may_enter(const Door& door, const Exchange& exchange) {
    if (door.token.empty()) return true;
    if (exchange.method == "GET" && exchange.path.size() == 1 &&
        (exchange.path[0] == "healthz" || exchange.path[0] == "readyz")) {
      return true;
    }
    constexpr std::string_view kScheme = "Bearer ";
    const std::string_view header = exchange.authorization;
    return base::istarts_with(header, kScheme) &&
           base::constant_time_equal(base::trim(header.substr(kScheme.size())), door.token);
  }
};

HttpServer::HttpServer(net::Loop& loop, const base::Limits& limits, OnRequest on_request)
    : state_(std::make_unique<State>(loop, limits, std::move(on_request))) {}
HttpServer::~HttpServer() = default;

base::Status HttpServer::listen_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return base::error("admin.socket: the path has 1 to " +
                       std::to_string(sizeof address.sun_path - 1) + " octets: " + path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return base::error("admin.socket: " + path + " is no socket");
    if (has_listener(address)) {
      return base::error("admin.socket: another process listens on " + path);
    }
    unlink(path.c_str());
  }
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return system_error("cannot make a socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error("cannot bind " + path);
  }
  state_->socket_path = path;
  // Nobody gets in between: connections are refused until listen().
  if (chmod(path.c_str(), 0600) != 0) return system_error("cannot chmod " + path);
  if (listen(fd.get(), kBacklog) != 0) return system_error("cannot listen on " + path);
  return state_->serve(state_->unix_http, state_->unix_door, fd.release());
}

base::Status HttpServer::listen_tcp(const std::string& where, const std::string& token) {
  if (token.empty()) return base::error("admin.token_file: the file holds no token");
  if (token.size() < 16) {
    base::log_warning("short admin token", {{"advice", "make one with: openssl rand -hex 32"}});
  }
  const auto address = net::SocketAddress::parse(where);
  if (!address.ok()) return base::error("admin.listen: " + address.message());
  const auto* name = reinterpret_cast<const sockaddr*>(&address->storage);
  Fd fd(socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return system_error("cannot make a socket");
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd.get(), name, address->length) != 0) return system_error("cannot bind " + where);
  if (listen(fd.get(), kBacklog) != 0) return system_error("cannot listen on " + where);
  net::SocketAddress bound;
  bound.length = sizeof bound.storage;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.length) == 0) {
    state_->port = bound.port();
  }
  state_->tcp_door.token = token;
  return state_->serve(state_->tcp_http, state_->tcp_door, fd.release());
}

unsigned HttpServer::tcp_port() const { return state_->port; }

}  // namespace admin
