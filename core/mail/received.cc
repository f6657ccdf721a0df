#include "core/mail/received.h"

#include <string_view>

#include "core/base/bytes.h"
#include "core/mail/date.h"

namespace mail {
namespace {

// What a client says of itself must not end a comment or the field.
std::string clean_name(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 255)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain || std::string_view(".-_:[]").find(c) != std::string_view::npos ? c : '?';
  }
  return out.empty() ? "unknown" : out;
}

}  // namespace

std::string format_received(const Hop& hop) {
  const bool v6 = hop.remote_ip.find(':') != std::string::npos;
  std::string out = "Received: from " + clean_name(hop.helo) + " ([";
  out += v6 ? "IPv6:" : "";
  out += hop.remote_ip + "])\r\n";
  if (!hop.tls.empty()) out += "\t(using " + hop.tls + ")\r\n";
  out += "\tby " + hop.hostname + " with " + hop.protocol + " id " + hop.id;
  if (!hop.recipient.empty() && base::is_ascii(hop.recipient)) {
    out += "\r\n\tfor <" + hop.recipient + ">";
  }
  return out + ";\r\n\t" + format_date(hop.wall_ms) + "\r\n";
}

}  // namespace mail
