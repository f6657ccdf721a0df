// What an answer of a back end means for the ticket and for the others that wait for the same back
// end: product rule T4 as one pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tickets {

// What came back from one attempt.
struct Answer {
  int status = 0;              // HTTP status; 0 where none came
  std::string retry_after;     // the field, "" where absent
  std::string body_start;      // the first characters
  std::string error;           // status 0: what went wrong, for a person
  bool connected = true;       // status 0: had there been a connection (TCP and TLS)?
  std::string ticket_id = {};  // the field X-Ticket-Id, "" where absent
};

enum class Outcome : std::uint8_t {
  kDelivered,  // 2xx
  kRetry,      // this ticket again after its back-off
  kLater,      // 429 503: all of its tickets wait, for Retry-After or else the back-off
  kDown,       // nobody there: all of its tickets wait, one asks again
  kRefused,    // 401 403 404 410: all of its tickets wait, an alarm, one asks again
  kHeld,       // 413 415 422: this ticket waits for the operator
};
Outcome classify(const Answer& answer);

// "HTTP 422: the first words of the body" or the error, in at most about 250 printable octets.
std::string last_reply(const Answer& answer);

// RFC 9110 10.2.3: seconds or an HTTP date. 0 for a moment that has passed, one day at most;
// nullopt where it is neither.
std::optional<std::int64_t> retry_after_ms(std::string_view value, std::int64_t now_ms);

}  // namespace tickets
