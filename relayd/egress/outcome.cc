#include "relayd/egress/outcome.h"

#include <algorithm>

#include "relayd/egress/remote_id.h"

namespace egress {
namespace {

std::string status_of(const smtp::Reply& reply) {
  if (!reply.enhanced.empty()) return reply.enhanced;
  return reply.permanent() ? "5.0.0" : "4.0.0";
}

}  // namespace

std::int64_t retry_delay_ms(const std::vector<std::int64_t>& retry_ms, std::uint32_t attempt,
                            std::uint64_t spread) {
  const std::size_t step = std::min<std::size_t>(std::max(attempt, 1U) - 1, retry_ms.size() - 1);
  const std::int64_t delay_ms = retry_ms[step];
  const std::int64_t tenth_ms = delay_ms / 10;
  if (tenth_ms == 0) return delay_ms;
  return delay_ms - tenth_ms +
         static_cast<std::int64_t>(spread % static_cast<std::uint64_t>(2 * tenth_ms + 1));
}

std::vector<std::uint32_t> pending_recipients(const queue::Delivery& delivery) {
  std::vector<std::uint32_t> pending;
  pending.reserve(delivery.recipients.size());
  for (const queue::RecipientStatus& recipient : delivery.recipients) {
    if (recipient.state == queue::RecipientState::kPending) pending.push_back(recipient.index);
  }
  return pending;
}

Judged judge_replies(const queue::Message& message, const queue::Delivery& delivery,
                     const std::vector<smtp::Reply>& replies, std::string_view remote,
                     const std::vector<std::int64_t>& retry_ms, std::int64_t now_ms) {
  Judged judged;
  queue::DeliveryUpdate& update = judged.update;
  update.id = delivery.id;
  update.index = delivery.index;
  update.attempts = delivery.attempts + 1;
  update.finished = true;
  update.note.remote = remote;
  const bool expired = message.expiry_ms <= now_ms;
  const std::vector<std::uint32_t> pending = pending_recipients(delivery);
  update.recipients.reserve(pending.size());
  for (std::size_t i = 0; i < pending.size() && i < replies.size(); ++i) {
    const smtp::Reply& reply = replies[i];
    const mail::Recipient& recipient = message.envelope.recipients[pending[i]];
    queue::RecipientStatus status{pending[i], queue::RecipientState::kPending, reply.str()};
    if (reply.positive()) {
      status.state = queue::RecipientState::kDelivered;
      ++judged.delivered;
      if (update.note.remote_id.empty()) update.note.remote_id = remote_queue_id(reply.text);
    } else if (reply.permanent()) {
      status.state = queue::RecipientState::kFailed;
      judged.failed.push_back({recipient, status_of(reply), reply.str(), std::string(remote)});
    } else if (expired) {
      update.note.expired = true;
      // RFC 3463 3.5: delivery time expired; a persistent transient failure all the same.
      status.state = queue::RecipientState::kFailed;
      judged.failed.push_back({recipient, "4.4.7",
                               "given up: queue.expire has passed; last: " + reply.str(),
                               std::string(remote), remote.empty() ? std::string() : reply.str()});
    } else {
      update.finished = false;
      update.last_reply = reply.str();
    }
    update.recipients.push_back(std::move(status));
  }
  if (!update.finished) {
    const auto spread = static_cast<std::uint64_t>(delivery.id.bytes[15]) * 7919U +
                        static_cast<std::uint64_t>(now_ms);
    update.next_attempt_ms = now_ms + retry_delay_ms(retry_ms, update.attempts, spread);
  }
  return judged;
}

Judged judge_no_attempt(const queue::Message& message, const queue::Delivery& delivery,
                        const std::string& why, std::string_view /*remote*/,
                        const std::vector<std::int64_t>& retry_ms, std::int64_t now_ms) {
  const std::vector<smtp::Reply> replies(pending_recipients(delivery).size(),
                                         smtp::Reply{451, "4.4.1", why});
  // No server has said anything about these recipients.
  Judged judged = judge_replies(message, delivery, replies, {}, retry_ms, now_ms);
  for (FailedRecipient& failed : judged.failed) {
    failed.diagnostic = "given up: queue.expire has passed; last: " + why;
  }
  for (queue::RecipientStatus& recipient : judged.update.recipients) recipient.last_reply = why;
  judged.update.last_reply = why;
  return judged;
}

queue::DeliveryUpdate without_report(const queue::DeliveryUpdate& update,
                                     std::int64_t next_attempt_ms) {
  queue::DeliveryUpdate out;
  out.id = update.id;
  out.index = update.index;
  out.recipients = update.recipients;
  out.finished = update.finished;
  out.state = update.state;
  out.attempts = update.attempts;
  out.next_attempt_ms = update.next_attempt_ms;
  out.last_reply = update.last_reply;
  out.note = update.note;
  const bool only_events = std::all_of(
      update.also.begin(), update.also.end(),
      [](const queue::NewMessage& also) { return also.message.kind == queue::Kind::kEvent; });
  if (only_events) return out;  // not worth sending a message twice
  std::erase_if(out.recipients, [](const queue::RecipientStatus& recipient) {
    return recipient.state == queue::RecipientState::kFailed;
  });
  out.finished = false;
  out.next_attempt_ms = next_attempt_ms;
  out.last_reply = "the bounce could not be written; will try again";
  return out;
}

}  // namespace egress
