#include "relayd/egress/report.h"

#include "core/base/log.h"
#include "relayd/egress/outgoing.h"

namespace egress {
// Where no attempt was made the header has not been read yet. A report without it is still one.
std::string stored_headers(const Workplace& workplace, const Settings& settings,
                           const queue::Message& message) {
  const auto reader = workplace.store->open_content(message);
  if (!reader) return {};
  auto headers =
      read_header_section(**reader, static_cast<std::size_t>(settings.limits.header_size));
  return headers ? headers.take() : std::string();
}

void add_report(const Workplace& workplace, const Settings& settings, const queue::Message& message,
                const std::string& headers, Judged& judged) {
  std::vector<FailedRecipient> told;
  for (FailedRecipient& failed : judged.failed) {
    base::log_info("failed", {{"id", message.id.str()},
                              {"recipient", failed.recipient.address},
                              {"reply", failed.diagnostic}});
    if (wants_report(message, failed.recipient)) told.push_back(std::move(failed));
  }
  if (told.empty()) return;
  const std::string original =
      headers.empty() ? stored_headers(workplace, settings, message) : headers;
  const std::int64_t now_ms = workplace.clock->wall_ms();

  queue::NewMessage bounce;
  bounce.message.id = workplace.ids->next();
  bounce.message.kind = queue::Kind::kBounce;
  bounce.message.tenant = message.tenant;
  bounce.message.domain = message.domain;
  bounce.message.support_address = message.support_address;
  bounce.message.trust = "none";
  bounce.message.related_id = message.id.str();
  bounce.message.details = report_details(message, told, original);
  bounce.message.arrival_ms = now_ms;
  bounce.message.expiry_ms = now_ms + (message.expiry_ms - message.arrival_ms);
  bounce.message.envelope.recipients.push_back({message.envelope.mail_from, "", ""});
  bounce.content = workplace.store->begin_content();
  const auto stored = bounce.content->append(
      make_report(message, told, original, settings.hostname, bounce.message.id.str(), now_ms));
  if (stored != queue::Failure::kNone) {
    // Without its bounce the failure must not be written down either: it is tried again.
    judged.update.also.push_back(std::move(bounce));
    judged.update = without_report(judged.update, now_ms + settings.retry_ms.front());
    return;
  }
  queue::Delivery delivery;
  delivery.destination = "backend:" + message.tenant;
  delivery.next_attempt_ms = now_ms;
  delivery.recipients.push_back({0, queue::RecipientState::kPending, {}});
  bounce.deliveries.push_back(std::move(delivery));
  judged.update.also.push_back(std::move(bounce));
}

}  // namespace egress
