// IP addresses with ports. Plain data, pure.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  // "127.0.0.1:25", "[::1]:25". Names are not looked up.
  static base::Result<SocketAddress> parse(std::string_view host_and_port);
  static base::Result<SocketAddress> from_ip(std::string_view ip, unsigned port);
  [[nodiscard]] std::string ip() const;  // "127.0.0.1", "::1"; a v4-mapped v6 address as v4
  [[nodiscard]] unsigned port() const;
  [[nodiscard]] std::string str() const;  // ip:port with brackets for v6
  [[nodiscard]] bool is_loopback() const;
};

}  // namespace net
