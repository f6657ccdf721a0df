#include "relayd/egress/smtp_delivery.h"

#include <algorithm>

#include "core/base/log.h"
#include "relayd/egress/manners.h"
#include "relayd/egress/notices.h"
#include "relayd/egress/report.h"

namespace egress {
namespace {

// Content is read ahead only so far; the stream's own buffer has room for a stuffed piece more.
constexpr std::size_t kOutputAhead = 64 * 1024;

smtp::ClientOptions client_options(const Settings& settings, const policy::Smarthost& smarthost,
                                   std::string password) {
  smtp::ClientOptions options;
  options.hostname = settings.hostname;
  options.username = smarthost.username;
  options.password = std::move(password);
  options.pipelined_content = static_cast<std::uint64_t>(settings.limits.pipelined_content);
  switch (smarthost.tls) {
    case policy::SmarthostTls::kStartTls:
      options.tls = smtp::ClientTls::kStartTls;
      break;
    case policy::SmarthostTls::kImplicit:
      options.tls = smtp::ClientTls::kImplicit;
      break;
    case policy::SmarthostTls::kNone:
      options.tls = smtp::ClientTls::kNone;
      break;
  }
  return options;
}

// RFC 5321 4.5.3.1.10: "too many recipients" is no verdict on those it is said to.
void soften(const smtp::MessageDone& done, std::vector<smtp::Reply>& replies) {
  const bool others = std::any_of(
      done.recipients.begin(), done.recipients.end(),
      [](const auto& outcome) { return outcome.reply.positive() || outcome.from_end_of_data; });
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (done.recipients[i].from_end_of_data) continue;
    if (means_too_many_recipients(replies[i], others)) {
      replies[i].code = 452;
      replies[i].enhanced = "4.5.3";
    }
  }
}

}  // namespace

SmtpDelivery::SmtpDelivery(const Workplace& workplace, std::shared_ptr<const Settings> settings,
                           std::string lane, policy::Smarthost smarthost, std::string host,
                           std::string password, Hooks hooks)
    : workplace_(workplace),
      settings_(std::move(settings)),
      lane_(std::move(lane)),
      smarthost_(std::move(smarthost)),
      host_(std::move(host)),
      hooks_(std::move(hooks)),
      machine_(client_options(*settings_, smarthost_, std::move(password)), settings_->limits),
      timer_(*workplace.loop, [this] { on_timer(); }) {}

SmtpDelivery::~SmtpDelivery() = default;

void SmtpDelivery::start() {
  const std::weak_ptr<bool> alive = alive_;
  connector_ = std::make_unique<Connector>(
      workplace_, settings_->limits,
      [this](std::unique_ptr<Wire> wire) { connected(std::move(wire)); },
      [this](const std::string& why) {
        end({Ending::Why::kHost, why, {}});
      });
  dns::resolve_host(*workplace_.resolver, host_, [this, alive](const dns::HostAddresses& found) {
    if (alive.expired() || ended_) return;
    if (!found.ips.empty()) return connector_->start(found.ips, smarthost_.port);
    end({Ending::Why::kHost, "cannot find the address of " + host_ + ": " + found.error, {}});
  });
}

void SmtpDelivery::stop() {
  stopping_ = true;
  if (resting_) return pump();
  if (!item_) end({});
}

void SmtpDelivery::on_timer() {
  if (resting_) return stop();
  on_closed("the smarthost did not answer in time");
}

void SmtpDelivery::connected(std::unique_ptr<Wire> wire) {
  if (ended_) return;
  wire_ = std::move(wire);
  wire_->give_to(*this);
  if (smarthost_.tls == policy::SmarthostTls::kImplicit) {
    timer_.start_ms(settings_->limits.tls_timeout);
    wire_->stream.start_tls_client(settings_->tls.get(), host_);
    return;
  }
  restart_timer();
  pump();
}

void SmtpDelivery::on_tls() {
  machine_.tls_started();
  restart_timer();
  pump();
}

std::size_t SmtpDelivery::on_input(std::span<char> bytes) {
  if (ended_) return bytes.size();
  const std::string_view input(bytes.data(), bytes.size());
  machine_.feed(input);
  heard_ = true;
  // A peer that gives its reply octet by octet has no more time for it than another.
  if (input.find('\n') != std::string_view::npos) restart_timer();
  pump();
  return bytes.size();
}

void SmtpDelivery::on_output_empty() { pump(); }

void SmtpDelivery::on_closed(std::string_view reason) {
  if (ended_) return;
  workplace_.loop->defer([gone = std::shared_ptr<Wire>(std::move(wire_))] {});
  // The peer had closed before it saw the message, which waits as if it had not been tried.
  if (item_ && has_sent_ && !heard_) return end({});
  machine_.closed(reason);
  pump();
}

void SmtpDelivery::pump() {
  const std::weak_ptr<bool> alive = alive_;
  while (!ended_) {
    smtp::Action action = machine_.next();
    if (act(action) == Next::kWait) break;
    if (alive.expired()) return;
  }
}

