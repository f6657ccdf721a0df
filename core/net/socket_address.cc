#include "core/net/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "core/base/bytes.h"

namespace net {
namespace {

// The address inside ::ffff:a.b.c.d, which is how a dual-stack socket shows an IPv4 peer.
bool is_v4_mapped(const in6_addr& address) { return IN6_IS_ADDR_V4MAPPED(&address); }

const sockaddr_in* as_v4(const sockaddr_storage& storage) {
  return storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&storage) : nullptr;
}

const sockaddr_in6* as_v6(const sockaddr_storage& storage) {
  return storage.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&storage) : nullptr;
}

}  // namespace

base::Result<SocketAddress> SocketAddress::parse(std::string_view host_and_port) {
  const auto wrong = [&] {
    return base::error("'" + base::printable(host_and_port) +
                       "' is not an address with a port: write 127.0.0.1:25 or [::1]:25");
  };
  const std::size_t colon = host_and_port.rfind(':');
  if (colon == std::string_view::npos) return wrong();
  std::string_view host = host_and_port.substr(0, colon);
  const auto port = base::parse_unsigned(host_and_port.substr(colon + 1));
  if (!port || *port > 65535) return wrong();
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  // Without brackets nobody could say where a v6 address ends and the port begins.
  if (brackets != (host.find(':') != std::string_view::npos)) return wrong();
  auto address = from_ip(host, static_cast<unsigned>(*port));
  if (!address) return wrong();
  return address;
}

base::Result<SocketAddress> SocketAddress::from_ip(std::string_view ip, unsigned port) {
  const std::string text(ip);
  SocketAddress address;
  if (port <= 65535 && text.find('\0') == std::string::npos) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      v4.sin_port = htons(static_cast<std::uint16_t>(port));
      std::memcpy(&address.storage, &v4, sizeof v4);
      address.length = sizeof v4;
      return address;
    }
    if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(static_cast<std::uint16_t>(port));
      std::memcpy(&address.storage, &v6, sizeof v6);
      address.length = sizeof v6;
      return address;
    }
  }
  return base::error("'" + base::printable(ip) + "' is not an IP address");
}

std::string SocketAddress::ip() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (const auto* v4 = as_v4(storage)) {
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  } else if (const auto* v6 = as_v6(storage)) {
    if (is_v4_mapped(v6->sin6_addr)) {
      inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    }
  }
  return text;
}

unsigned SocketAddress::port() const {
  if (const auto* v4 = as_v4(storage)) return ntohs(v4->sin_port);
  if (const auto* v6 = as_v6(storage)) return ntohs(v6->sin6_port);
  return 0;
}

std::string SocketAddress::str() const {
  const std::string address = ip();
  const std::string end = ":" + std::to_string(port());
  return address.find(':') == std::string::npos ? address + end : "[" + address + "]" + end;
}

bool SocketAddress::is_loopback() const {
  if (const auto* v4 = as_v4(storage)) return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  if (const auto* v6 = as_v6(storage)) {
    if (is_v4_mapped(v6->sin6_addr)) return v6->sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
  }
  return false;
}

}  // namespace net
