#include "relayd/admin/trail_words.h"

#include "relayd/admin/accounts_json.h"

namespace admin {
namespace {

using nlohmann::json;
using queue::Step;
using queue::TrailOrigin;
using queue::TrailStep;

std::string joined(const std::vector<std::string>& texts, std::uint64_t count) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
  if (count > texts.size()) {
    out += (out.empty() ? "" : " and ") + std::to_string(count - texts.size()) +
           (out.empty() ? " recipients" : " more");
  }
  return out;
}

std::vector<std::string> addresses(const TrailStep& step, const TrailOrigin* origin) {
  std::vector<std::string> out;
  if (origin == nullptr) return out;
  for (const std::uint32_t index : step.recipients) {
    if (index < origin->recipients.size()) out.push_back(origin->recipients[index]);
  }
  return out;
}

std::string received(const TrailStep& step, const TrailOrigin& origin) {
  if (origin.kind == queue::Kind::kBounce || origin.kind == queue::Kind::kEvent) {
    const std::string event = origin.event.empty() ? "message.bounced" : origin.event;
    return "made by relayd: " + event +
           (origin.related_id.empty() ? "" : " about " + origin.related_id) + ", for " +
           step.destination;
  }
  std::string out = "received from <" + origin.mail_from + "> for " +
                    joined(origin.recipients, origin.recipient_count) + " over " +
                    origin.remote_ip + " (HELO " + origin.helo + "), trust " + origin.trust;
  if (!step.text.empty()) out += ", " + step.text;
  return out + "; for " + step.destination;
}

std::string said(const TrailStep& step) { return step.text.empty() ? "" : ": " + step.text; }

}  // namespace

std::string_view kind_name(queue::Kind kind) {
  switch (kind) {
    case queue::Kind::kInbound:
      return "inbound";
    case queue::Kind::kOutbound:
      return "outbound";
    case queue::Kind::kBounce:
      return "bounce";
    case queue::Kind::kEvent:
      return "event";
  }
  return "";
}

const TrailOrigin* origin_of(const std::vector<TrailStep>& steps) {
  return steps.empty() || !steps.front().origin ? nullptr : &*steps.front().origin;
}

std::string sentence(const TrailStep& step, const TrailOrigin* origin) {
  const std::string whom = step.recipient_count == 0
                               ? std::string()
                               : " for " + joined(addresses(step, origin), step.recipient_count);
  const std::string host = step.remote.empty() ? "" : " (" + step.remote + ")";
  const std::string next =
      step.next_attempt_ms == 0 ? "" : "; next try " + rfc3339(step.next_attempt_ms);
  const std::string attempt = "attempt " + std::to_string(step.attempts);
  switch (step.step) {
    case Step::kReceived:
      return step.origin ? received(step, *step.origin) : "received";
    case Step::kDelivered:
      return "delivered" + whom + " to " + step.destination + host +
             (step.remote_id.empty() ? "" : " as " + step.remote_id) + said(step);
    case Step::kDeferred:
      return attempt + " deferred" + whom + " by " + step.destination + host + next + said(step);
    case Step::kPutOff:
      return "put off" + whom + ", " + step.destination + next + said(step);
    case Step::kFailed:
      return attempt + " failed for good" + whom + " at " + step.destination + host + said(step);
    case Step::kExpired:
      return "expired" + whom + ", given up after " + attempt + " at " + step.destination +
             said(step);
    case Step::kHeld:
      return "held by relayd, " + step.destination + said(step);
    case Step::kHeldByOperator:
      return "held by the operator, " + step.destination + said(step);
    case Step::kReleased:
      return "released by the operator, " + step.destination;
    case Step::kRetried:
      return "retried by the operator, " + step.destination;
    case Step::kRemoved:
      return "removed by the operator, " + step.destination;
    case Step::kEvent:
      return "event " + step.text + " made as " + step.related + " for " + step.destination;
  }
  return "";
}

json step_json(const TrailStep& step, const TrailOrigin* origin) {
  json out = {{"time", rfc3339(step.at_ms)},
              {"number", step.number},
              {"step", queue::name(step.step)},
              {"sentence", sentence(step, origin)}};
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) out[key] = value;
  };
  add("destination", step.destination);
  add("text", step.text);
  add("remote", step.remote);
  add("remote_id", step.remote_id);
  add("event_id", step.related);
  if (step.attempts > 0) out["attempts"] = step.attempts;
  if (step.next_attempt_ms != 0) out["next_attempt"] = rfc3339(step.next_attempt_ms);
  if (step.recipient_count > 0) {
    out["recipients"] = addresses(step, origin);
    out["recipient_count"] = step.recipient_count;
  }
  if (!step.origin) return out;
  const TrailOrigin& o = *step.origin;
  out["kind"] = kind_name(o.kind);
  out["tenant"] = o.tenant;
  out["domain"] = o.domain;
  out["mail_from"] = o.mail_from;
  out["recipients"] = o.recipients;
  out["recipient_count"] = o.recipient_count;
  out["trust"] = o.trust;
  out["size"] = o.size;
  add("message_id", o.message_id);
  add("helo", o.helo);
  add("remote_ip", o.remote_ip);
  add("related_id", o.related_id);
  add("event", o.event);
  return out;
}

}  // namespace admin
