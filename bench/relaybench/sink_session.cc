#include "relaybench/sink_session.h"

#include <algorithm>
#include <utility>

namespace relaybench {
namespace {

constexpr net::StreamLimits kStream{64 * 1024, 1024 * 1024};
constexpr std::int64_t kCloseMs = 5 * base::kSecond;
constexpr std::size_t kLongReplyOctets = 512 * 1024;

const smtp::Reply kTaken{250, "2.0.0", "Swallowed"};
const smtp::Reply kSenderOk{250, "2.1.0", "Sender OK"};
const smtp::Reply kRecipientOk{250, "2.1.5", "Recipient OK"};
const smtp::Reply kGoOn{250, "2.0.0", "Go on"};
const smtp::Reply kGreet421{421, "4.3.2", "Not now: greet-421"};
const smtp::Reply kTooMany{421, "4.7.0", "Too many connections: one-connection-only"};
const smtp::Reply kMail4xx{451, "4.3.0", "Not now: mail-4xx"};
const smtp::Reply kRcpt4xx{450, "4.2.1", "Mailbox busy: rcpt-4xx"};
const smtp::Reply kRcpt5xx{550, "5.1.1", "No such mailbox: rcpt-5xx"};
const smtp::Reply kDot4xx{451, "4.3.0", "Not now: dot-4xx"};
const smtp::Reply kDot5xx{554, "5.6.0", "Never: dot-5xx"};
const smtp::Reply kDot421{421, "4.3.2", "Going down: dot-421"};

smtp::ServerOptions server_options(SinkPlace& place) {
  smtp::ServerOptions options;
  options.hostname = place.options.hostname;
  options.inside_tls = place.options.tls == SinkTls::kImplicit;
  options.auth_in_plaintext = true;  // there is nothing here that a password would protect
  options.auth_required = place.options.auth_required;
  options.starttls =
      place.options.tls == SinkTls::kStartTls &&
      place.misbehaviours.strike(static_cast<std::size_t>(SinkRule::kNoStartTls)) == nullptr;
  return options;
}

}  // namespace

SinkSession::SinkSession(SinkPlace& place, int fd, std::function<void(SinkSession*)> on_end)
    : place_(place),
      machine_(server_options(place), place.limits),
      stream_(place.loop, *this, kStream),
      delay_(place.loop, [this] { delayed(); }),
      on_end_(std::move(on_end)) {
  stream_.adopt(fd);
}

SinkSession::~SinkSession() = default;

const Misbehaviour* SinkSession::strike(SinkRule rule, std::string_view word) {
  if (place_.misbehaviours.empty()) return nullptr;
  return place_.misbehaviours.strike(static_cast<std::size_t>(rule), word);
}

void SinkSession::start() {
  if (strike(SinkRule::kDropAtGreeting) != nullptr) return drop();
  if (place_.options.tls == SinkTls::kImplicit) {
    tls_fails_ = strike(SinkRule::kTlsFails) != nullptr;
    if (tls_fails_) return;
    stream_.start_tls_server(place_.tls.get());
  }
  if (place_.counts.open > 1 && strike(SinkRule::kOneConnectionOnly) != nullptr) {
    machine_.refuse(kTooMany);
  } else if (strike(SinkRule::kGreet421) != nullptr) {
    machine_.refuse(kGreet421);
  } else {
    machine_.greet();
  }
  if (place_.options.tls == SinkTls::kImplicit) return;  // the greeting waits for on_tls
  tls_started_ = true;
  if (!odd_reply("greeting")) on_input({});
}

void SinkSession::on_tls() {
  if (place_.options.tls == SinkTls::kImplicit && !tls_started_) {
    tls_started_ = true;
    if (!odd_reply("greeting")) on_input({});
    return;
  }
  tls_started_ = true;
  machine_.tls_started();
}

std::size_t SinkSession::on_input(std::span<char> bytes) {
  std::size_t used = 0;
  // Behind the client's hello, so that nobody takes it for a part of the reply to STARTTLS.
  if (tls_fails_ && !silent_) say_and_fall_silent("this is not TLS\r\n");
  while (!ended_ && !silent_) {
    smtp::Step step = machine_.next(bytes.subspan(used));
    used += step.used;
    if (handle(step.event) == Next::kWait) break;
  }
  if (silent_ || ended_) return bytes.size();
  flush();
  return used;
}

SinkSession::Next SinkSession::handle(smtp::Event& event) {
  if (std::holds_alternative<smtp::NeedInput>(event)) return Next::kWait;
  if (const auto* content = std::get_if<smtp::Content>(&event)) {
    return on_content({content->bytes.data(), content->bytes.size()});
  }
  if (std::holds_alternative<smtp::Mail>(event)) return on_mail();
  if (std::holds_alternative<smtp::Rcpt>(event)) return on_rcpt();
  if (std::holds_alternative<smtp::DataStart>(event)) return on_data();
  if (std::holds_alternative<smtp::ContentEnd>(event)) return on_content_end();
  if (std::holds_alternative<smtp::Flush>(event)) {
    return flush() ? Next::kContinue : Next::kWait;
  }
  if (std::holds_alternative<smtp::Hello>(event)) return on_hello();
  if (std::holds_alternative<smtp::StartTls>(event)) return on_starttls();
  if (std::holds_alternative<smtp::Auth>(event)) return on_auth();
  if (const auto* close = std::get_if<smtp::Close>(&event)) return on_close(close->reason);
  return Next::kContinue;  // Reset
}

// ---- Stages -------------------------------------------------------------------------------------

SinkSession::Next SinkSession::on_hello() {
  if (strike(SinkRule::kEhloGarbage) != nullptr) {
    static_cast<void>(machine_.take_output());
    say_and_fall_silent("\x01\xff HTTP/1.1 200 maybe\r\n\r\n");
    return Next::kWait;
  }
  return odd_reply("ehlo") ? Next::kWait : Next::kContinue;
}

SinkSession::Next SinkSession::on_starttls() {
  if (odd_reply("starttls")) return Next::kWait;
  output_ += machine_.take_output();
  tls_fails_ = strike(SinkRule::kTlsFails) != nullptr;
  send();
  if (tls_fails_) return Next::kWait;
  stream_.start_tls_server(place_.tls.get());
  return Next::kWait;
}

SinkSession::Next SinkSession::on_auth() {
  if (odd_reply("auth")) return Next::kWait;
  if (strike(SinkRule::kAuth535) != nullptr) {
    machine_.answer_auth(smtp::AuthResult::kRejected);
  } else if (strike(SinkRule::kAuth454) != nullptr) {
    machine_.answer_auth(smtp::AuthResult::kTemporary);
  } else {
    ++place_.counts.logins;
    machine_.answer_auth(smtp::AuthResult::kAccepted);
  }
  return Next::kContinue;
}

SinkSession::Next SinkSession::on_mail() {
  if (odd_reply("mail")) return Next::kWait;
  recipients_ = 0;
  machine_.answer(strike(SinkRule::kMail4xx) != nullptr ? kMail4xx : kSenderOk);
  return Next::kContinue;
}

SinkSession::Next SinkSession::on_rcpt() {
  if (odd_reply("rcpt")) return Next::kWait;
  const smtp::Reply* reply = &kRecipientOk;
  ++recipients_;
  if (strike(SinkRule::kRcpt4xx) != nullptr) {
    reply = &kRcpt4xx;
  } else if (strike(SinkRule::kRcpt5xx) != nullptr ||
             (recipients_ % 2 == 0 && strike(SinkRule::kRcptMixed) != nullptr)) {
    reply = &kRcpt5xx;
  }
  if (!reply->positive()) ++place_.counts.refused;
  machine_.answer(*reply);
  return Next::kContinue;
}

SinkSession::Next SinkSession::on_data() {
  if (odd_reply("data")) return Next::kWait;
  if (strike(SinkRule::kData354Never) != nullptr) {
    output_ += machine_.take_output();
    say_and_fall_silent({});
    return Next::kWait;
  }
  drop_in_data_ = strike(SinkRule::kDropInData) != nullptr;
  trace_ = {};
  message_octets_ = 0;
  machine_.answer(kGoOn);
  return Next::kContinue;
}

SinkSession::Next SinkSession::on_content(std::string_view bytes) {
  if (drop_in_data_) {
    drop();
    return Next::kWait;
  }
  message_octets_ += bytes.size();
  if (place_.ids.wanted()) trace_.feed(bytes);
  return Next::kContinue;
}

SinkSession::Next SinkSession::on_content_end() {
  if (odd_reply("dot")) return Next::kWait;
  if (strike(SinkRule::kDropAfterDot) != nullptr) {
    drop();
    return Next::kWait;
  }
  const smtp::Reply* reply = &kTaken;
  if (strike(SinkRule::kDot4xx) != nullptr) {
    reply = &kDot4xx;
  } else if (strike(SinkRule::kDot5xx) != nullptr) {
    reply = &kDot5xx;
  } else if (strike(SinkRule::kDot421) != nullptr) {
    reply = &kDot421;
  }
  machine_.answer(*reply);
  if (!reply->positive()) {
    ++place_.counts.refused;
    return Next::kContinue;
  }
  ++place_.counts.messages;
  place_.counts.octets += message_octets_;
  if (place_.ids.wanted()) {
    const bool altered = trace_.altered();
    place_.counts.altered += altered ? 1 : 0;
    place_.ids.add(trace_.id().empty() ? "-" : trace_.id(), altered ? "altered" : "");
  }
  if (place_.counts.messages == place_.options.messages) place_.on_enough();
  return Next::kContinue;
}

SinkSession::Next SinkSession::on_close(std::string_view reason) {
  if (reason == "QUIT" && odd_reply("quit")) return Next::kWait;
  closing_ = true;
  if (flush()) finish();
  return Next::kWait;
}

bool SinkSession::odd_reply(std::string_view stage) {
  if (place_.misbehaviours.empty()) return false;
  std::string nonsense;
  if (strike(SinkRule::kSilentAt, stage) == nullptr) {
    if (strike(SinkRule::kMalformedMultiline, stage) != nullptr) {
      nonsense = "250-one thing is said\r\n550 and then another\r\n";
    } else if (strike(SinkRule::kLongReply, stage) != nullptr) {
      nonsense = "250 " + std::string(kLongReplyOctets, 'x') + "\r\n";
    } else {
      return false;
    }
  }
  // What the machine has said already is about commands before this one, and, where it asked no
  // question, this reply.
  std::string said = machine_.take_output();
  if (stage == "ehlo") {
    said.clear();
  } else if (stage == "greeting" || stage == "starttls" || stage == "quit") {
    const std::size_t before =
        said.size() < 3 ? std::string::npos : said.rfind('\n', said.size() - 3);
    said.resize(before == std::string::npos ? 0 : before + 1);
  }
  output_ += said;
  say_and_fall_silent(nonsense);
  return true;
}

// ---- Output -------------------------------------------------------------------------------------

void SinkSession::say_and_fall_silent(std::string_view bytes) {
  output_ += bytes;
  silent_ = true;
  if (!output_.empty()) send();
}

bool SinkSession::flush() {
  if (!tls_started_) return true;
  if (machine_.has_output()) {
    std::string said = machine_.take_output();
    if (const Misbehaviour* slow = strike(SinkRule::kSlow); slow != nullptr) {
      output_ += said;
      stream_.pause_reading();
      if (!delay_.running()) delay_.start_ms(slow->number);
      return false;
    }
    if (output_.empty() && stream_.write(said)) return true;
    output_ += said;
  }
  if (delay_.running()) return false;
  return send();
}

void SinkSession::delayed() {
  if (ended_ || !send()) return;
  if (closing_) return finish();
  stream_.resume_reading();
}

bool SinkSession::send() {
  while (!output_.empty()) {
    const std::size_t room =
        kStream.output_octets_max - std::min(stream_.output_pending(), kStream.output_octets_max);
    const std::size_t piece = std::min(std::max<std::size_t>(room, 1), output_.size());
    if (!stream_.write(std::string_view(output_).substr(0, piece))) {
      stream_.pause_reading();  // a client that does not read its replies is not read from
      return false;
    }
    output_.erase(0, piece);
  }
  return true;
}

void SinkSession::on_output_empty() {
  if (ended_ || output_.empty() || delay_.running()) return;
  delayed();
}

void SinkSession::on_closed(std::string_view) {
  if (std::exchange(ended_, true)) return;
  on_end_(this);
}

void SinkSession::drop() {
  if (std::exchange(ended_, true)) return;
  // The session goes, and its stream with it, without a word.
  on_end_(this);
}

void SinkSession::finish() {
  if (std::exchange(ended_, true)) return;
  stream_.close_gracefully(kCloseMs);
  on_end_(this);
}

}  // namespace relaybench
