// What back ends are told beside bounces (product rule O7): message.delayed, message.delivered,
// connector.locked and unlocked, as queue records of kind kEvent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "queue/store.h"
#include "relayd/egress/outcome.h"
#include "relayd/egress/settings.h"

namespace egress {

// Long enough that greylisting and a reboot of the smarthost are over, soon enough that people can
// still reach for the telephone; what Postfix and Sendmail users are used to.
inline constexpr std::int64_t kDelayNoticeMs = 4 * base::kHour;

// RFC 3461 4.1: DELAY where NOTIFY names it or says nothing; SUCCESS only where NOTIFY names it.
// Nobody where the message has the null sender.
bool wants_delay_notice(const queue::Message& message, const mail::Recipient& recipient);
bool wants_success_notice(const queue::Message& message, const mail::Recipient& recipient);

// Once a delivery: the first outcome at or after kDelayNoticeMs. That it is the first follows from
// its due time: an earlier outcome has set that no later than the notice (see cap_next_attempt).
bool delay_notice_due(const queue::Message& message, const queue::Delivery& delivery,
                      std::int64_t now_ms);
// The next attempt is no later than the notice, while that is still to come.
std::int64_t cap_next_attempt_ms(const queue::Message& message, std::int64_t next_attempt_ms,
                                 std::int64_t now_ms);

// Adds to `judged.update.also` what is due; to be called when the update is otherwise complete.
// `delivery` is as it was before the attempt.
void add_notices(const Workplace& workplace, const Settings& settings,
                 const queue::Message& message, const queue::Delivery& delivery,
                 const std::string& headers, std::string_view remote, Judged& judged);

// An event for the back end of a tenant. `details` is a JSON object, `text` the same in words, for
// back ends that take messages, not JSON.
struct Notice {
  std::string tenant, domain, support_address;
  std::string event;  // "connector.locked"
  std::string details, text;
  std::string related_id;
  const ReportJob* report = nullptr;  // in place of `text`: an event about recipients
};
queue::NewMessage make_event(const Workplace& workplace, const Settings& settings,
                             const Notice& notice);

}  // namespace egress
