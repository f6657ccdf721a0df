// The trace field we put in front of every message (RFC 5321 4.4, RFC 3848, RFC 8314 7.4). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mail {

struct Hop {
  std::string_view helo;  // what the client called itself; cleaned here
  std::string_view remote_ip;
  std::string_view hostname;   // ours
  std::string_view protocol;   // "ESMTPSA" and the like
  std::string_view tls;        // "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" without TLS
  std::string_view id;         // queue id
  std::string_view recipient;  // "" where there are several (RFC 5321 7.6)
  std::int64_t wall_ms = 0;
};

// The complete folded field with its CRLF.
std::string format_received(const Hop& hop);

}  // namespace mail
