#include "queue/trail.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/limits.h"

namespace queue {
namespace {

constexpr std::int64_t kLookAgainMs = base::kMinute;
// Of one step; a message to more recipients is found by the first of them.
constexpr std::size_t kTermsMax = 130;
constexpr std::size_t kTermOctetsMax = 1000;
// Of one update: groups of recipients who got the same answer.
constexpr std::size_t kGroupsMax = 4;
constexpr std::size_t kTermKeyOctets = 4 + 8 + 16;

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  }
  return value;
}

Key term_key(std::uint32_t bucket, std::uint64_t hash, std::string_view id) {
  Key key;
  key.append_big_endian(bucket, 4);
  key.append_big_endian(hash, 8);
  key.append(id);
  return key;
}

Key step_key(const base::Id& id, std::uint32_t number) { return delivery_key(id, number); }

std::string kept(std::string_view text) { return base::printable(text, kTrailTextMax); }

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void mix(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

// SipHash-2-4 (Aumasson, Bernstein 2012).
std::uint64_t siphash(std::string_view key, std::string_view text) {
  const std::uint64_t k0 = little_endian(key.substr(0, 8));
  const std::uint64_t k1 = little_endian(key.substr(8, 8));
  SipState state{k0 ^ 0x736f6d6570736575U, k1 ^ 0x646f72616e646f6dU, k0 ^ 0x6c7967656e657261U,
                 k1 ^ 0x7465646279746573U};
  const std::size_t whole = text.size() / 8 * 8;
  for (std::size_t at = 0; at < whole; at += 8) state.mix(little_endian(text.substr(at, 8)));
  state.mix(static_cast<std::uint64_t>(text.size()) << 56 | little_endian(text.substr(whole)));
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

Step step_of(RecipientState state, const DeliveryUpdate& update, const Delivery& before) {
  switch (state) {
    case RecipientState::kDelivered:
      return Step::kDelivered;
    case RecipientState::kFailed:
      return update.note.expired ? Step::kExpired : Step::kFailed;
    case RecipientState::kPending:
      break;
  }
  if (!update.finished && update.state == State::kHeld) return Step::kHeld;
  return update.attempts > before.attempts ? Step::kDeferred : Step::kPutOff;
}

// Recipients who got the same answer share a step.
std::vector<TrailStep> group(const DeliveryUpdate& update, const Delivery& before) {
  std::vector<TrailStep> steps;
  const auto add = [&](RecipientState state, const std::string& reply) {
    const Step step = step_of(state, update, before);
    const std::string text = kept(reply);
    for (TrailStep& known : steps) {
      if (known.step == step && (known.text == text || steps.size() == kGroupsMax)) return &known;
    }
    if (steps.size() == kGroupsMax) return &steps.back();
    TrailStep& made = steps.emplace_back();
    made.step = step;
    made.text = text;
    return &made;
  };
  for (const RecipientStatus& status : update.recipients) {
    TrailStep* step = add(status.state, status.last_reply);
    ++step->recipient_count;
    if (step->recipients.size() < kTrailRecipientsMax) step->recipients.push_back(status.index);
  }
  if (steps.empty() || (!update.finished && update.state == State::kHeld)) {
    add(update.finished ? RecipientState::kDelivered : RecipientState::kPending, update.last_reply);
  }
  return steps;
}

}  // namespace

std::uint64_t term_hash(std::string_view uuid, std::string_view term) {
  term = base::trim(term);
  if (term.starts_with('<') && term.ends_with('>') && term.size() > 2) {
    term = term.substr(1, term.size() - 2);
  }
  std::array<char, kTermOctetsMax> lower;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const std::size_t size = std::min(term.size(), lower.size());
  std::transform(term.begin(), term.begin() + static_cast<std::ptrdiff_t>(size), lower.begin(),
                 [](char c) { return base::ascii_lower(c); });
  return siphash(uuid, {lower.data(), size});
}

void TrailWriter::find_by(const base::Id& id, TrailStep& step, std::string_view term) {
  if (term.empty() || term == "<>" || step.terms.size() == kTermsMax) return;
  const std::uint64_t hash = term_hash(txn_.environment().uuid(), term);
  if (std::find(step.terms.begin(), step.terms.end(), hash) != step.terms.end()) return;
  if (step.terms.empty()) {  // all of a step in one
    step.terms.reserve(4);   // sender, recipient, Message-ID, a related one
    if (bucket_.rows >= kBucketRows) bucket_ = {bucket_.number + 1, 0};
    step.bucket = bucket_.number;
  }
  step.terms.push_back(hash);
  ++bucket_.rows;
  txn_.put(Table::kTerm, term_key(step.bucket, hash, id.key()), {});
}

void TrailWriter::add(const base::Id& id, TrailStep step, bool is_first) {
  std::uint32_t number = 0;
  if (!is_first) {
    Cursor cursor(txn_, Table::kTrail);
    const bool any = cursor.seek_before(step_key(id, UINT32_MAX));
    const auto last = any ? parse_delivery_key(cursor.key()) : std::nullopt;
    if (last && last->id == id) number = last->index + 1;
  }
  step.at_ms = now_ms_;
  txn_.put(Table::kTrail, step_key(id, number), encode_step(step));
  if (number < kStepsFirst + kStepsLast) return;
  const Key surplus = step_key(id, number - kStepsLast);
  const auto record = txn_.get(Table::kTrail, surplus);
  const auto old = record ? decode_step(0, *record) : std::nullopt;
  // What finds the message stays as long as the message is known.
  if (!old || !old->terms.empty()) return;
  txn_.remove(Table::kTrail, surplus);
}

void TrailWriter::received(const NewMessage& message) {
  const Message& m = message.message;
  TrailStep step;
  step.step = Step::kReceived;
  step.text = kept(message.note.text);
  if (!message.deliveries.empty()) step.destination = message.deliveries.front().destination;
  TrailOrigin& origin = step.origin.emplace();
  origin.kind = m.kind;
  origin.tenant = m.tenant;
  origin.domain = m.domain;
  origin.mail_from = kept(m.envelope.mail_from);
  origin.message_id = kept(message.note.message_id);
  origin.helo = kept(m.helo);
  origin.remote_ip = m.remote_ip;
  origin.trust = m.trust;
  origin.related_id = m.related_id;
  origin.event = m.event;
  origin.size = m.body.size();
  origin.recipient_count = m.envelope.recipients.size();
  find_by(m.id, step, m.envelope.mail_from);
  find_by(m.id, step, message.note.message_id);
  find_by(m.id, step, m.related_id);
  for (const mail::Recipient& recipient : m.envelope.recipients) {
    if (origin.recipients.size() < kTrailRecipientsMax) {
      origin.recipients.push_back(kept(recipient.address));
    }
    find_by(m.id, step, recipient.address);
  }
  add(m.id, std::move(step), true);
}

void TrailWriter::updated(const DeliveryUpdate& update, const Delivery& before) {
  for (TrailStep& step : group(update, before)) {
    step.destination = before.destination;
    step.attempts = update.attempts;
    if (!update.finished && (step.step == Step::kDeferred || step.step == Step::kPutOff)) {
      step.next_attempt_ms = update.next_attempt_ms;
    }
    if (step.recipient_count == before.recipients.size() && before.index == 0) {
      step.recipient_count = 0;  // all of them
      step.recipients.clear();
    }
    if (step.step != Step::kPutOff) step.remote = kept(update.note.remote);
    if (step.step == Step::kDelivered) {
      step.remote_id = kept(update.note.remote_id);
      find_by(update.id, step, step.remote_id);
    }
    add(update.id, std::move(step));
  }
  for (const NewMessage& made : update.also) {
    TrailStep step;
    step.step = Step::kEvent;
    step.text = made.message.kind == Kind::kBounce ? "message.bounced" : made.message.event;
    step.related = made.message.id.str();
    step.destination = made.deliveries.empty() ? "" : made.deliveries.front().destination;
    add(update.id, std::move(step));
  }
}

void TrailWriter::ordered(Order order, const Delivery& delivery, const std::string& reason) {
  TrailStep step;
  switch (order) {
    case Order::kRetry:
      step.step = Step::kRetried;
      break;
    case Order::kHold:
      step.step = Step::kHeldByOperator;
      break;
    case Order::kRelease:
      step.step = Step::kReleased;
      break;
    case Order::kRemove:
      step.step = Step::kRemoved;
      break;
  }
  step.text = kept(reason);
  step.destination = delivery.destination;
  step.attempts = delivery.attempts;
  add(delivery.id, std::move(step));
}

// How full the last bucket is nobody counts at start: a new one begins.
TrailKeeper::TrailKeeper(const Environment& environment, std::int64_t keep_ms) : keep_ms_(keep_ms) {
  const Txn txn(environment, Txn::Mode::kRead);
  Cursor cursor(txn, Table::kTerm);
  if (!cursor.seek_before(std::string(kTermKeyOctets, '\xff'))) return;
  bucket_.number = static_cast<std::uint32_t>(big_endian(cursor.key().substr(0, 4))) + 1;
}

// More than half of the map is too much for what is told about mail; and of its last eighth every
// page is mail's.
bool TrailKeeper::is_scarce(const Txn& txn) {
  const Environment& environment = txn.environment();
  const std::uint64_t pages = txn.pages(Table::kTrail) + txn.pages(Table::kTerm);
  return pages > environment.map_pages() / 2 ||
         !environment.has_room(environment.map_pages() / 8, Environment::Reserve::kAmple);
}

bool TrailKeeper::may_write(const Txn& txn) {
  scarce_ = is_scarce(txn);
  return keep_ms_ > 0 && !scarce_;
}

bool TrailKeeper::forget(Txn& txn, std::int64_t now_ms, std::size_t messages_max) {
  looked_ms_ = now_ms;
  look_again_ms_ = now_ms + kLookAgainMs;
  behind_ = false;
  scarce_ = is_scarce(txn);
  const std::int64_t keep_ms = scarce_ ? 0 : keep_ms_;
  bool removed = false;
  Cursor cursor(txn, Table::kTrail);
  bool more = cursor.seek(position_);
  position_.clear();
  for (std::size_t looked = 0; more; ++looked) {
    const auto key = parse_delivery_key(cursor.key());
    if (!key || key->id.time_ms() + keep_ms > now_ms) return removed;
    if (looked == messages_max) {
      position_ = cursor.key();
      behind_ = true;
      return removed;
    }
    const base::Id id = key->id;
    const bool is_gone = scarce_ || !txn.get(Table::kMessage, id.key());
    std::vector<TrailStep> steps;
    if (is_gone) steps = find_trail(txn, id);
    if (!is_gone || (!steps.empty() && steps.back().at_ms + keep_ms > now_ms)) {
      more = cursor.seek(step_key(id, UINT32_MAX));
      continue;
    }
    for (const TrailStep& step : steps) {
      for (const std::uint64_t hash : step.terms) {
        txn.remove(Table::kTerm, term_key(step.bucket, hash, id.key()));
      }
    }
    while (more && cursor.key().starts_with(id.key()) && txn.error() == 0) {
      cursor.remove();
      more = cursor.next();
    }
    removed = true;
    if (txn.error() != 0) return removed;
  }
  return removed;
}

std::vector<TrailStep> find_trail(const Txn& txn, const base::Id& id) {
  std::vector<TrailStep> steps;
  Cursor cursor(txn, Table::kTrail);
  for (bool more = cursor.seek(id.key()); more && cursor.key().starts_with(id.key());
       more = cursor.next()) {
    const auto key = parse_delivery_key(cursor.key());
    auto step = key ? decode_step(key->index, cursor.value()) : std::nullopt;
    if (step) steps.push_back(*std::move(step));
  }
  return steps;
}

std::vector<base::Id> find_by_term(const Txn& txn, std::string_view term, std::size_t ids_max) {
  std::vector<base::Id> found;
  const std::uint64_t hash = term_hash(txn.environment().uuid(), term);
  const std::string last_id(16, '\xff');
  Cursor cursor(txn, Table::kTerm);
  bool more = cursor.seek_before(term_key(UINT32_MAX, hash, last_id));
  while (more && found.size() < ids_max) {
    if (cursor.key().size() != kTermKeyOctets) break;
    const auto bucket = static_cast<std::uint32_t>(big_endian(cursor.key().substr(0, 4)));
    const std::uint64_t at = big_endian(cursor.key().substr(4, 8));
    if (at == hash) {
      const auto id = base::Id::from_key(cursor.key().substr(12));
      if (id && std::find(found.begin(), found.end(), *id) == found.end()) found.push_back(*id);
      more = cursor.previous();
    } else if (at > hash) {
      more = cursor.seek_before(term_key(bucket, hash, last_id));
    } else if (bucket == 0) {
      break;
    } else {
      more = cursor.seek_before(term_key(bucket - 1, hash, last_id));
    }
  }
  return found;
}

}  // namespace queue
