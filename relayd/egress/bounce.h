// The report about recipients that failed for good (RFC 3464 in a multipart/report, RFC 6522), as a
// message for the back end of the sender. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "queue/records.h"

namespace egress {

struct FailedRecipient {
  mail::Recipient recipient;
  std::string status;      // RFC 3463: "5.1.1"
  std::string diagnostic;  // what the smarthost said: "550 5.1.1 no such user"
  std::string remote;      // the smarthost's name; "" where nobody was asked
};

// Whether anyone is to be told: a message with the null sender gets no report (RFC 5321 4.5.5), nor
// does a recipient with NOTIFY=NEVER (RFC 3461 4.1).
bool wants_report(const queue::Message& original, const mail::Recipient& recipient);

// The whole report. `original_headers` is the header section of the returned message.
std::string make_report(const queue::Message& original, const std::vector<FailedRecipient>& failed,
                        std::string_view original_headers, std::string_view hostname,
                        std::string_view report_id, std::int64_t wall_ms);

// queue::Message::details of the bounce, or of another event about recipients: what it says beside
// the report. `action` as in RFC 3464 2.3.3.
std::string report_details(const queue::Message& original,
                           const std::vector<FailedRecipient>& failed,
                           std::string_view original_headers, std::string_view action = "failed");

}  // namespace egress
