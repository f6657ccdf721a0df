#include "relayd/ingress/delivery_events.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/mail/dsn.h"
#include "policy/sent_tag.h"

namespace ingress {
namespace {

// The first `octets_max` of what follows the header; "" where it cannot be read.
std::string body_of(const queue::Content& content, std::size_t octets_max) {
  std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(content.size(), octets_max)),
                   '\0');
  if (!content.read(0, text)) return {};
  const std::size_t end = mail::header_section_end(text);
  return end == std::string::npos ? std::string() : text.substr(end + 2);
}

struct Tie {
  std::string id;  // of the message that was sent
  const char* by = nullptr;
};

// Nobody but this relayd can make its ENVID. A Message-ID is known to everyone who has seen the
// message, so that it ties only what comes as reports do: with the null sender.
Tie tie_to_sent(const Workplace& workplace, const queue::Message& message,
                const mail::DeliveryReport& report, const std::string& message_id) {
  const auto tagged = policy::read_sent_tag(workplace.sent_key, message.tenant, report.envelope_id);
  if (tagged) return {tagged->str(), "envelope-id"};
  if (!workplace.find_sent || message_id.empty() || !message.envelope.mail_from.empty()) return {};
  const auto found = workplace.find_sent(message.tenant, message_id);
  return found ? Tie{*found, "message-id"} : Tie{};
}

// A report may be about several recipients with several fates: the worst one names the event.
const char* event_of(const mail::DeliveryReport& report) {
  const auto any = [&](std::string_view action) {
    return std::any_of(report.recipients.begin(), report.recipients.end(),
                       [&](const auto& one) { return one.action == action; });
  };
  return any("failed")    ? "message.bounced"
         : any("delayed") ? "message.delayed"
                          : "message.delivered";
}

std::string pair(std::string_view name, std::string_view value) {
  return '"' + base::json_escape(base::to_utf8(name)) + "\":\"" +
         base::json_escape(base::to_utf8(value)) + '"';
}

std::string recipient_json(const mail::DeliveryReport::Recipient& one) {
  std::string out = "{" + pair("address", one.final_address) + "," + pair("action", one.action) +
                    "," + pair("status", one.status) + "," + pair("diagnostic", one.diagnostic) +
                    "," + pair("remote", one.remote);
  if (!one.original.empty()) out += "," + pair("original_recipient", one.original);
  return out + "}";
}

// The back end's own fields in what was returned: how it knows its message.
std::string markers_json(const mail::Headers& returned, const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    const auto value = returned.value(name);
    if (value) out += (out.empty() ? "" : ",") + pair(name, base::printable(*value, 1000));
  }
  return "{" + out + "}";
}

}  // namespace

bool make_delivery_event(const Workplace& workplace, const Settings& settings,
                         const mail::Headers& headers, queue::NewMessage& message) {
  if (!mail::is_delivery_report(headers)) return false;
  const auto report = mail::read_delivery_report(
      headers, body_of(*message.content, static_cast<std::size_t>(settings.limits.report_size)));
  if (!report) return false;
  const auto returned = mail::Headers::scan(
      report->returned_headers, static_cast<std::size_t>(settings.limits.header_fields));
  const std::string message_id =
      returned ? base::printable(returned->value("Message-ID").value_or(""), 1000) : std::string();
  const Tie tie = tie_to_sent(workplace, message.message, *report, message_id);
  if (tie.by == nullptr) return false;

  std::string details = "{" + pair("original_message_id", message_id) + ",\"recipients\":[";
  for (const auto& one : report->recipients) {
    details += (details.back() == '[' ? "" : ",") + recipient_json(one);
  }
  details += "]," + pair("reporting_mta", report->reporting_mta) + "," + pair("tied_by", tie.by);
  if (returned) details += ",\"markers\":" + markers_json(*returned, settings.marker_headers);
  message.message.kind = queue::Kind::kEvent;
  message.message.event = event_of(*report);
  message.message.related_id = tie.id;
  message.message.details = details + "}";
  workplace.metrics
      ->counter("relayd_reports_total", "Delivery reports that came back and became events",
                "event=\"" + message.message.event + "\"")
      .add();
  base::log_info("delivery report", {{"id", message.message.id.str()},
                                     {"event", message.message.event},
                                     {"related_id", tie.id},
                                     {"tied_by", std::string(tie.by)}});
  return true;
}

}  // namespace ingress
