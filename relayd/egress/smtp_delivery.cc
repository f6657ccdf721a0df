#include "relayd/egress/smtp_delivery.h"

#include <algorithm>

#include "core/base/log.h"
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

}  // namespace

SmtpDelivery::SmtpDelivery(const Workplace& workplace, std::shared_ptr<const Settings> settings,
                           std::string lane, policy::Smarthost smarthost, std::string password,
                           Hooks hooks)
    : workplace_(workplace),
      settings_(std::move(settings)),
      lane_(std::move(lane)),
      smarthost_(std::move(smarthost)),
      hooks_(std::move(hooks)),
      machine_(client_options(*settings_, smarthost_, std::move(password)), settings_->limits),
      timer_(*workplace.loop, [this] {
        if (stream_) stream_.reset();
        on_closed(connected_ ? "the smarthost did not answer in time" : "no connection in time");
      }) {}

SmtpDelivery::~SmtpDelivery() = default;

void SmtpDelivery::start() {
  const std::weak_ptr<bool> alive = alive_;
  dns::resolve_host(
      *workplace_.resolver, smarthost_.host, [this, alive](const dns::HostAddresses& found) {
        if (alive.expired() || ended_) return;
        addresses_ = found.ips;
        last_error_ = "cannot find the address of " + smarthost_.host + ": " + found.error;
        connect_next();
      });
}

void SmtpDelivery::stop() {
  stopping_ = true;
  if (!item_) end({});
}

void SmtpDelivery::connect_next() {
  while (!addresses_.empty()) {
    const std::string ip = addresses_.front();
    addresses_.erase(addresses_.begin());
    const auto address = net::SocketAddress::from_ip(ip, smarthost_.port);
    if (!address) {
      last_error_ = address.message();
      continue;
    }
    stream_ = std::make_unique<net::Stream>(
        *workplace_.loop, *this,
        net::StreamLimits{static_cast<std::size_t>(settings_->limits.stream_input),
                          static_cast<std::size_t>(settings_->limits.stream_output)});
    timer_.start_ms(settings_->limits.connect_timeout);
    last_error_ = address->str();
    stream_->connect(*address);
    return;
  }
  end(last_error_);
}

void SmtpDelivery::on_connected() {
  connected_ = true;
  if (smarthost_.tls == policy::SmarthostTls::kImplicit) {
    timer_.start_ms(settings_->limits.tls_timeout);
    stream_->start_tls_client(settings_->tls.get(), smarthost_.host);
    return;
  }
  pump();
}

void SmtpDelivery::on_tls() {
  machine_.tls_started();
  pump();
}

std::size_t SmtpDelivery::on_input(std::span<char> bytes) {
  machine_.feed({bytes.data(), bytes.size()});
  pump();
  return bytes.size();
}

void SmtpDelivery::on_output_empty() { pump(); }

void SmtpDelivery::on_closed(std::string_view reason) {
  if (ended_) return;
  if (!connected_) {
    last_error_ = std::string(reason);
    connect_next();
    return;
  }
  stream_.reset();
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
    flush();
    restart_timer();
    return Next::kWait;
  }
  if (std::holds_alternative<smtp::BeginTls>(action)) {
    if (!flush()) return Next::kWait;
    timer_.start_ms(settings_->limits.tls_timeout);
    stream_->start_tls_client(settings_->tls.get(), smarthost_.host);
    return Next::kWait;
  }
  if (std::holds_alternative<smtp::Ready>(action)) return next_message();
  if (std::holds_alternative<smtp::SendContent>(action)) return send_more();
  if (const auto* done = std::get_if<smtp::MessageDone>(&action)) {
    message_done(*done);
    return Next::kContinue;
  }
  const auto& finished = std::get<smtp::Finished>(action);
  flush();
  if (finished.why == smtp::Finished::Why::kQuit || was_of_use_) {
    end({});
  } else {
    end(finished.text + (finished.reply.code != 0 ? ": " + finished.reply.str() : ""));
  }
  return Next::kWait;
}