SmtpDelivery::Next SmtpDelivery::act(smtp::Action& action) {
  if (std::holds_alternative<smtp::NeedReply>(action)) {
    if (machine_.has_output()) restart_timer();
    flush();
    return Next::kWait;
  }
  if (std::holds_alternative<smtp::BeginTls>(action)) {
    if (!flush()) return Next::kWait;
    timer_.start_ms(settings_->limits.tls_timeout);
    wire_->stream.start_tls_client(settings_->tls.get(), host_);
    return Next::kWait;
  }
  if (std::holds_alternative<smtp::Ready>(action)) return next_message();
  if (std::holds_alternative<smtp::SendContent>(action)) return send_more();
  if (const auto* done = std::get_if<smtp::MessageDone>(&action)) {
    message_done(*done);
    return Next::kContinue;
  }
  close_down(std::get<smtp::Finished>(action));
  return Next::kWait;
}

void SmtpDelivery::close_down(const smtp::Finished& finished) {
  flush();
  if (says_too_many_connections(finished.reply)) hooks_.too_many_connections(finished.reply);
  if (finished.why == smtp::Finished::Why::kQuit || was_of_use_) return end({});
  const bool rejected =
      finished.why == smtp::Finished::Why::kAuthRejected && blames_account(finished.reply);
  end({rejected ? Ending::Why::kLoginRejected : Ending::Why::kHost, finished.text, finished.reply});
}

SmtpDelivery::Next SmtpDelivery::next_message() {
  was_of_use_ = true;
  rest(false);
  item_ = stopping_ ? std::nullopt : hooks_.take();
  if (!item_) {
    note_login();
    if (!stopping_ && hooks_.may_rest()) {
      rest(true);
      return Next::kWait;
    }
    quitting_ = true;
    machine_.quit();
    return Next::kContinue;
  }
  const auto message = workplace_.store->find(item_->id);
  const auto delivery = workplace_.store->delivery(item_->id, item_->index);
  if (!message || !delivery || delivery->state != queue::State::kWaiting) {
    hooks_.let_go(*item_);  // removed or held meanwhile
    item_.reset();
    return Next::kContinue;
  }
  auto opened = Outgoing::open(*workplace_.store, message, delivery, settings_->limits);
  if (const auto* failure = std::get_if<Outgoing::Failure>(&opened)) {
    queue::DeliveryUpdate update;
    update.id = delivery->id;
    update.index = delivery->index;
    update.state = queue::State::kHeld;
    update.attempts = delivery->attempts;
    update.last_reply = (failure->guard ? "header guard: " : "") + failure->text;
    base::log_error(failure->guard ? "header guard stopped a message" : "message cannot be read",
                    {{"id", delivery->id.str()}, {"reason", failure->text}});
    item_.reset();
    hooks_.settle(std::move(update));
    return Next::kContinue;
  }
  outgoing_ = std::move(std::get<std::unique_ptr<Outgoing>>(opened));
  content_sent_ = false;
  heard_ = false;
  const std::vector<mail::Recipient>& all = message->envelope.recipients;
  const std::vector<std::uint32_t> pending = pending_recipients(*delivery);
  hooks_.sending(pending.size());
  if (pending.size() == all.size()) {
    machine_.send_message(message->envelope, all, outgoing_->size());
    return Next::kContinue;
  }
  std::vector<mail::Recipient> some;
  some.reserve(pending.size());
  for (const std::uint32_t index : pending) some.push_back(all[index]);
  machine_.send_message(message->envelope, some, outgoing_->size());
  return Next::kContinue;
}

void SmtpDelivery::rest(bool rests) {
  if (rests) timer_.start_ms(settings_->limits.smarthost_idle);
  if (std::exchange(resting_, rests) != rests) hooks_.rests(rests);
}

SmtpDelivery::Next SmtpDelivery::send_more() {
  while (!content_sent_) {
    // Little is written at once, and goes along with the envelope where that may be.
    const bool is_much = machine_.output_octets() > kOutputAhead;
    if ((is_much && !flush()) || wire_->stream.output_pending() > kOutputAhead) {
      restart_timer();
      return Next::kWait;
    }
    const auto piece = outgoing_->next_piece();
    if (!piece) {
      hold("the body cannot be read back as it came in: " + piece.message(), false);
      return Next::kWait;
    }
    if (!piece->empty()) {
      machine_.content(*piece);
      continue;
    }
    if (const auto checked = outgoing_->check_body(); !checked) {
      hold("header guard: " + checked.message(), true);
      return Next::kWait;
    }
    machine_.content_end();
    content_sent_ = true;
  }
  return Next::kContinue;
}

