#include "relayd/admin/queue_json.h"

#include <string_view>
#include <utility>

#include "relayd/admin/accounts_json.h"
#include "relayd/admin/trail_words.h"

namespace admin {
namespace {

using nlohmann::json;

std::string_view name(queue::State state) {
  return state == queue::State::kHeld ? "held" : "waiting";
}

std::string_view name(queue::RecipientState state) {
  switch (state) {
    case queue::RecipientState::kDelivered:
      return "delivered";
    case queue::RecipientState::kFailed:
      return "failed";
    default:
      return "pending";
  }
}

void add_delivery(json& row, const queue::Delivery& delivery) {
  row["state"] = name(delivery.state);
  row["destination"] = delivery.destination;
  row["attempts"] = delivery.attempts;
  row["next_attempt"] = delivery.state == queue::State::kHeld
                            ? json(nullptr)
                            : json(rfc3339(delivery.next_attempt_ms));
  row["last_reply"] = delivery.last_reply;
}

json delivery_json(const queue::Message& message, const queue::Delivery& delivery) {
  json row = {{"index", delivery.index}, {"recipients", json::array()}};
  add_delivery(row, delivery);
  for (const queue::RecipientStatus& recipient : delivery.recipients) {
    const auto& all = message.envelope.recipients;
    row["recipients"].push_back(
        {{"address", recipient.index < all.size() ? all[recipient.index].address : ""},
         {"state", name(recipient.state)},
         {"last_reply", recipient.last_reply}});
  }
  return row;
}

json envelope_json(const mail::Envelope& envelope) {
  json recipients = json::array();
  for (const mail::Recipient& recipient : envelope.recipients) {
    recipients.push_back(
        {{"address", recipient.address}, {"notify", recipient.notify}, {"orcpt", recipient.orcpt}});
  }
  return {{"mail_from", envelope.mail_from},
          {"recipients", std::move(recipients)},
          {"body", envelope.body == mail::BodyType::k8BitMime ? "8BITMIME" : "7BIT"},
          {"smtputf8", envelope.smtputf8},
          {"ret", envelope.ret},
          {"envid", envelope.envid}};
}

}  // namespace

json message_json(const queue::Message& message) {
  json recipients = json::array();
  for (const auto& recipient : message.envelope.recipients) recipients.push_back(recipient.address);
  json row = {{"id", message.id.str()},
              {"kind", kind_name(message.kind)},
              {"tenant", message.tenant},
              {"domain", message.domain},
              {"support_address", message.support_address},
              {"mail_from", message.envelope.mail_from},
              {"recipients", std::move(recipients)},
              {"size", message.body.size()},
              {"trust", message.trust},
              {"arrival", rfc3339(message.arrival_ms)},
              {"expiry", rfc3339(message.expiry_ms)}};
  if (!message.related_id.empty()) row["related_id"] = message.related_id;
  if (!message.event.empty()) row["event"] = message.event;
  return row;
}

json row_json(const queue::Message& message, const queue::Delivery& delivery) {
  json row = message_json(message);
  add_delivery(row, delivery);
  return row;
}

json whole_json(const queue::Message& message, const std::vector<queue::Delivery>& deliveries) {
  json row = message_json(message);
  row["envid"] = message.envelope.envid;
  row["helo"] = message.helo;
  row["remote_ip"] = message.remote_ip;
  row["envelope"] = envelope_json(message.envelope);
  row["details"] = message.details;
  row["checksum"] = message.body.checksum;
  row["deliveries"] = json::array();
  for (const queue::Delivery& delivery : deliveries) {
    row["deliveries"].push_back(delivery_json(message, delivery));
  }
  return row;
}

json report_json(const queue::CheckReport& report) {
  json findings = json::array();
  for (const auto& finding : report.findings) {
    findings.push_back({{"what", finding.what}, {"id", finding.id}, {"problem", finding.problem}});
  }
  return {{"messages", report.messages},    {"deliveries", report.deliveries},
          {"octets", report.octets},        {"segments", report.segments},
          {"damaged", report.damaged},      {"complete", report.complete},
          {"findings", std::move(findings)}};
}

}  // namespace admin
