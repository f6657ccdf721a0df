// From what a smarthost said to what the queue keeps: delivered, failed (with a report) or again
// later. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/smtp/reply.h"
#include "queue/store.h"
#include "relayd/egress/bounce.h"

namespace egress {

// The n-th retry (1, 2, ...) of a delivery, with ten percent of jitter either way so that what
// failed together does not come back together. `spread` is any number; it decides the jitter.
std::int64_t retry_delay_ms(const std::vector<std::int64_t>& retry_ms, std::uint32_t attempt,
                            std::uint64_t spread);

struct Judged {
  queue::DeliveryUpdate update;
  std::vector<FailedRecipient> failed;  // who failed now
  std::uint32_t delivered = 0;
};

// `replies` belongs to the pending recipients of `delivery`, in order. `remote` names the
// smarthost.
Judged judge_replies(const queue::Message& message, const queue::Delivery& delivery,
                     const std::vector<smtp::Reply>& replies, std::string_view remote,
                     const std::vector<std::int64_t>& retry_ms, std::int64_t now_ms);

// Nothing was said about this message: the connection, the login or the lookup failed.
Judged judge_no_attempt(const queue::Message& message, const queue::Delivery& delivery,
                        const std::string& why, std::string_view remote,
                        const std::vector<std::int64_t>& retry_ms, std::int64_t now_ms);

// What can still be written down of `update` where its report cannot: who was delivered is done
// with, who failed is tried again at `next_attempt_ms`. An update without a report as it is.
queue::DeliveryUpdate without_report(const queue::DeliveryUpdate& update,
                                     std::int64_t next_attempt_ms);

// The indexes in the envelope of the recipients that are still to be served.
std::vector<std::uint32_t> pending_recipients(const queue::Delivery& delivery);

}  // namespace egress
