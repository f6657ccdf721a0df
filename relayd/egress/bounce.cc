#include "relayd/egress/bounce.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/mail/date.h"
#include "core/mail/dsn.h"
#include "core/mail/headers.h"

namespace egress {
namespace {

// One line, no control characters, bounded: what others said goes into fields of ours.
std::string clean(std::string_view text) { return base::to_utf8(base::printable(text, 900)); }

std::string message_id_of(std::string_view original_headers) {
  const auto headers = mail::Headers::scan(original_headers, 100'000);
  if (!headers) return {};
  return headers->value("Message-ID").value_or("");
}

// The two fields of an address (RFC 3464 2.3.1, 2.3.2); RFC 6533 4: raw, under a type that may.
std::string address_fields(const mail::Recipient& recipient) {
  std::string out;
  if (const auto original = mail::decode_orcpt(recipient.orcpt)) {
    out +=
        "Original-Recipient: " + clean(original->type) + "; " + clean(original->address) + "\r\n";
  }
  const bool utf8 = !base::is_ascii(recipient.address);
  out += std::string("Final-Recipient: ") + (utf8 ? "utf-8; " : "rfc822; ") +
         clean(recipient.address) + "\r\n";
  return out;
}

// An address literal where the name is one (RFC 5321 4.1.3).
std::string mta_name(const std::string& name) {
  const bool v6 = name.find(':') != std::string::npos;
  const bool v4 = !v6 && name.find_first_not_of("0123456789.") == std::string::npos;
  return v6 ? "[IPv6:" + clean(name) + "]" : v4 ? "[" + clean(name) + "]" : clean(name);
}

// RFC 3464 2: the fields of the message, then a group for each recipient.
std::string status_part(const ReportJob& job) {
  std::string out = "Reporting-MTA: dns; " + std::string(job.hostname) + "\r\n";
  const std::string& envid = job.original.envelope.envid;
  // One that we gave it ourselves (policy/sent_tag.h) says nothing to the sender.
  const bool ours = envid.starts_with("relayd." + job.original.id.str() + ".");
  if (const auto plain = mail::decode_xtext(envid); plain && !plain->empty() && !ours) {
    out += "Original-Envelope-Id: " + clean(*plain) + "\r\n";
  }
  out += "Arrival-Date: " + mail::format_date(job.original.arrival_ms) + "\r\n";
  for (const FailedRecipient& one : job.recipients) {
    out += "\r\n" + address_fields(one.recipient);
    out += "Action: " + std::string(job.action) + "\r\nStatus: " + one.status + "\r\n";
    if (!one.remote.empty()) out += "Remote-MTA: dns; " + mta_name(one.remote) + "\r\n";
    // 2.3.6: what an SMTP server said, to the word; else it is our own.
    const bool smtp = !one.said.empty() || !one.remote.empty();
    out += std::string("Diagnostic-Code: ") + (smtp ? "smtp; " : "X-Relayd; ") +
           clean(one.said.empty() ? one.diagnostic : one.said) + "\r\n";
    if (job.last_attempt_ms != 0) {
      out += "Last-Attempt-Date: " + mail::format_date(job.last_attempt_ms) + "\r\n";
    }
    if (job.action == "delayed") {
      out += "Will-Retry-Until: " + mail::format_date(job.original.expiry_ms) + "\r\n";
    }
  }
  return out;
}

std::string in_words(const ReportJob& job) {
  std::string out =
      job.action == "failed"
          ? "This message could not be delivered to the following recipients:\r\n"
      : job.action == "delayed"
          ? "This message is delayed; it will be tried again. It still waits for:\r\n"
          : "This message was taken over by the smarthost for the following recipients:\r\n";
  for (const FailedRecipient& one : job.recipients) {
    out += "\r\n<" + clean(one.recipient.address) + ">\r\n    " + clean(one.diagnostic) + "\r\n";
  }
  return out;
}

std::string report_header(const ReportJob& job, const std::string& boundary) {
  const std::string host(job.hostname);
  const std::string subject = job.action == "failed"    ? "Undelivered mail returned to sender"
                              : job.action == "delayed" ? "Delayed mail"
                                                        : "Delivery report";
  return "From: Mail Delivery System <MAILER-DAEMON@" + host + ">\r\n" +  //
         "To: <" + job.original.envelope.mail_from + ">\r\n" +            //
         "Subject: " + subject + "\r\n" +                                 //
         "Date: " + mail::format_date(job.wall_ms) + "\r\n" +             //
         "Message-ID: <" + std::string(job.report_id) + "@" + host + ">\r\n" +
         "Auto-Submitted: auto-replied\r\n" +  //
         "MIME-Version: 1.0\r\n" +             //
         "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" +
         boundary + "\"\r\nContent-Transfer-Encoding: 8bit\r\n";
}

}  // namespace

bool notify_names(std::string_view notify, std::string_view word) {
  const auto words = base::split(notify, ',');
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view one) { return base::iequals(one, word); });
}

bool wants_report(const queue::Message& original, const mail::Recipient& recipient) {
  if (original.envelope.mail_from.empty()) return false;
  return recipient.notify.empty() || notify_names(recipient.notify, "FAILURE");
}

Report make_report(const ReportJob& job) {
  const std::string status = status_part(job);
  // RFC 6533: what holds UTF-8 goes under types that may. A reply of a smarthost can be what does.
  const std::string headers = base::to_utf8(job.original_headers);
  const bool global =
      job.original.envelope.smtputf8 || !base::is_ascii(status) || !base::is_ascii(headers);
  const std::string boundary = "=_" + std::string(job.report_id);
  const auto part = [&](const std::string& type) {
    // RFC 3464 2.1, RFC 6522 3: 7bit where it can be.
    return "\r\n--" + boundary + "\r\nContent-Type: " + type + "\r\n" +
           (global || job.full ? "Content-Transfer-Encoding: 8bit\r\n" : "") + "\r\n";
  };
  Report report;
  report.head = report_header(job, boundary);
  report.head += part("text/plain; charset=utf-8") + in_words(job);
  report.head += part(global ? "message/global-delivery-status" : "message/delivery-status");
  report.head += status;
  if (job.full) {
    report.head += part(global ? "message/global" : "message/rfc822");
  } else {
    report.head += part(global ? "message/global-headers" : "text/rfc822-headers") + headers;
  }
  report.tail = "\r\n--" + boundary + "--\r\n";
  return report;
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
