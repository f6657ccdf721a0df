#include "queue/trail_step.h"

#include "queue/record_bytes.h"

namespace queue {
namespace {

constexpr std::uint8_t kVersion = 1;
// Octets that a step takes, as a rule.
constexpr std::size_t kStepAlone = 250;
constexpr std::size_t kStepWithOrigin = 500;

// Most steps have few of these; a bit each says which follow.
enum Field : std::uint64_t {
  kDestination = 1,
  kNext = 2,
  kText = 4,
  kRemote = 8,
  kRemoteId = 16,
  kRelated = 32,
  kRecipients = 64,
  kOrigin = 128,
  kAllFields = 255,
};

std::uint64_t fields_of(const TrailStep& step) {
  return (step.destination.empty() ? 0 : std::uint64_t{kDestination}) |
         (step.next_attempt_ms == 0 ? 0 : std::uint64_t{kNext}) |
         (step.text.empty() ? 0 : std::uint64_t{kText}) |
         (step.remote.empty() ? 0 : std::uint64_t{kRemote}) |
         (step.remote_id.empty() ? 0 : std::uint64_t{kRemoteId}) |
         (step.related.empty() ? 0 : std::uint64_t{kRelated}) |
         (step.recipient_count == 0 ? 0 : std::uint64_t{kRecipients}) |
         (step.origin ? std::uint64_t{kOrigin} : 0);
}

void write_origin(Writer& out, const TrailOrigin& origin) {
  out.octet(static_cast<std::uint8_t>(origin.kind));
  for (const std::string* text :
       {&origin.tenant, &origin.domain, &origin.mail_from, &origin.message_id, &origin.helo,
        &origin.remote_ip, &origin.trust, &origin.related_id, &origin.event}) {
    out.text(*text);
  }
  out.number(origin.size);
  out.number(origin.recipient_count);
  out.number(origin.recipients.size());
  for (const std::string& recipient : origin.recipients) out.text(recipient);
}

TrailOrigin read_origin(Reader& in) {
  TrailOrigin origin;
  origin.kind = static_cast<Kind>(in.octet_in(1, 4));
  for (std::string* text :
       {&origin.tenant, &origin.domain, &origin.mail_from, &origin.message_id, &origin.helo,
        &origin.remote_ip, &origin.trust, &origin.related_id, &origin.event}) {
    *text = in.text();
  }
  origin.size = in.number();
  origin.recipient_count = in.number();
  const std::uint64_t recipients = in.count(1);
  origin.recipients.reserve(recipients);
  for (std::uint64_t i = 0; i < recipients && in.ok(); ++i) origin.recipients.push_back(in.text());
  return origin;
}

}  // namespace

std::string_view name(Step step) {
  switch (step) {
    case Step::kReceived:
      return "received";
    case Step::kDelivered:
      return "delivered";
    case Step::kDeferred:
      return "deferred";
    case Step::kPutOff:
      return "put off";
    case Step::kFailed:
      return "failed";
    case Step::kExpired:
      return "expired";
    case Step::kHeld:
      return "held";
    case Step::kHeldByOperator:
      return "held by the operator";
    case Step::kReleased:
      return "released";
    case Step::kRetried:
      return "retried";
    case Step::kRemoved:
      return "removed";
    case Step::kEvent:
      return "event";
  }
  return "";
}

std::string encode_step(const TrailStep& step) {
  const std::uint64_t fields = fields_of(step);
  Writer out(step.origin ? kStepWithOrigin : kStepAlone);
  out.octet(kVersion);
  out.octet(static_cast<std::uint8_t>(step.step));
  out.number(fields);
  out.signed_number(step.at_ms);
  out.number(step.attempts);
  if ((fields & kDestination) != 0) out.text(step.destination);
  if ((fields & kNext) != 0) out.signed_number(step.next_attempt_ms);
  if ((fields & kText) != 0) out.text(step.text);
  if ((fields & kRemote) != 0) out.text(step.remote);
  if ((fields & kRemoteId) != 0) out.text(step.remote_id);
  if ((fields & kRelated) != 0) out.text(step.related);
  if ((fields & kRecipients) != 0) {
    out.number(step.recipient_count);
    out.number(step.recipients.size());
    for (const std::uint32_t recipient : step.recipients) out.number(recipient);
  }
  if (step.origin) write_origin(out, *step.origin);
  out.number(step.terms.size());
  if (!step.terms.empty()) out.number(step.bucket);
  for (const std::uint64_t term : step.terms) out.fixed(term, 8);
  return out.take();
}

std::optional<TrailStep> decode_step(std::uint32_t number, std::string_view record) {
  Reader in(record);
  if (in.octet() != kVersion) return std::nullopt;
  TrailStep step;
  step.number = number;
  step.step = static_cast<Step>(in.octet_in(1, static_cast<std::uint8_t>(Step::kEvent)));
  const std::uint64_t fields = in.number();
  if (fields > kAllFields) return std::nullopt;
  step.at_ms = in.signed_number();
  step.attempts = in.number32();
  if ((fields & kDestination) != 0) step.destination = in.text();
  if ((fields & kNext) != 0) step.next_attempt_ms = in.signed_number();
  if ((fields & kText) != 0) step.text = in.text();
  if ((fields & kRemote) != 0) step.remote = in.text();
  if ((fields & kRemoteId) != 0) step.remote_id = in.text();
  if ((fields & kRelated) != 0) step.related = in.text();
  if ((fields & kRecipients) != 0) {
    step.recipient_count = in.number();
    const std::uint64_t recipients = in.count(1);
    step.recipients.reserve(recipients);
    for (std::uint64_t i = 0; i < recipients && in.ok(); ++i) {
      step.recipients.push_back(in.number32());
    }
  }
  if ((fields & kOrigin) != 0) step.origin = read_origin(in);
  const std::uint64_t terms = in.count(8);
  if (terms > 0) step.bucket = in.number32();
  step.terms.reserve(terms);
  for (std::uint64_t i = 0; i < terms && in.ok(); ++i) step.terms.push_back(in.fixed(8));
  if (!in.done()) return std::nullopt;
  return step;
}

}  // namespace queue