// The message must not be completed: the connection goes without the end of data having been said,
// so that the smarthost throws away what it has (RFC 5321 4.1.1.4).
void SmtpDelivery::hold(const std::string& why, bool alarm) {
  queue::DeliveryUpdate update;
  update.id = item_->id;
  update.index = item_->index;
  update.state = queue::State::kHeld;
  update.attempts = outgoing_->delivery().attempts;
  update.last_reply = why;
  base::log_error(alarm ? "header guard stopped a message" : "message cannot be read",
                  {{"id", item_->id.str()}, {"reason", why}});
  item_.reset();
  workplace_.loop->defer([gone = std::shared_ptr<Wire>(std::move(wire_))] {});
  hooks_.settle(std::move(update));
  end({});
}

void SmtpDelivery::message_done(const smtp::MessageDone& done) {
  std::vector<smtp::Reply> replies;
  replies.reserve(done.recipients.size());
  for (const auto& outcome : done.recipients) replies.push_back(outcome.reply);
  for (const smtp::Reply& reply : replies) {
    if (!says_too_many_connections(reply)) continue;
    hooks_.too_many_connections(reply);
    break;
  }
  if (login_is_wanted(replies)) return;
  note_login();
  soften(done, replies);
  const queue::Message& message = outgoing_->message();
  const std::int64_t now_ms = workplace_.clock->wall_ms();
  Judged judged =
      judge_replies(message, outgoing_->delivery(), replies, host_, settings_->retry_ms, now_ms);
  base::log_info(judged.update.finished ? "sent" : "deferred",
                 {{"id", message.id.text()},
                  {"smarthost", lane_},
                  {"delivered", judged.delivered},
                  {"failed", judged.failed.size()},
                  {"reply", replies.empty() ? std::string() : replies.front().str()},
                  {"waited_ms", now_ms - message.arrival_ms}});
  add_report(workplace_, *settings_, message, outgoing_->headers(), judged);
  add_notices(workplace_, *settings_, message, outgoing_->delivery(), outgoing_->headers(), host_,
              judged);
  item_.reset();
  has_sent_ = true;
  hooks_.settle(std::move(judged.update));
  outgoing_.reset();
}

bool SmtpDelivery::flush() {
  if (output_.empty()) {
    output_ = machine_.take_output();
  } else {
    output_ += machine_.take_output();
  }
  while (!output_.empty() && wire_) {
    const std::size_t room = static_cast<std::size_t>(settings_->limits.stream_output) -
                             std::min(wire_->stream.output_pending(),
                                      static_cast<std::size_t>(settings_->limits.stream_output));
    // Without room an octet is tried all the same: the stream then tells when there is room.
    const std::size_t piece = std::min(std::max<std::size_t>(room, 1), output_.size());
    if (!wire_->stream.write(std::string_view(output_).substr(0, piece))) return false;
    output_.erase(0, piece);
  }
  return true;
}

// A login counts as accepted once mail is taken from it: some servers say 235 to accounts that may
// not send, and 530 to their MAIL.
void SmtpDelivery::note_login() {
  if (smarthost_.username.empty() || std::exchange(login_noted_, true)) return;
  hooks_.logged_in();
}

// The message is not to blame: it waits, and the account or the configuration is mended.
bool SmtpDelivery::login_is_wanted(const std::vector<smtp::Reply>& replies) {
  const bool wanted = !replies.empty() && std::all_of(replies.begin(), replies.end(), wants_login);
  if (!wanted) return false;
  outgoing_.reset();
  if (smarthost_.username.empty()) {
    end({Ending::Why::kLoginWanted,
         "the smarthost wants a login and none is set: " + replies.front().str(), replies.front()});
  } else {
    end({Ending::Why::kLoginRejected,
         "the smarthost does not accept mail of this login: " + replies.front().str(),
         replies.front()});
  }
  return true;
}

void SmtpDelivery::end(const Ending& ending) {
  if (ended_) return;
  ended_ = true;
  timer_.stop();
  rest(false);
  if (connector_) workplace_.loop->defer([gone = std::shared_ptr(std::move(connector_))] {});
  if (item_) hooks_.put_back(*item_);
  if (wire_) wire_->stream.close_gracefully(settings_->limits.close_timeout);
  if (ending.why != Ending::Why::kOfUse) {
    base::log_warning("smarthost cannot be used",
                      {{"smarthost", lane_}, {"host", host_}, {"reason", ending.text}});
  }
  hooks_.ended(ending);
}

void SmtpDelivery::restart_timer() {
  const base::Limits& limits = settings_->limits;
  if (quitting_) return timer_.start_ms(limits.close_timeout);  // nothing hangs on the 221
  switch (machine_.waiting()) {
    case smtp::ClientMachine::Waiting::kGreeting:
      timer_.start_ms(limits.greeting_timeout);
      break;
    case smtp::ClientMachine::Waiting::kReply:
      timer_.start_ms(limits.reply_timeout);
      break;
    case smtp::ClientMachine::Waiting::kDataReply:
      timer_.start_ms(limits.data_reply_timeout);
      break;
    case smtp::ClientMachine::Waiting::kDataEnd:
      timer_.start_ms(limits.data_end_timeout);
      break;
    case smtp::ClientMachine::Waiting::kNothing:
      timer_.start_ms(limits.write_timeout);
      break;
  }
}

}  // namespace egress
