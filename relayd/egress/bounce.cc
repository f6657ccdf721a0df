#include "relayd/egress/bounce.h"

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/mail/date.h"
#include "core/mail/headers.h"

namespace egress {
namespace {

// One line, no control characters, bounded: what others said goes into fields of ours.
std::string clean(std::string_view text) { return base::printable(text, 900); }

std::string message_id_of(std::string_view original_headers) {
  const auto headers = mail::Headers::scan(original_headers, 100'000);
  if (!headers) return {};
  return headers->value("Message-ID").value_or("");
}

}  // namespace

bool wants_report(const queue::Message& original, const mail::Recipient& recipient) {
  return !original.envelope.mail_from.empty() && recipient.notify != "NEVER";
}

std::string make_report(const queue::Message& original, const std::vector<FailedRecipient>& failed,
                        std::string_view original_headers, std::string_view hostname,
                        std::string_view report_id, std::int64_t wall_ms) {
  const std::string host(hostname);
  const std::string boundary = "=_" + std::string(report_id);
  std::string out;
  out += "From: Mail Delivery System <MAILER-DAEMON@" + host + ">\r\n";
  out += "To: <" + original.envelope.mail_from + ">\r\n";
  out += "Subject: Undelivered mail returned to sender\r\n";
  out += "Date: " + mail::format_date(wall_ms) + "\r\n";
  out += "Message-ID: <" + std::string(report_id) + "@" + host + ">\r\n";
  out += "Auto-Submitted: auto-replied\r\n";
  out += "MIME-Version: 1.0\r\n";
  out += "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" +
         boundary + "\"\r\n\r\n";

  out += "--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\n";
  out += "Content-Transfer-Encoding: 8bit\r\n\r\n";
  out += "This message could not be delivered to the following recipients:\r\n\r\n";
  for (const FailedRecipient& one : failed) {
    out += "<" + clean(one.recipient.address) + ">\r\n    " + clean(one.diagnostic) + "\r\n";
  }

  out += "\r\n--" + boundary + "\r\nContent-Type: message/delivery-status\r\n\r\n";
  out += "Reporting-MTA: dns; " + host + "\r\n";
  if (!original.envelope.envid.empty()) {
    out += "Original-Envelope-Id: " + clean(original.envelope.envid) + "\r\n";
  }
  out += "Arrival-Date: " + mail::format_date(original.arrival_ms) + "\r\n";
  for (const FailedRecipient& one : failed) {
    out += "\r\n";
    if (!one.recipient.orcpt.empty()) {
      out += "Original-Recipient: " + clean(one.recipient.orcpt) + "\r\n";
    }
    const bool utf8 = !base::is_ascii(one.recipient.address);
    out += std::string("Final-Recipient: ") + (utf8 ? "utf-8; " : "rfc822; ") +
           clean(one.recipient.address) + "\r\n";
    out += "Action: failed\r\nStatus: " + one.status + "\r\n";
    if (!one.remote.empty()) out += "Remote-MTA: dns; " + clean(one.remote) + "\r\n";
    out += "Diagnostic-Code: smtp; " + clean(one.diagnostic) + "\r\n";
  }

  out += "\r\n--" + boundary + "\r\nContent-Type: text/rfc822-headers\r\n\r\n";
  out += original_headers;
  out += "\r\n--" + boundary + "--\r\n";
  return out;
}

std::string report_details(const queue::Message& original,
                           const std::vector<FailedRecipient>& failed,
                           std::string_view original_headers, std::string_view action) {
  std::string out =
      R"({"original_message_id":")" + base::json_escape(message_id_of(original_headers));
  out += R"(","envelope":{"mail_from":")" + base::json_escape(original.envelope.mail_from);
  out += R"(","rcpt_to":[)";
  for (const mail::Recipient& one : original.envelope.recipients) {
    if (out.back() == '"') out += ',';
    out += '"' + base::json_escape(one.address) + '"';
  }
  out += R"(]},"recipients":[)";
  for (const FailedRecipient& one : failed) {
    if (out.back() == '}') out += ',';
    out += R"({"address":")" + base::json_escape(one.recipient.address);
    out += R"(","action":")" + std::string(action);
    out += R"(","status":")" + base::json_escape(one.status);
    out += R"(","diagnostic":")" + base::json_escape(clean(one.diagnostic));
    out += R"(","remote":")" + base::json_escape(one.remote) + "\"}";
  }
  return out + "]}";
}

}  // namespace egress
