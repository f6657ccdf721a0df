#include "core/mail/received.h"

#include <string_view>

#include "core/base/bytes.h"
#include "core/mail/date.h"

namespace mail {
namespace {

constexpr std::size_t kExpected = 400;

// What a client says of itself must not end a comment or the field.
void append_clean_name(std::string& out, std::string_view name) {
  if (name.empty()) name = "unknown";
  for (const char c : name.substr(0, 255)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain || std::string_view(".-_:[]").find(c) != std::string_view::npos ? c : '?';
  }
}

}  // namespace

std::string format_received(const Hop& hop) {
  std::string out;
  out.reserve(kExpected);
  out += "Received: from ";
  append_clean_name(out, hop.helo);
  out += hop.remote_ip.find(':') != std::string::npos ? " ([IPv6:" : " ([";
  out.append(hop.remote_ip).append("])\r\n");
  if (!hop.tls.empty()) out.append("\t(using ").append(hop.tls).append(")\r\n");
  out.append("\tby ").append(hop.hostname).append(" with ").append(hop.protocol);
  out.append(" id ").append(hop.id);
  if (!hop.recipient.empty() && base::is_ascii(hop.recipient)) {
    out.append("\r\n\tfor <").append(hop.recipient).append(">");
  }
  return out.append(";\r\n\t").append(format_date(hop.wall_ms)).append("\r\n");
}

}  // namespace mail
