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

namespace {

// RET=FULL: what came from the sender, without our prefix, where it is not too long.
std::unique_ptr<queue::ContentReader> to_return(const Workplace& workplace,
                                                const Settings& settings,
                                                const queue::Message& message) {
  if (message.envelope.ret != "FULL") return nullptr;
  auto reader = workplace.store->open_content(message);
  if (!reader) return nullptr;
  const std::uint64_t size = (*reader)->size() - (*reader)->prefix_size();
  if (size > static_cast<std::uint64_t>(settings.limits.bounce_original)) return nullptr;
  return reader.take();
}

queue::Failure write_report(const Workplace& workplace, const Settings& settings, ReportJob job,
                            queue::Content& content) {
  const auto reader = to_return(workplace, settings, job.original);
  job.full = reader != nullptr;
  const Report report = make_report(job);
  if (const auto failure = content.append(report.head); failure != queue::Failure::kNone) {
    return failure;
  }
  std::string piece(32 * 1024, '\0');
  for (std::uint64_t at = reader ? reader->prefix_size() : 0; reader;) {
    const auto got = reader->read(at, piece);
    if (!got) return queue::Failure::kFull;  // tried again; a later attempt may read it
    if (*got == 0) break;
    at += *got;
    const auto failure = content.append(std::string_view(piece).substr(0, *got));
    if (failure != queue::Failure::kNone) return failure;
  }
  return content.append(report.tail);
}

}  // namespace

void add_report(const Workplace& workplace, const Settings& settings, const queue::Message& message,
                const std::string& headers, Judged& judged) {
  std::vector<FailedRecipient> told;
  for (FailedRecipient& failed : judged.failed) {
    base::log_info("failed", {{"id", message.id.str()},
                              {"recipient", failed.recipient.address},
                              {"reply", failed.diagnostic}});
    if (wants_report(message, failed.recipient)) {
      told.push_back(std::move(failed));
    } else {
      base::log_info(message.envelope.mail_from.empty() ? "bounce of a bounce dropped"
                                                        : "no bounce, as NOTIFY asks",
                     {{"id", message.id.str()},
                      {"recipient", failed.recipient.address},
                      {"notify", failed.recipient.notify}});
    }
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
  bounce.message.envelope.smtputf8 = message.envelope.smtputf8;
  bounce.content = workplace.store->begin_content();
  const std::string id = bounce.message.id.str();
  const auto stored = write_report(
      workplace, settings,
      {message, told, "failed", original, settings.hostname, id, now_ms, now_ms}, *bounce.content);
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
