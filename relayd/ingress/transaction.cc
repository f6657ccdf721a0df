#include "relayd/ingress/transaction.h"

#include <algorithm>
#include <set>

#include "core/base/log.h"
#include "core/mail/address.h"
#include "core/mail/dsn.h"
#include "core/mail/received.h"
#include "policy/original_recipient.h"
#include "policy/permission.h"
#include "policy/sent_tag.h"
#include "relayd/ingress/delivery_events.h"
#include "relayd/ingress/loops.h"

namespace ingress {
namespace {

smtp::Reply store_refusal(queue::Failure failure) {
  switch (failure) {
    case queue::Failure::kBusy:
      return {452, "4.3.1", "the queue is busy writing; try again in a minute"};
    case queue::Failure::kFull:
      return {452, "4.3.1", "no disk space left for the queue; try again later"};
    default:
      return {451, "4.3.0", "the queue cannot write to its disk; try again later"};
  }
}

}  // namespace

Transaction::Transaction(const Workplace& workplace, std::shared_ptr<const Settings> settings,
                         ClientFacts client, mail::Envelope envelope)
    : workplace_(workplace),
      settings_(std::move(settings)),
      client_(std::move(client)),
      accounts_(workplace.accounts->snapshot()),
      id_(workplace.ids->next()) {
  queue::Message& message = message_.message;
  message.id = id_;
  message.kind = client_.sends_outward ? queue::Kind::kOutbound : queue::Kind::kInbound;
  message.envelope = std::move(envelope);
  message.helo = client_.helo;
  message.remote_ip = client_.ip;
  message.trust = client_.credential_id.empty() ? "none" : "password";
}

Transaction::~Transaction() = default;

smtp::Reply Transaction::check_sender() {
  const std::string& sender = message_.message.envelope.mail_from;
  if (const queue::Health health = workplace_.store->health();
      health.failure != queue::Failure::kNone) {
    return store_refusal(health.failure);
  }
  const policy::Peer peer{accounts_->credential_by_id(client_.credential_id)};
  if (auto refusal = policy::check_sender(*accounts_, peer, sender)) return *refusal;
  return {250, "2.1.0", "sender ok"};
}

smtp::Reply Transaction::add_recipient(const mail::Recipient& recipient) {
  accounts_ = workplace_.accounts->snapshot();
  const policy::Peer peer{accounts_->credential_by_id(client_.credential_id)};
  if (auto refusal = policy::check_recipient(*accounts_, peer, recipient.address)) return *refusal;
  queue::Message& message = message_.message;
  if (!client_.sends_outward) {
    // One domain a transaction: each has its own back end, mode and judgement. Senders come again
    // with the rest at once (RFC 5321 4.5.3.1.10).
    const auto name = mail::normalized_mailbox(recipient.address);
    const policy::SupportAddress* address = name ? accounts_->address(*name) : nullptr;
    if (address == nullptr) return {451, "4.3.0", "the address was removed just now; try again"};
    if (domain_.empty()) {
      domain_ = address->domain;
      message.domain = address->domain;
      message.tenant = accounts_->domain(domain_)->tenant;
      message.support_address = address->address;
    } else if (address->domain != domain_) {
      return {452, "4.5.3",
              "one domain per message: send to this recipient in a transaction of its own"};
    }
    const policy::Domain* domain = accounts_->domain(address->domain);
    if (auto refusal = refuse_partner(workplace_, *accounts_, *domain, message)) return *refusal;
  } else if (peer.credential != nullptr) {  // revoked in mid-session: refused at the end of data
    auto refusal = suppress_partner(workplace_, *accounts_, peer.credential->tenant,
                                    recipient.address, message);
    if (refusal) return *refusal;
  }
  message.envelope.recipients.push_back(recipient);
  return {250, "2.1.5", "recipient ok"};
}

void Transaction::content(std::string_view bytes) {
  size_ += bytes.size();
  if (refusal_) return;
  if (!in_headers_) {
    body(bytes);
    return;
  }
  const auto header_max = static_cast<std::size_t>(settings_->limits.header_size);
  if (header_bytes_.empty()) {  // all of it may be here: then what follows need not be copied
    const std::size_t at = bytes.find("\r\n\r\n");
    if (at != std::string_view::npos && at + 2 <= header_max && !bytes.starts_with("\r\n")) {
      header_bytes_ = bytes.substr(0, at + 2);
      end_of_headers(header_bytes_.size());
      if (!refusal_) body(bytes.substr(at + 2));
      return;
    }
  }
  const std::size_t searched = header_bytes_.size() < 3 ? 0 : header_bytes_.size() - 3;
  header_bytes_ += bytes;
  std::size_t end = std::string::npos;
  if (header_bytes_.starts_with("\r\n")) {
    end = 0;
  } else if (const auto at = header_bytes_.find("\r\n\r\n", searched); at != std::string::npos) {
    end = at + 2;
  }
  if (end == std::string::npos ? header_bytes_.size() > header_max + 4 : end > header_max) {
    refuse(552, "5.3.4",
           "the header is larger than " + std::to_string(header_max) +
               " octets (limits.header_size); shorten it");
    return;
  }
  if (end == std::string::npos) return;
  const std::string rest = header_bytes_.substr(end);
  header_bytes_.resize(end);
  end_of_headers(end);
  if (!refusal_) body(rest);
}

void Transaction::refuse(int code, std::string_view enhanced, std::string text) {
  refusal_ = smtp::Reply{code, std::string(enhanced), std::move(text)};
  header_bytes_ = {};
  message_.content.reset();
  inquiry_.reset();
}

void Transaction::end_of_headers(std::size_t) {
  in_headers_ = false;
  const base::Limits& limits = settings_->limits;
  auto headers = mail::Headers::scan(header_bytes_, static_cast<std::size_t>(limits.header_fields));
  if (!headers) {
    refuse(550, "5.6.0", headers.message());
    return;
  }
  headers_ = headers.take();
  if (static_cast<std::int64_t>(headers_.count("Received")) > limits.received_fields) {
    note_loop(workplace_, "hops", message_.message, message_.message.envelope.mail_from,
              message_.message.support_address);
    refuse(554, "5.4.6",
           "too many hops: the message has passed " + std::to_string(headers_.count("Received")) +
               " servers; look for a loop");
    return;
  }
  message_.content = workplace_.store->begin_content(message_.message.envelope.size_declared);
  client_.sends_outward ? begin_outbound() : begin_inbound();
}

void Transaction::begin_inbound() {
  for (const mail::HeaderField& field : headers_.fields()) {
    if (!policy::is_forged_authentication_results(field, settings_->hostname)) append(field.raw);
    if (refusal_) return;  // the fields are gone with it
  }
  queue::Message& message = message_.message;
  message.support_address =
      policy::original_recipient(*accounts_, message.support_address, message.envelope, headers_,
                                 /*own_domain_only=*/!client_.credential_id.empty());
  if (const policy::SupportAddress* address = accounts_->address(message.support_address)) {
    message.domain = address->domain;
  }
  // What a partner's server reports of our mail is no ticket of theirs.
  const bool is_report = message.envelope.mail_from.empty() && mail::is_delivery_report(headers_);
  const policy::Domain* of = is_report ? nullptr : accounts_->domain(message.domain);
  if (of != nullptr) {
    const auto refusal = refuse_partner_author(workplace_, *accounts_, *of, headers_, message);
    if (refusal) return refuse(refusal->code, refusal->enhanced, refusal->text);
  }
  InquiryFacts facts;
  facts.ip = client_.ip;
  facts.helo = client_.helo;
  facts.mail_from = message.envelope.mail_from;
  facts.receiver = settings_->hostname;
  facts.wall_s = workplace_.clock->wall_ms() / 1000;
  facts.authenticated_user = client_.username;
  if (const policy::Domain* domain = accounts_->domain(domain_)) {
    facts.trusted_authserv_ids = domain->trusted_authserv_ids;
    facts.mode = domain->inbound;
  }
  // Of the domain that was written to and the one whose ticket it becomes, the stricter one counts.
  if (const policy::Domain* domain = accounts_->domain(message.domain)) {
    facts.mode = std::max(facts.mode, domain->inbound);
  }
  inquiry_ = std::make_shared<Inquiry>(
      InquiryTools{workplace_.loop, workplace_.resolver, workplace_.dkim}, settings_->limits,
      settings_->judgement, std::move(facts), headers_);
  inquiry_->start();
}

void Transaction::begin_outbound() {
  accounts_ = workplace_.accounts->snapshot();
  queue::Message& message = message_.message;
  const policy::Peer peer{accounts_->credential_by_id(client_.credential_id)};
  auto checked = policy::check_author(*accounts_, peer, message.envelope.mail_from, headers_,
                                      settings_->verification_required);
  if (auto* refusal = std::get_if<smtp::Reply>(&checked)) {
    refuse(refusal->code, refusal->enhanced, refusal->text);
    return;
  }
  const auto& sending = std::get<policy::Sending>(checked);
  message.tenant = sending.domain->tenant;
  message.domain = sending.domain->name;
  message.support_address = sending.address->address;
  domain_ = "smarthost:" + sending.route.key;
  suppressed_ = suppress_automatic(workplace_, headers_, message);
  if (message.envelope.recipients.empty()) {
    refuse(550, "5.7.1",
           "Suppressed: automatic mail to who writes to " + message.support_address +
               " too often (limits.loop_pair_messages in limits.loop_pair_window); a loop is "
               "likely, mail of people passes");
    return;
  }
  if (message.envelope.envid.empty()) {
    message.envelope.envid = policy::make_sent_tag(workplace_.sent_key, message.tenant, message.id);
  }
  for (const auto& [selector, key] : sending.domain->dkim_keys) {
    if (key.active) keys_.push_back(key);
  }
  if (!keys_.empty()) body_hash_ = std::make_unique<dkim::RelaxedBodyHash>();
  body_digest_ = std::make_unique<policy::BodyDigest>();
  append(header_bytes_);
}

void Transaction::append(std::string_view bytes) {
  if (refusal_) return;
  if (const auto failure = message_.content->append(bytes); failure != queue::Failure::kNone) {
    const smtp::Reply reply = store_refusal(failure);
    refuse(reply.code, reply.enhanced, reply.text);
  }
}

// Behind the header: the empty line, then the body, which alone is hashed.
void Transaction::body(std::string_view bytes) {
  append(bytes);
  if (refusal_) return;
  const std::size_t skip = std::min(bytes.size(), static_cast<std::size_t>(separator_left_));
  separator_left_ -= static_cast<int>(skip);
  bytes.remove_prefix(skip);
  if (bytes.empty()) return;
  if (inquiry_) inquiry_->body(bytes);
  if (body_hash_) body_hash_->update(bytes);
  if (body_digest_) body_digest_->update(bytes);
}

void Transaction::finish(std::function<void(smtp::Reply)> on_reply) {
  on_reply_ = std::move(on_reply);
  if (!refusal_ && in_headers_) {
    // No empty line: all of it is header. A message without final CRLF (BDAT) gets one here, where
    // it is the end of the last field.
    if (!header_bytes_.empty() && !header_bytes_.ends_with("\r\n")) header_bytes_ += "\r\n";
    end_of_headers(header_bytes_.size());
  }
  if (refusal_) {
    reply(*refusal_);
    return;
  }
  if (inquiry_) {
    inquiry_->finish([self = shared_from_this()](const policy::Judgement& judgement) {
      self->judged(judgement);
    });
  } else {
    sign();
  }
}

void Transaction::judged(const policy::Judgement& judgement) {
  if (judgement.out_of_time) {
    base::log_warning("judgement out of time", {{"id", id_.str()}, {"helo", client_.helo}});
  }
  std::string& document = message_.message.judgement;
  document = policy::authentication_json(judgement);
  // What is suspended is answered by nobody, and may carry anybody's name.
  if (!make_delivery_event(workplace_, *settings_, headers_, message_) &&
      judgement.disposition != policy::Disposition::kSuspended &&
      writes_too_often(workplace_, headers_, message_.message)) {
    document.insert(document.size() - 1,
                    document.size() > 2 ? R"(,"loop":"rate")" : R"("loop":"rate")");
  }
  std::string& text = message_.note.text;
  text = policy::name(judgement.disposition);
  for (const std::string& reason : judgement.reasons) {
    text += (&reason == &judgement.reasons.front() ? ": " : "; ") + reason;
  }
  commit(policy::authentication_results(judgement, settings_->hostname));
}

void Transaction::sign() {
  message_.message.guard =
      policy::make_guard(headers_, settings_->protected_fields, body_digest_->finish());
  if (keys_.empty()) {
    commit({});
    return;
  }
  // The private-key operation takes a good part of a millisecond: not on the loop. The transaction
  // is kept alive by the task and touched by nobody else meanwhile; it is submitted from there.
  const std::int64_t wall_s = workplace_.clock->wall_ms() / 1000;
  workplace_.crypto->post([self = shared_from_this(), wall_s, hash = body_hash_->finish(),
                           expected = workplace_.store->expect()]() mutable {
    base::Result<std::string> fields = std::string();
    for (const policy::DkimKey& key : self->keys_) {
      auto field = dkim::sign({self->message_.message.domain, key.selector, key.key, wall_s,
                               self->settings_->marker_headers},
                              self->headers_, hash);
      if (!field) {
        fields = field.error();
        break;
      }
      *fields += *field;
    }
    expected.reset();
    if (fields) return self->commit(*std::move(fields));
    base::log_error("signing failed", {{"id", self->id_.str()}, {"reason", fields.message()}});
    self->workplace_.loop->post([self] {
      self->reply({451, "4.3.0", "the message could not be signed; try again later"});
    });
  });
}

std::string Transaction::received() const {
  const auto& recipients = message_.message.envelope.recipients;
  const base::Id::Text id = id_.text();
  const std::string_view only =
      recipients.size() == 1 ? std::string_view(recipients.front().address) : std::string_view();
  return mail::format_received({client_.helo, client_.ip, settings_->hostname, client_.protocol,
                                client_.tls, id, only, workplace_.clock->wall_ms()});
}

void Transaction::commit(std::string prefix_above_received) {
  queue::Message& message = message_.message;
  message.arrival_ms = workplace_.due_clock->wall_ms();
  message.expiry_ms = message.arrival_ms + settings_->expire_ms;
  message_.prefix = std::move(prefix_above_received) + received();
  message_.note.message_id = headers_.value("Message-ID").value_or(std::string());

  queue::Delivery delivery;
  delivery.destination = client_.sends_outward ? domain_ : "backend:" + message.tenant;
  delivery.next_attempt_ms = message.arrival_ms;
  for (std::uint32_t i = 0; i < message.envelope.recipients.size(); ++i) {
    delivery.recipients.push_back({i, queue::RecipientState::kPending, {}});
  }
  message_.deliveries.push_back(std::move(delivery));
  base::log_info("received", {{"id", id_.text()},
                              {"from", message.envelope.mail_from},
                              {"recipients", message.envelope.recipients.size()},
                              {"size", size_},
                              {"remote_ip", client_.ip},
                              {"user", client_.username},
                              {"destination", message_.deliveries.front().destination}});
  // The store's last answers come when Ingress, and with it the workplace, is gone; loops stay.
  // Until they have ended the workplace is there too.
  const auto go = [self = shared_from_this()] {
    self->workplace_.store->submit(std::move(self->message_),
                                   [self, loop = self->workplace_.loop](queue::Failure failure) {
                                     loop->post([self, failure] { self->committed(failure); });
                                   });
  };
  // What other sessions submit in this turn of the loop shares a sync with it.
  if (workplace_.loop->in_loop_thread()) return workplace_.loop->post(go);
  go();
}

void Transaction::committed(queue::Failure failure) {
  if (failure == queue::Failure::kNone) {
    std::string text = "queued as ";
    text += id_.text();
    if (suppressed_ > 0) {
      text += "; not for " + std::to_string(suppressed_) + " recipients: loop suppressed";
    }
    reply({250, "2.0.0", text});
  } else {
    base::log_warning("not queued", {{"id", id_.str()}});
    reply(store_refusal(failure));
  }
}

void Transaction::reply(smtp::Reply reply) {
  if (refusal_) {
    base::log_info("refused", {{"id", id_.str()}, {"reply", reply.str()}});
  }
  const auto on_reply = std::move(on_reply_);
  on_reply_ = nullptr;
  inquiry_.reset();
  on_reply(std::move(reply));
}

}  // namespace ingress
