#include "relayd/admin/explanation.h"

#include <algorithm>

#include "relayd/admin/accounts_json.h"
#include "relayd/admin/trail_words.h"

namespace admin {
namespace {

using queue::Step;
using queue::TrailStep;
using queue::Wait;

// What was put off until a hindrance ends says so by its due time, which was reckoned then, and by
// another clock than the hindrance now.
constexpr std::int64_t kSameMomentMs = 1000;

std::string key_of(const std::string& destination) {
  return destination.substr(std::min(destination.size(), destination.find(':') + 1));
}

// What holds the whole destination, whatever the message's own time says: when it ends, what was
// put off for it is tried at once.
bool is_strong(Wait wait) {
  switch (wait) {
    case Wait::kInHand:
    case Wait::kQueue:
    case Wait::kNoSmarthost:
    case Wait::kLocked:
    case Wait::kLoginProbe:
    case Wait::kTrouble:
    case Wait::kRefused:
    case Wait::kUnavailable:
    case Wait::kHeld:
      return true;
    default:
      return false;
  }
}

// Of the delivery's destination, the last step of a kind.
template <typename Is>
const TrailStep* last_step(const Situation& s, Is is) {
  const auto at = std::find_if(s.trail.rbegin(), s.trail.rend(), [&](const TrailStep& step) {
    return step.destination == s.delivery.destination && is(step.step);
  });
  return at == s.trail.rend() ? nullptr : &*at;
}

Wait wait_of(const Situation& s) {
  if (s.delivery.state == queue::State::kHeld) return Wait::kHeld;
  const queue::Hindrance& h = s.hindrance;
  if (is_strong(h.wait)) return h.wait;
  if (s.delivery.next_attempt_ms > std::max(s.now_ms, h.until_ms + kSameMomentMs)) {
    return Wait::kBackOff;
  }
  return h.wait;
}

struct Words {
  std::string why;  // goes on behind "It waits for DESTINATION: "
  std::string advice;
};

Words held(const Situation& s) {
  const std::string id = s.message.id.str();
  const std::string release = "`relayctl queue release " + id +
                              "` sends it on, `relayctl queue remove " + id + "` throws it away";
  const std::string& reason = s.delivery.last_reply;
  const TrailStep* step =
      last_step(s, [](Step one) { return one == Step::kHeld || one == Step::kHeldByOperator; });
  const bool by_operator =
      step != nullptr ? step->step == Step::kHeldByOperator : reason == "held by the operator";
  if (by_operator) return {"held by the operator", release};
  if (reason.starts_with("header guard")) {
    return {"held by relayd, because the message on disk is not what came in",
            "look at the disk and at what the guard names; " + release};
  }
  if (reason.starts_with("damaged")) {
    return {"held by relayd, because its bytes on disk are damaged",
            "restore it from a backup or ask the sender again; " + release};
  }
  if (reason.starts_with("HTTP 4")) {
    return {"held by relayd, because the back end does not take this ticket as it is",
            "mend what the back end complains of; " + release};
  }
  return {"held by relayd", "look at the reason; " + release};
}

Words turn(const Situation& s) {
  if (s.before == 0)
    return {"nothing; it is due and goes out next", "nothing; ask again in a moment"};
  const std::string count =
      (s.before >= kCountedBefore ? "more than " : "") + std::to_string(s.before);
  return {"its turn; " + count + " that are for the same destination came before it",
          "nothing; `relayctl queue list --destination " + s.delivery.destination +
              "` shows the others"};
}

Words words(const Situation& s, Wait wait) {
  const queue::Hindrance& h = s.hindrance;
  const std::string key = key_of(s.delivery.destination);
  switch (wait) {
    case Wait::kHeld:
      return held(s);
    case Wait::kTurn:
      return turn(s);
    case Wait::kInHand:
      return {"nothing; it is in hand: being sent, or its outcome is being written down",
              "nothing; ask again in a moment"};
    case Wait::kQueue:
      return {
          "the queue, which cannot write down outcomes now; nothing is sent meanwhile, so that "
          "nothing is sent twice",
          "make room on the disk of state_dir, or see `relayctl status` for what failed"};
    case Wait::kNoSmarthost:
      return {"a smarthost; none is set for " + key,
              "set one with `relayctl smarthost add`, or remove the message"};
    case Wait::kLocked:
      return {"the account " + h.what + ", which is locked after failed logins",
              "check its user name and password and set them anew, which unlocks it; or, once it "
              "is mended there, `relayctl smarthost unlock " +
                  key + "`"};
    case Wait::kLoginProbe:
      return {"one login of the account " + h.what + " that is being tried after failed ones",
              "nothing; ask again in a moment"};
    case Wait::kRate:
      return {"the rate of " + h.what,
              "nothing; or raise the smarthost's rate where its provider allows more"};
    case Wait::kTrouble:
      return {"the smarthost " + h.what + ", which cannot be used",
              "mend what it says there (address, port, TLS, certificate, login); then `relayctl "
              "queue retry " +
                  s.message.id.str() + "` tries at once"};
    case Wait::kConnections:
      return {"one of the " + h.what + " connections there may be at once; all are busy" +
                  (s.before == 0 ? "" : ", and " + std::to_string(s.before) + " came before it"),
              "nothing; or allow more connections where the other side bears them"};
    case Wait::kReconnect:
      return {"the reconnect interval of the smarthost",
              "nothing; or lower the smarthost's reconnect_interval"};
    case Wait::kRefused:
      return {
          "the back end of " + h.what +
              ", which refuses tickets; one ticket asks again now and "
              "then, and the others follow when it is taken",
          "look at its URL and its webhook secret; when it is mended, `relayctl backend resume " +
              h.what + "`"};
    case Wait::kUnavailable:
      return {"the back end of " + h.what +
                  ", which is not there or asked for a pause; one ticket "
                  "asks again then, and the others follow when it is taken",
              "nothing where it comes back by itself; `relayctl backend resume " + h.what +
                  "` asks at once"};
    case Wait::kBackOff:
      return {"its own time for the next attempt (queue.retry)",
              "nothing where what the other side said passes by itself; `relayctl queue retry " +
                  s.message.id.str() + "` tries at once"};
  }
  return {};
}

std::int64_t since_of(const Situation& s, Wait wait) {
  const TrailStep* step = nullptr;
  if (wait == Wait::kBackOff) {
    step = last_step(s, [](Step one) { return one == Step::kDeferred || one == Step::kPutOff; });
  } else if (wait == Wait::kHeld) {
    step =
        last_step(s, [](Step one) { return one == Step::kHeld || one == Step::kHeldByOperator; });
  } else if (s.hindrance.since_ms != 0) {
    return s.hindrance.since_ms;
  }
  return step != nullptr ? step->at_ms : s.message.arrival_ms;
}

// 0: none by itself, or at any moment.
std::int64_t next_attempt_of(const Situation& s, Wait wait) {
  switch (wait) {
    case Wait::kHeld:
    case Wait::kInHand:
    case Wait::kQueue:
    case Wait::kNoSmarthost:
      return 0;
    case Wait::kLocked:
    case Wait::kTrouble:
    case Wait::kRefused:
    case Wait::kUnavailable:
      return s.hindrance.until_ms != 0 ? s.hindrance.until_ms : s.delivery.next_attempt_ms;
    default:
      return std::max(s.delivery.next_attempt_ms, s.hindrance.until_ms);
  }
}

bool is_soon(Wait wait) {
  return wait == Wait::kTurn || wait == Wait::kConnections || wait == Wait::kLoginProbe;
}

}  // namespace

Explanation explain(const Situation& s) {
  Explanation out;
  out.wait = wait_of(s);
  const Words said = words(s, out.wait);
  out.since_ms = since_of(s, out.wait);
  out.next_attempt_ms = next_attempt_of(s, out.wait);
  if (is_soon(out.wait) && out.next_attempt_ms <= s.now_ms) out.next_attempt_ms = 0;
  out.last_reply = s.hindrance.said.empty() || out.wait == Wait::kBackOff || out.wait == Wait::kHeld
                       ? s.delivery.last_reply
                       : s.hindrance.said;
  out.advice = said.advice;

  const bool is_held = out.wait == Wait::kHeld;
  out.text =
      "Message " + s.message.id.str() + " from <" + s.message.envelope.mail_from + "> for " +
      s.delivery.destination + (is_held ? " is " : " waits for ") + said.why + ", since " +
      rfc3339(out.since_ms) + ". It came in at " + rfc3339(s.message.arrival_ms) + ", and " +
      (s.delivery.attempts == 0   ? std::string("no attempt was made yet. ")
       : s.delivery.attempts == 1 ? std::string("one attempt was made. ")
                                  : std::to_string(s.delivery.attempts) + " attempts were made. ");
  if (out.next_attempt_ms != 0) {
    out.text += "The next try is at " + rfc3339(out.next_attempt_ms) + ". ";
  } else if (is_held) {
    out.text += "It is not tried until it is released. ";
  } else if (is_soon(out.wait)) {
    out.text += "The next try is as soon as may be. ";
  }
  if (!out.last_reply.empty()) {
    out.text += (is_held ? "The reason: \"" : "What was said last: \"") + out.last_reply + "\". ";
  }
  out.text += "What to do: " + out.advice + ".";
  return out;
}

Fate explain_gone(const std::string& id, const std::vector<TrailStep>& trail) {
  const auto rank = [](Step step) {
    switch (step) {
      case Step::kDelivered:
        return 1;
      case Step::kRemoved:
        return 2;
      case Step::kExpired:
        return 3;
      case Step::kFailed:
        return 4;
      default:
        return 0;
    }
  };
  Fate fate{"unknown", 0, {}};
  int worst = 0;
  const queue::TrailOrigin* origin = origin_of(trail);
  std::string ends;
  for (const TrailStep& step : trail) {
    const bool tells = rank(step.step) > 0 || step.step == Step::kEvent;
    if (!tells) continue;
    ends += (ends.empty() ? "" : "; ") + std::string("at ") + rfc3339(step.at_ms) + " " +
            sentence(step, origin);
    fate.gone_ms = step.at_ms;
    if (rank(step.step) <= worst) continue;
    worst = rank(step.step);
    fate.outcome = queue::name(step.step);
  }
  fate.text = "Message " + id +
              (origin == nullptr ? std::string() : " from <" + origin->mail_from + ">") +
              " is no longer in the queue";
  if (!trail.empty() && origin != nullptr) {
    fate.text += "; it came in at " + rfc3339(trail.front().at_ms);
  }
  fate.text += ends.empty() ? ", and the trail does not say what became of it."
                            : ". What became of it: " + ends + ".";
  return fate;
}

}  // namespace admin
