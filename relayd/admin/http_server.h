// The listeners of the admin API on libevent's evhttp: a Unix socket (mode 0600, so its file is the
// permission) and, where asked for, TCP behind a bearer token (RFC 6750). Loop's thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "core/net/loop.h"
#include "relayd/admin/exchange.h"

namespace admin {

class HttpServer {
 public:
  using OnRequest = std::function<void(const ExchangePtr&)>;
  HttpServer(net::Loop& loop, const base::Limits& limits, OnRequest on_request);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // A stale socket file is replaced; one that somebody listens on is an error.
  base::Status listen_unix(const std::string& path);
  // Requests without `Authorization: Bearer TOKEN` get 401, except GET /healthz and /readyz.
  base::Status listen_tcp(const std::string& address, const std::string& token);
  [[nodiscard]] unsigned tcp_port() const;  // 0 where there is none

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace admin
