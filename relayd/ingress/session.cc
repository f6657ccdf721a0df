#include "relayd/ingress/session.h"

#include <algorithm>

#include "core/base/log.h"

namespace ingress {
namespace {

smtp::ServerOptions server_options(const Settings& settings, const ListenerOptions& listener,
                                   const net::SocketAddress& local) {
  smtp::ServerOptions options;
  options.hostname = settings.hostname;
  options.starttls = listener.tls == ListenerTls::kStartTls;
  options.inside_tls = listener.tls == ListenerTls::kImplicit;
  options.auth_in_plaintext = listener.tls == ListenerTls::kNone && local.is_loopback();
  options.auth_required = listener.role == Role::kSubmission;
  return options;
}

net::StreamLimits stream_limits(const base::Limits& limits) {
  return {static_cast<std::size_t>(limits.stream_input),
          static_cast<std::size_t>(limits.stream_output)};
}

const smtp::Reply kRevoked{421, "4.7.0",
                           "the credential of this session was revoked; log in with a new one"};

}  // namespace

Session::Session(const Workplace& workplace, std::shared_ptr<const Settings> settings,
                 const ListenerOptions& listener, int fd, const net::SocketAddress& peer,
                 std::function<void(Session*)> on_end)
    : workplace_(workplace),
      settings_(std::move(settings)),
      implicit_tls_(listener.tls == ListenerTls::kImplicit),
      machine_(
          server_options(*settings_, listener, net::SocketAddress::parse(listener.address).take()),
          settings_->limits),
      stream_(*workplace.loop, *this, stream_limits(settings_->limits)),
      timer_(*workplace.loop, [this] { on_timer(); }),
      on_end_(std::move(on_end)),
      remote_ip_(peer.ip()) {
  stream_.adopt(fd);
}

Session::~Session() = default;

void Session::start(const smtp::Reply* refusal) {
  refusal != nullptr ? machine_.refuse(*refusal) : machine_.greet();
  watch();
  if (refusal != nullptr) {  // who is one too many costs no handshake and does not stay
    tls_started_ = !implicit_tls_;
    on_input({});
  } else if (implicit_tls_) {
    stream_.start_tls_server(settings_->tls.get());
  } else {
    tls_started_ = true;
    flush();
  }
}

void Session::on_tls() {
  if (implicit_tls_) {
    tls_started_ = true;
    flush();
  } else {
    machine_.tls_started();
  }
  watch();
}

std::size_t Session::on_input(std::span<char> bytes) {
  std::size_t used = 0;
  while (!ended_) {
    smtp::Step step = machine_.next(bytes.subspan(used));
    used += step.used;
    if (handle(step.event) == Next::kWait) break;
  }
  if (!ended_) {
    flush();
    watch();
  }
  return used;
}

Session::Next Session::handle(smtp::Event& event) {
  if (std::holds_alternative<smtp::NeedInput>(event)) return Next::kWait;
  if (std::holds_alternative<smtp::NeedAnswer>(event)) {
    stream_.pause_reading();  // resume() offers the rest again
    return Next::kWait;
  }
  if (auto* content = std::get_if<smtp::Content>(&event)) {
    transaction_->content({content->bytes.data(), content->bytes.size()});
    return Next::kContinue;
  }
  if (std::holds_alternative<smtp::Flush>(event)) return flush() ? Next::kContinue : Next::kWait;
  if (!credential_is_live()) {
    transaction_.reset();
    machine_.answer(kRevoked);  // where the event was a question
    machine_.close_with(kRevoked);
    if (!std::holds_alternative<smtp::Close>(event)) return Next::kContinue;
  }
  if (auto* mail = std::get_if<smtp::Mail>(&event)) return on_mail(*mail);
  if (auto* rcpt = std::get_if<smtp::Rcpt>(&event)) {
    machine_.answer(transaction_->add_recipient(*rcpt->recipient));
  } else if (std::holds_alternative<smtp::DataStart>(event)) {
    message_started_ms_ = workplace_.clock->steady_ms();
    machine_.answer({250, "2.0.0", "go on"});
  } else if (std::holds_alternative<smtp::ContentEnd>(event)) {
    return on_content_end();
  } else if (auto* auth = std::get_if<smtp::Auth>(&event)) {
    return on_auth(*auth);
  } else if (std::holds_alternative<smtp::StartTls>(event)) {
    flush();
    transaction_.reset();
    stream_.start_tls_server(settings_->tls.get());
    return Next::kWait;
  } else if (auto* close = std::get_if<smtp::Close>(&event)) {
    finish(close->reason);
    return Next::kWait;
  } else {  // Hello, Reset
    transaction_.reset();
  }
  return Next::kContinue;
}

Session::Next Session::on_auth(const smtp::Auth& auth) {
  const policy::Login login = workplace_.logins->login_plain(auth.message, remote_ip_);
  switch (login.result) {
    case policy::LoginResult::kAccepted: {
      const auto accounts = workplace_.accounts->snapshot();
      const policy::Credential* credential = accounts->credential_by_id(login.credential_id);
      sends_outward_ = credential != nullptr && !credential->is_inbound();
      credential_id_ = login.credential_id;
      username_ = login.username;
      base::log_info("login", {{"user", username_}, {"remote_ip", remote_ip_}});
      machine_.answer_auth(smtp::AuthResult::kAccepted);
      break;
    }
    case policy::LoginResult::kRejected:
      base::log_warning("login refused", {{"remote_ip", remote_ip_}, {"reason", login.reason}});
      machine_.answer_auth(smtp::AuthResult::kRejected);
      break;
    case policy::LoginResult::kTemporary:
      base::log_warning("login put off", {{"remote_ip", remote_ip_}, {"reason", login.reason}});
      machine_.answer_auth(smtp::AuthResult::kTemporary);
      break;
  }
  return Next::kContinue;
}

Session::Next Session::on_mail(const smtp::Mail& mail) {
  ClientFacts client;
  client.ip = remote_ip_;
  client.helo = machine_.hello_name();
  client.protocol = machine_.protocol();
  if (stream_.inside_tls()) {
    const net::TlsInfo tls = stream_.tls_info();
    client.tls = tls.version + " " + tls.cipher;
  }
  client.credential_id = credential_id_;
  client.username = username_;
  client.sends_outward = sends_outward_;
  transaction_ =
      std::make_shared<Transaction>(workplace_, settings_, std::move(client), *mail.envelope);
  const smtp::Reply reply = transaction_->check_sender();
  if (!reply.positive()) transaction_.reset();
  machine_.answer(reply);
  return Next::kContinue;
}

Session::Next Session::on_content_end() {
  // The reply may come from inside this call; the loop in on_input goes on then by itself. The
  // session may be gone when it comes later: the message's fate does not hang on that.
  const auto transaction = std::exchange(transaction_, nullptr);
  std::weak_ptr<bool> alive = alive_;
  auto inside = std::make_shared<bool>(true);
  transaction->finish([this, alive, inside](const smtp::Reply& reply) {
    if (alive.expired()) return;
    machine_.answer(reply);
    if (!*inside) resume();
  });
  *inside = false;
  return Next::kContinue;
}

void Session::resume() {
  on_input({});  // says the reply, and sees whether the session is to end
  if (!ended_ && output_.empty()) stream_.resume_reading();
}

bool Session::flush() {
  if (!tls_started_) return true;
  if (output_.empty()) {
    output_ = machine_.take_output();
  } else {
    output_ += machine_.take_output();
  }
  while (!output_.empty()) {
    const std::size_t room = static_cast<std::size_t>(settings_->limits.stream_output) -
                             std::min(stream_.output_pending(),
                                      static_cast<std::size_t>(settings_->limits.stream_output));
    // Without room an octet is tried all the same: the stream then tells when there is room.
    const std::size_t piece = std::min(std::max<std::size_t>(room, 1), output_.size());
    if (!stream_.write(std::string_view(output_).substr(0, piece))) {
      stream_.pause_reading();  // a client that does not read its replies is not read from
      return false;
    }
    output_.erase(0, piece);
  }
  return true;
}

void Session::on_output_empty() {
  if (ended_ || output_.empty()) return;
  last_activity_ms_ = workplace_.clock->steady_ms();
  if (flush() && machine_.waiting() != smtp::ServerMachine::Waiting::kAnswer) {
    stream_.resume_reading();
  }
}

void Session::on_closed(std::string_view reason) {
  if (ended_) return;
  ended_ = true;
  base::log_debug("session ended", {{"remote_ip", remote_ip_}, {"reason", reason}});
  on_end_(this);
}

void Session::finish(std::string_view reason) {
  flush();
  ended_ = true;
  base::log_debug("session closed", {{"remote_ip", remote_ip_}, {"reason", reason}});
  stream_.close_gracefully(settings_->limits.close_timeout);
  on_end_(this);
}

void Session::end_with(const smtp::Reply& reply) {
  if (ended_) return;
  machine_.close_with(reply);
  // Between commands nothing more need arrive: the machine is asked at once.
  if (machine_.waiting() != smtp::ServerMachine::Waiting::kAnswer) on_input({});
}

void Session::end_if_revoked(const policy::Accounts& accounts) {
  if (!credential_id_.empty() && accounts.credential_by_id(credential_id_) == nullptr) {
    end_with(kRevoked);
  }
}

bool Session::credential_is_live() {
  if (credential_id_.empty()) return true;
  return workplace_.accounts->snapshot()->credential_by_id(credential_id_) != nullptr;
}

// ---- Time limits: one lazy timer; activity only notes the time ---------------------------------

std::int64_t Session::patience_ms() const {
  const base::Limits& limits = settings_->limits;
  switch (machine_.waiting()) {
    case smtp::ServerMachine::Waiting::kContent:
      return limits.data_timeout;
    case smtp::ServerMachine::Waiting::kTls:
      return limits.tls_timeout;
    default:
      break;
  }
  if (!tls_started_) return limits.tls_timeout;
  return output_.empty() ? limits.command_timeout : limits.write_timeout;
}

void Session::watch() {
  last_activity_ms_ = workplace_.clock->steady_ms();
  start_timer(patience_ms());
}

void Session::start_timer(std::int64_t delay_ms) {
  const std::int64_t due_ms = workplace_.clock->steady_ms() + delay_ms;
  if (timer_.running() && timer_due_ms_ <= due_ms) return;
  timer_due_ms_ = due_ms;
  timer_.start_ms(delay_ms);
}

void Session::on_timer() {
  const std::int64_t now_ms = workplace_.clock->steady_ms();
  const auto waiting = machine_.waiting();
  if (waiting == smtp::ServerMachine::Waiting::kAnswer) {  // it is we who are slow
    start_timer(settings_->limits.command_timeout);
    return;
  }
  const bool in_content = waiting == smtp::ServerMachine::Waiting::kContent;
  std::int64_t left_ms = last_activity_ms_ + patience_ms() - now_ms;
  if (in_content) {
    left_ms = std::min(left_ms, message_started_ms_ + settings_->limits.message_timeout - now_ms);
  }
  if (left_ms > 0) {
    start_timer(left_ms);
    return;
  }
  base::log_info("session timed out", {{"remote_ip", remote_ip_}});
  machine_.close_with({421, "4.4.2",
                       in_content ? "the message came too slowly; connect again"
                                  : "nothing came in time; connect again"});
  on_input({});
  if (!ended_) finish("timed out");
}

}  // namespace ingress
