#include "relaybench/send_session.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace relaybench {
namespace {

constexpr std::size_t kPiece = 64 * 1024;
// Content is given to the stream only so far ahead.
constexpr std::size_t kOutputAhead = 256 * 1024;
constexpr net::StreamLimits kStream{64 * 1024, 1024 * 1024};
constexpr std::int64_t kRetryFirstMs = 20;
constexpr std::int64_t kRetryLongestMs = 1000;
constexpr std::int64_t kCloseMs = 5 * base::kSecond;

std::string_view name_of(smtp::Finished::Why why) {
  using Why = smtp::Finished::Why;
  switch (why) {
    case Why::kConnectionLost:
      return "connection lost";
    case Why::kProtocol:
      return "not SMTP as it should be";
    case Why::kGreetingRefused:
      return "at the greeting";
    case Why::kTlsNotOffered:
      return "STARTTLS not offered";
    case Why::kTlsRefused:
      return "to STARTTLS";
    case Why::kAuthNotOffered:
      return "AUTH not offered";
    case Why::kAuthRejected:
    case Why::kAuthTemporary:
      return "to AUTH";
    case Why::kServiceClosing:
      return "the server closed the session";
    case Why::kQuit:
      break;
  }
  return "the session ended";
}

// The client machine takes BDAT wherever it is offered. What it never sees, it does not use.
void hide_chunking(std::span<char> ehlo_reply) {
  constexpr std::string_view kKeyword = "CHUNKING";
  const std::string_view text(ehlo_reply.data(), ehlo_reply.size());
  const std::size_t at = text.find(kKeyword);
  if (at != std::string_view::npos) ehlo_reply[at] = 'X';
}

}  // namespace

SendSession::SendSession(SendRun& run, const SendOptions& options, MessageSource& source)
    : run_(run), options_(options), source_(source), retry_(run.loop, [this] { start(); }) {
  without_connection_since_ = now_us();
}

SendSession::~SendSession() = default;

// ---- The connection -----------------------------------------------------------------------------

void SendSession::start() {
  if (run_.stopping) return connection_over(true);
  smtp::ClientOptions client;
  client.hostname = options_.helo;
  client.tls = options_.tls;
  client.username = options_.username;
  client.password = run_.password;
  client.allow_auth_in_plaintext = true;  // a benchmark's password is no secret
  machine_ = std::make_unique<smtp::ClientMachine>(std::move(client), run_.limits);
  stream_ = std::make_unique<net::Stream>(run_.loop, *this, kStream);
  output_.clear();
  message_failed_ = false;
  connected_ = ready_ = parked_ = false;
  messages_ = 0;
  connected_at_ = tls_started_ = auth_started_ = 0;
  connect_started_ = heard_ = now_us();
  stream_->connect(run_.address);
}

void SendSession::on_connected() {
  connected_ = true;
  connected_at_ = heard_ = now_us();
  run_.tally.phase(Phase::kConnect, connect_started_, connected_at_);
  if (options_.tls == smtp::ClientTls::kImplicit) {
    tls_started_ = connected_at_;
    stream_->start_tls_client(run_.tls.get(), run_.host);
    return;
  }
  pump();
}

void SendSession::on_tls() {
  const std::uint64_t now = heard_ = now_us();
  run_.tally.phase(Phase::kTls, tls_started_, now);
  if (options_.tls == smtp::ClientTls::kImplicit) connected_at_ = now;  // the greeting comes now
  machine_->tls_started();
  pump();
}

std::size_t SendSession::on_input(std::span<char> bytes) {
  heard_ = now_us();
  if (!ready_ && !options_.bdat) hide_chunking(bytes);
  machine_->feed({bytes.data(), bytes.size()});
  pump();
  return bytes.size();
}

void SendSession::on_output_empty() {
  heard_ = now_us();
  pump();
}

void SendSession::on_closed(std::string_view reason) {
  if (!connected_) {
    run_.tally.connection_failed("no connection", 0, reason);
    return connection_over(false);
  }
  stream_.reset();
  machine_->closed(reason);
  pump();
}

void SendSession::look(std::uint64_t us) {
  if (stream_ == nullptr || parked_) return;
  if (us - std::min(us, heard_) < static_cast<std::uint64_t>(options_.timeout_ms) * 1000) return;
  stream_.reset();
  if (!connected_) {
    run_.tally.connection_failed("no connection", 0, "nothing answered in time");
    return connection_over(false);
  }
  machine_->closed("no reply in time");
  pump();
}

void SendSession::stop() {
  if (retry_.running()) {
    retry_.stop();
    return connection_over(true);
  }
  if (parked_) go_on();
}

void SendSession::connection_over(bool of_use) {
  if (stream_) stream_->close_gracefully(kCloseMs);
  stream_.reset();
  const std::uint64_t now = now_us();
  if (of_use) {
    without_connection_since_ = now;
    retry_ms_ = 0;
  } else {
    retry_ms_ = std::clamp(2 * retry_ms_, kRetryFirstMs, kRetryLongestMs);
  }
  // A run with an end in time may bear a server that is away for a while.
  const bool hopeless =
      options_.seconds <= 0 &&
      now - without_connection_since_ > static_cast<std::uint64_t>(options_.patience_ms) * 1000;
  if (!run_.stopping && !hopeless) return retry_.start_ms(retry_ms_);
  if (std::exchange(over_, true)) return;
  run_.ended(*this);
}

// ---- The machine --------------------------------------------------------------------------------

void SendSession::go_on() {
  if (!std::exchange(parked_, false)) return;
  heard_ = now_us();
  pump();
}

void SendSession::pump() {
  for (;;) {
    smtp::Action action = machine_->next();
    if (act(action) == Next::kWait) return;
  }
}