SmtpDelivery::Next SmtpDelivery::next_message() {
  was_of_use_ = true;
  item_ = stopping_ ? std::nullopt : hooks_.take();
  if (!item_) {
    machine_.quit();
    return Next::kContinue;
  }
  auto message = workplace_.store->find(item_->id);
  auto delivery = workplace_.store->delivery(item_->id, item_->index);
  if (!message || !delivery || delivery->state != queue::State::kWaiting) {
    hooks_.let_go(*item_);  // removed or held meanwhile
    item_.reset();
    return Next::kContinue;
  }
  recipients_.clear();
  for (const std::uint32_t index : pending_recipients(*delivery)) {
    recipients_.push_back(message->envelope.recipients[index]);
  }
  queue::Delivery copy = *delivery;
  auto opened = Outgoing::open(*workplace_.store, std::move(*message), std::move(*delivery),
                               settings_->limits);
  if (const auto* failure = std::get_if<Outgoing::Failure>(&opened)) {
    queue::DeliveryUpdate update;
    update.id = copy.id;
    update.index = copy.index;
    update.state = queue::State::kHeld;
    update.attempts = copy.attempts;
    update.last_reply = (failure->guard ? "header guard: " : "") + failure->text;
    base::log_error(failure->guard ? "header guard stopped a message" : "message cannot be read",
                    {{"id", copy.id.str()}, {"reason", failure->text}});
    item_.reset();
    hooks_.settle(std::move(update));
    return Next::kContinue;
  }
  outgoing_ = std::move(std::get<std::unique_ptr<Outgoing>>(opened));
  content_sent_ = false;
  machine_.send_message(outgoing_->message().envelope, recipients_, outgoing_->size());
  return Next::kContinue;
}

SmtpDelivery::Next SmtpDelivery::send_more() {
  while (!content_sent_) {
    if (!flush() || stream_->output_pending() > kOutputAhead) {
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
  stream_.reset();
  hooks_.settle(std::move(update));
  end({});
}

void SmtpDelivery::message_done(const smtp::MessageDone& done) {
  std::vector<smtp::Reply> replies;
  replies.reserve(done.recipients.size());
  for (const auto& outcome : done.recipients) replies.push_back(outcome.reply);
  const queue::Message& message = outgoing_->message();
  const std::int64_t now_ms = workplace_.clock->wall_ms();
  Judged judged = judge_replies(message, outgoing_->delivery(), replies, smarthost_.host,
                                settings_->retry_ms, now_ms);
  base::log_info(judged.update.finished ? "sent" : "deferred",
                 {{"id", message.id.str()},
                  {"smarthost", lane_},
                  {"delivered", judged.delivered},
                  {"failed", judged.failed.size()},
                  {"reply", replies.empty() ? std::string() : replies.front().str()},
                  {"waited_ms", now_ms - message.arrival_ms}});
  add_report(workplace_, *settings_, message, outgoing_->headers(), judged);
  item_.reset();
  hooks_.settle(std::move(judged.update));
  outgoing_.reset();
}

bool SmtpDelivery::flush() {
  output_ += machine_.take_output();
  while (!output_.empty() && stream_) {
    const std::size_t room = static_cast<std::size_t>(settings_->limits.stream_output) -
                             std::min(stream_->output_pending(),
                                      static_cast<std::size_t>(settings_->limits.stream_output));
    // Without room an octet is tried all the same: the stream then tells when there is room.
    const std::size_t piece = std::min(std::max<std::size_t>(room, 1), output_.size());
    if (!stream_->write(std::string_view(output_).substr(0, piece))) return false;
    output_.erase(0, piece);
  }
  return true;
}

void SmtpDelivery::end(const std::string& refused) {
  if (ended_) return;
  ended_ = true;
  timer_.stop();
  if (item_) hooks_.put_back(*item_);
  if (stream_) stream_->close_gracefully(settings_->limits.close_timeout);
  if (!refused.empty()) {
    base::log_warning("smarthost cannot be used", {{"smarthost", lane_}, {"reason", refused}});
  }
  hooks_.ended(refused);
}

void SmtpDelivery::restart_timer() {
  const base::Limits& limits = settings_->limits;
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
