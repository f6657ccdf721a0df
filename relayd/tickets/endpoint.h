// Where tickets go: a back end's URL taken apart. Pure.
#pragma once

#include <string>

#include "core/base/result.h"

namespace tickets {

struct Endpoint {
  std::string url;   // without user name and password
  std::string host;  // without the brackets of an IPv6 address
  unsigned port = 0;
  std::string username;  // HTTP Basic; "" for none
  std::string password;
  bool is_ip = false;

  // http and https only. The error never carries the password.
  static base::Result<Endpoint> parse(const std::string& url);
  // "localhost" and names below it are this host (RFC 6761 6.3): never asked in DNS.
  [[nodiscard]] bool is_localhost() const;
};

}  // namespace tickets