SendSession::Next SendSession::act(smtp::Action& action) {
  if (std::holds_alternative<smtp::NeedReply>(action)) {
    flush();
    return Next::kWait;
  }
  if (const auto* how = std::get_if<smtp::SendContent>(&action)) return send_content(*how);
  if (const auto* done = std::get_if<smtp::MessageDone>(&action)) {
    message_done(*done);
    return Next::kContinue;
  }
  if (std::holds_alternative<smtp::Ready>(action)) return next_message();
  if (std::holds_alternative<smtp::BeginTls>(action)) {
    if (!flush()) return Next::kWait;
    stream_->start_tls_client(run_.tls.get(), run_.host);
    return Next::kWait;
  }
  finished(std::get<smtp::Finished>(action));
  return Next::kWait;
}

SendSession::Next SendSession::next_message() {
  if (parked_) return Next::kWait;
  if (!ready_) {
    ready_ = true;
    ++run_.tally.connections;
    if (auth_started_ != 0) run_.tally.phase(Phase::kAuth, auth_started_, now_us());
  }
  const bool enough =
      options_.messages_per_connection > 0 && messages_ >= options_.messages_per_connection;
  const auto permit = enough ? SendRun::Permit::kNone : run_.permit(*this);
  if (permit == SendRun::Permit::kWait) {
    parked_ = true;
    return Next::kWait;
  }
  if (permit == SendRun::Permit::kNone) {
    machine_->quit();
    return Next::kContinue;
  }
  source_.next(message_);
  ++messages_;
  in_content_ = content_ended_ = message_failed_ = false;
  content_sent_ = 0;
  message_started_ = now_us();
  machine_->send_message(message_.envelope, message_.recipients, message_.size());
  return Next::kContinue;
}

SendSession::Next SendSession::send_content(const smtp::SendContent& how) {
  if (!std::exchange(in_content_, true)) {
    content_started_ = now_us();
    run_.tally.phase(Phase::kEnvelope, message_started_, content_started_);
    if (options_.bdat && !how.chunking) run_.tally.chunking_missing = true;
  }
  if (content_ended_) {  // BDAT: the content is out, its replies are to come
    flush();
    return Next::kWait;
  }
  if (content_sent_ > 0 && (!flush() || stream_->output_pending() > kOutputAhead)) {
    return Next::kWait;
  }
  std::size_t offset = content_sent_;
  for (const std::string_view part :
       {std::string_view(message_.header), message_.body, std::string_view(message_.tail)}) {
    if (offset >= part.size()) {
      offset -= part.size();
      continue;
    }
    const std::string_view piece = part.substr(offset, kPiece);
    machine_->content(piece);
    content_sent_ += piece.size();
    if (offset + piece.size() < part.size()) return Next::kContinue;
    offset = 0;
  }
  machine_->content_end();
  content_ended_ = true;
  return Next::kContinue;
}

void SendSession::message_done(const smtp::MessageDone& done) {
  if (done.recipients.empty()) return;
  const smtp::MessageDone::Outcome& outcome = done.recipients.front();
  if (outcome.reply.positive()) {
    const std::uint64_t now = heard_;
    run_.tally.phase(Phase::kData, content_started_, now);
    run_.tally.message_accepted(message_started_, now, message_.size());
    run_.accepted(message_.id);
    return;
  }
  message_failed_ = true;
  // Where the connection went with it, the reply is the machine's own and says less than the end.
  const smtp::Action after = machine_->next();
  const auto* end = std::get_if<smtp::Finished>(&after);
  if (end != nullptr && end->why != smtp::Finished::Why::kServiceClosing) {
    return run_.tally.message_failed(name_of(end->why), end->reply.code, end->text);
  }
  run_.tally.message_failed(outcome.from_end_of_data ? "at the end of the message"
                            : in_content_            ? "during the message"
                                                     : "to the envelope",
                            outcome.reply.code, outcome.reply.str());
}

void SendSession::finished(const smtp::Finished& finished) {
  flush();
  const bool quit = finished.why == smtp::Finished::Why::kQuit;
  if (!quit && !message_failed_) {
    run_.tally.connection_failed(name_of(finished.why), finished.reply.code, finished.text);
  }
  // A server that hangs up on every message must not be called again without a pause.
  connection_over(quit);
}

// ---- Output -------------------------------------------------------------------------------------

// When a phase begins can be told from what is said: each of these is said alone.
void SendSession::note_time(std::string_view said) {
  if (ready_) return;
  if (said.starts_with("EHLO") && tls_started_ == 0) {
    run_.tally.phase(Phase::kGreeting, connected_at_, now_us());
  } else if (said.starts_with("EHLO") && options_.tls == smtp::ClientTls::kImplicit) {
    run_.tally.phase(Phase::kGreeting, connected_at_, now_us());
  } else if (said.starts_with("STARTTLS")) {
    tls_started_ = now_us();
  } else if (said.starts_with("AUTH ")) {
    auth_started_ = now_us();
  }
}

bool SendSession::flush() {
  if (!stream_) return true;
  if (machine_->has_output()) {
    std::string said = machine_->take_output();
    note_time(said);
    if (output_.empty() && stream_->write(said)) return true;
    output_ += said;
  }
  while (!output_.empty()) {
    const std::size_t room =
        kStream.output_octets_max - std::min(stream_->output_pending(), kStream.output_octets_max);
    // Without room an octet is tried all the same: the stream then tells when there is room.
    const std::size_t piece = std::min(std::max<std::size_t>(room, 1), output_.size());
    if (!stream_->write(std::string_view(output_).substr(0, piece))) return false;
    output_.erase(0, piece);
  }
  return true;
}

}  // namespace relaybench
