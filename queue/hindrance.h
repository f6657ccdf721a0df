// What stands in the way of a delivery at this moment, as the room says that is to send it: a
// smarthost's lane or the hand-off to a back end. Plain data; the queue is where those two and the
// admin API meet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace queue {

// The names are fixed: `waits_for` of `relayctl explain` and `queue show`.
enum class Wait : std::uint8_t {
  kTurn,         // nothing of the destination's: its time, or those before it
  kInHand,       // it is being sent, or its outcome is being written
  kQueue,        // outcomes cannot be written: the disk is full, or the queue has failed
  kNoSmarthost,  // none is configured
  kLocked,       // the account is locked after failed logins
  kLoginProbe,   // another connection tries the login that failed
  kRate,         // so many messages a minute or a day were sent
  kTrouble,      // the last connection was of no use: DNS, connecting, TLS, greeting, login
  kConnections,  // as many connections as there may be are busy
  kReconnect,    // the smarthost's reconnect_interval
  kRefused,      // the back end refuses tickets: 401, 403, 404, 410
  kUnavailable,  // the back end is not there, or asked to be left alone for a while
  kBackOff,      // its own time for the next attempt
  kHeld,         // it is not waiting but held
};

constexpr std::string_view name(Wait wait) {
  switch (wait) {
    case Wait::kTurn:
      return "turn";
    case Wait::kInHand:
      return "in hand";
    case Wait::kQueue:
      return "queue";
    case Wait::kNoSmarthost:
      return "no smarthost";
    case Wait::kLocked:
      return "locked account";
    case Wait::kLoginProbe:
      return "login probe";
    case Wait::kRate:
      return "rate";
    case Wait::kTrouble:
      return "smarthost trouble";
    case Wait::kConnections:
      return "connections";
    case Wait::kReconnect:
      return "reconnect interval";
    case Wait::kRefused:
      return "back end refuses";
    case Wait::kUnavailable:
      return "back end unavailable";
    case Wait::kBackOff:
      return "back-off";
    case Wait::kHeld:
      return "held";
  }
  return "";
}

struct Hindrance {
  Wait wait = Wait::kTurn;
  std::string what;           // the account, the rate, the number of connections
  std::string said;           // what the other side said, or what went wrong; verbatim
  std::int64_t since_ms = 0;  // wall; 0: not known
  std::int64_t until_ms = 0;  // wall; 0: not known
};

}  // namespace queue
