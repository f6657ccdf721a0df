// The report about recipients (RFC 3464 in a multipart/report, RFC 6522; internationalized by RFC
// 6533) as a message for the back end of the sender. Pure.
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
  std::string diagnostic;  // for people: "550 5.1.1 no such user"
  std::string remote;      // the smarthost's name; "" where nobody was asked
  std::string said{};      // what it said, where `diagnostic` is more than that
};

// Is `word` in a NOTIFY parameter (RFC 3461 4.1)?
bool notify_names(std::string_view notify, std::string_view word);

// Whether anyone is to be told of a failure: a message with the null sender gets no report (RFC
// 5321 4.5.5), nor does a recipient whose NOTIFY does not name FAILURE (RFC 3461 4.1).
bool wants_report(const queue::Message& original, const mail::Recipient& recipient);

struct ReportJob {
  const queue::Message& original;
  const std::vector<FailedRecipient>& recipients;  // of one action
  std::string_view action = "failed";              // RFC 3464 2.3.3: failed, delayed, relayed
  std::string_view original_headers;               // the header section of the original
  std::string_view hostname, report_id;
  std::int64_t wall_ms = 0;
  std::int64_t last_attempt_ms = 0;  // 0 where not known
  bool full = false;                 // the whole message is returned (RFC 3461 4.3)
};
// The whole report is head + tail; with `full` the original stands between them.
struct Report {
  std::string head, tail;
};
Report make_report(const ReportJob& job);

// queue::Message::details of the bounce, or of another event about recipients: what it says beside
// the report. `action` as in RFC 3464 2.3.3.
std::string report_details(const queue::Message& original,
                           const std::vector<FailedRecipient>& failed,
                           std::string_view original_headers, std::string_view action = "failed");

}  // namespace egress
