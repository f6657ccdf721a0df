#include "relayd/egress/notices.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/mail/date.h"
#include "relayd/egress/bounce.h"
#include "relayd/egress/report.h"

namespace egress {
namespace {

constexpr std::int64_t kEventLifeMs = 5 * base::kDay;

// A short message for back ends that take nothing else.
std::string as_mail(const Settings& settings, const Notice& notice, const std::string& to,
                    const std::string& id, std::int64_t now_ms) {
  std::string text = notice.text;
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) {
    text.replace(at, 1, "\r\n");
  }
  return "From: Mail Delivery System <MAILER-DAEMON@" + settings.hostname + ">\r\nTo: <" + to +
         ">\r\nSubject: " + notice.event + "\r\nDate: " + mail::format_date(now_ms) +
         "\r\nMessage-ID: <" + id + "@" + settings.hostname +
         ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
         "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
         text + "\r\n";
}

// The enhanced code behind the reply's code, where it is one of the same class (RFC 3463 2).
std::string status_in(const std::string& reply, const char* standard) {
  const auto words = base::split(reply, ' ');
  if (words.size() < 2) return standard;
  const auto parts = base::split(words[1], '.');
  const auto is_number = [](std::string_view part) {
    return !part.empty() && part.size() <= 3 &&
           part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const bool is_code = parts.size() == 3 && parts[0].size() == 1 &&
                       std::all_of(parts.begin(), parts.end(), is_number) &&
                       words[1].front() == reply.front();
  return is_code ? std::string(words[1]) : standard;
}

using Wanted = bool (*)(const queue::Message&, const mail::Recipient&);
std::vector<FailedRecipient> recipients_of(const queue::Message& message, const Judged& judged,
                                           queue::RecipientState state, Wanted wanted,
                                           const char* status, std::string_view remote) {
  std::vector<FailedRecipient> told;
  for (const queue::RecipientStatus& one : judged.update.recipients) {
    const mail::Recipient& recipient = message.envelope.recipients[one.index];
    if (one.state != state || !wanted(message, recipient)) continue;
    told.push_back(
        {recipient, status_in(one.last_reply, status), one.last_reply, std::string(remote)});
  }
  return told;
}

}  // namespace

bool wants_delay_notice(const queue::Message& message, const mail::Recipient& recipient) {
  if (message.envelope.mail_from.empty()) return false;
  return recipient.notify.empty() || notify_names(recipient.notify, "DELAY");
}

bool wants_success_notice(const queue::Message& message, const mail::Recipient& recipient) {
  return !message.envelope.mail_from.empty() && notify_names(recipient.notify, "SUCCESS");
}

bool delay_notice_due(const queue::Message& message, const queue::Delivery& delivery,
                      std::int64_t now_ms) {
  const std::int64_t notice_ms = message.arrival_ms + kDelayNoticeMs;
  return now_ms >= notice_ms && delivery.next_attempt_ms <= notice_ms;
}

std::int64_t cap_next_attempt_ms(const queue::Message& message, std::int64_t next_attempt_ms,
                                 std::int64_t now_ms) {
  const std::int64_t notice_ms = message.arrival_ms + kDelayNoticeMs;
  return now_ms < notice_ms ? std::min(next_attempt_ms, notice_ms) : next_attempt_ms;
}

void add_notices(const Workplace& workplace, const Settings& settings,
                 const queue::Message& message, const queue::Delivery& delivery,
                 const std::string& headers, std::string_view remote, Judged& judged) {
  queue::DeliveryUpdate& update = judged.update;
  const std::int64_t now_ms = workplace.clock->wall_ms();
  const auto add = [&](const char* event, const char* action,
                       const std::vector<FailedRecipient>& told, const std::string& more) {
    if (told.empty()) return;
    Notice notice;
    notice.tenant = message.tenant;
    notice.domain = message.domain;
    notice.support_address = message.support_address;
    notice.related_id = message.id.str();
    notice.event = event;
    const std::string original =
        headers.empty() ? stored_headers(workplace, settings, message) : headers;
    notice.details = report_details(message, told, original, action);
    notice.details.insert(notice.details.size() - 1, more);
    const ReportJob report{message, told, action, original, settings.hostname, {}, now_ms, now_ms};
    notice.report = &report;
    update.also.push_back(make_event(workplace, settings, notice));
  };
  if (!update.finished && delay_notice_due(message, delivery, now_ms)) {
    const std::string more = R"(,"arrival":")" + base::format_rfc3339(message.arrival_ms) +
                             R"(","next_attempt":")" +
                             base::format_rfc3339(update.next_attempt_ms) + R"(","expiry":")" +
                             base::format_rfc3339(message.expiry_ms) + '"';
    add("message.delayed", "delayed",
        recipients_of(message, judged, queue::RecipientState::kPending, wants_delay_notice, "4.0.0",
                      remote),
        more);
  }
  if (!update.finished) {
    update.next_attempt_ms = cap_next_attempt_ms(message, update.next_attempt_ms, now_ms);
  }
  add("message.delivered", "relayed",
      recipients_of(message, judged, queue::RecipientState::kDelivered, wants_success_notice,
                    "2.0.0", remote),
      "");
}

queue::NewMessage make_event(const Workplace& workplace, const Settings& settings,
                             const Notice& notice) {
  const std::int64_t now_ms = workplace.clock->wall_ms();
  queue::NewMessage event;
  queue::Message& message = event.message;
  message.id = workplace.ids->next();
  message.kind = queue::Kind::kEvent;
  message.tenant = notice.tenant;
  message.domain = notice.domain;
  message.support_address = notice.support_address;
  message.trust = "none";
  message.related_id = notice.related_id;
  message.event = notice.event;
  message.details = notice.details;
  message.arrival_ms = now_ms;
  message.expiry_ms = now_ms + kEventLifeMs;
  const std::string to =
      notice.support_address.empty() ? "postmaster@" + notice.domain : notice.support_address;
  message.envelope.recipients.push_back({to, "", ""});
  const auto accounts = workplace.accounts->snapshot();
  const policy::Tenant* tenant = accounts->tenant(notice.tenant);
  if (tenant != nullptr && tenant->backend.format != policy::TicketFormat::kJson) {
    event.content = workplace.store->begin_content();
    // Where it cannot be kept, submitting it fails, which is seen there.
    const std::string id = message.id.str();
    if (notice.report != nullptr) {
      ReportJob job = *notice.report;
      job.report_id = id;
      const Report report = make_report(job);
      (void)event.content->append(report.head + report.tail);
    } else {
      (void)event.content->append(as_mail(settings, notice, to, id, now_ms));
    }
  }
  queue::Delivery delivery;
  delivery.destination = "backend:" + notice.tenant;
  delivery.next_attempt_ms = now_ms;
  delivery.recipients.push_back({0, queue::RecipientState::kPending, {}});
  event.deliveries.push_back(std::move(delivery));
  return event;
}

}  // namespace egress
