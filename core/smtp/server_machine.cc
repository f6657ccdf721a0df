#include "core/smtp/server_machine.h"

#include <string.h>  // explicit_bzero

#include <utility>

#include "core/base/bytes.h"
#include "core/smtp/server_state.h"

namespace smtp {

namespace {

// Replies that are kept before the owner must send them.
constexpr std::size_t kOutputOctetsMax = 16 * 1024;
// The first octet of a TLS record that holds a ClientHello (RFC 8446 5.1).
constexpr char kTlsHandshake = 0x16;

std::size_t to_size(std::int64_t limit) { return static_cast<std::size_t>(limit); }

void wipe(std::string& secret) {
  explicit_bzero(secret.data(), secret.size());
  secret.clear();
}

}  // namespace

using State = ServerMachine::State;

State::State(ServerOptions server_options, const base::Limits& server_limits)
    : options(std::move(server_options)),
      limits(server_limits),
      tls(options.inside_tls),
      phase(Phase::kFresh),
      reader(DataReader::Framing::kDots, 0, 0) {}

// ---- Reading ------------------------------------------------------------------------------------

Step State::next(std::span<char> input) {
  std::size_t used = 0;
  while (true) {
    if (!events.empty()) {
      Event event = events.front();
      events.pop_front();
      return {event, used};
    }
    if (mode == Mode::kClosed) return {Close{close_reason}, input.size()};
    if (question != Question::kNone) return {NeedAnswer{}, used};
    if (ending) {
      drop_transaction();
      fail(last_words, "ended by the server");
      continue;
    }
    if (out.size() > kOutputOctetsMax) return {Flush{}, used};
    if (used == input.size()) return {NeedInput{}, used};

    switch (mode) {
      case Mode::kData:
      case Mode::kChunk: {
        const Step step = mode == Mode::kData ? read_data(input, used) : read_chunk(input, used);
        if (std::holds_alternative<Content>(step.event)) return step;
        used = step.used;
        break;
      }
      case Mode::kTls:
        close("plaintext behind STARTTLS");
        break;
      case Mode::kCommand:
      case Mode::kAuthResponse: {
        if (input[used] == kTlsHandshake && phase == Phase::kFresh && !line.in_line()) {
          fail({554, "5.5.1", "This port does not start with TLS: say EHLO, then STARTTLS"},
               "TLS handshake in place of a command");
          break;
        }
        const auto line_max = mode == Mode::kCommand ? limits.command_line : limits.auth_line;
        const std::string_view rest{input.data() + used, input.size() - used};
        const LineReader::Read read = line.read(rest, to_size(line_max));
        used += read.used;
        bytes_behind = used < input.size();
        if (read.state == LineReader::State::kLine) read_line(line.line());
        if (read.state == LineReader::State::kTooLong || read.state == LineReader::State::kBareLf)
          unreadable_line(read.state);
        break;
      }
      case Mode::kClosed:
        break;
    }
  }
}

void State::read_line(std::string_view text) {
  if (mode == Mode::kAuthResponse) {
    mode = Mode::kCommand;
    auth_response(text);
    line.wipe();
    return;
  }
  run(text);
}

void State::unreadable_line(LineReader::State why) {
  const bool in_auth = mode == Mode::kAuthResponse;
  const bool auth_command = base::istarts_with(line.line(), "AUTH ");
  const bool chunk_command = base::istarts_with(line.line(), "BDAT");
  mode = Mode::kCommand;
  if (in_auth || auth_command) line.wipe();
  if (why == LineReader::State::kBareLf) {
    // To read on would mean to guess what the client takes for a line: that guess is how commands
    // are smuggled. Who sends by hand learns the reason at once.
    fail({500, "5.5.2", "A line must end in CRLF, not in LF alone; closing the connection"},
         "bare LF in a command line");
    return;
  }
  if (chunk_command) {
    fail({501, "5.5.4", "Cannot tell how long the chunk is; closing the connection"},
         "BDAT that cannot be read");
    return;
  }
  if (in_auth || auth_command) return refuse(500, "5.5.6", "The AUTH line is too long");
  refuse(500, "5.5.2",
         "The line is too long: at most " + std::to_string(limits.command_line) + " octets");
}

// ---- Replies ------------------------------------------------------------------------------------

void State::refuse(const Reply& reply) {
  if (++bad_commands > limits.bad_commands) {
    fail({421, "4.7.0", "Too many errors; mend the client and connect again"}, "too many errors");
    return;
  }
  send(reply);
}

void State::refuse(int code, std::string_view enhanced, std::string_view text) {
  refuse(Reply{code, std::string(enhanced), std::string(text)});
}

void State::close(std::string_view reason) {
  close_reason = reason;
  mode = Mode::kClosed;
  question = Question::kNone;
  ending = false;
  line.wipe();
}

void State::fail(const Reply& reply, std::string_view reason) {
  send(reply);
  close(reason);
}

void State::drop_transaction() {
  if (phase == Phase::kMail || phase == Phase::kRcpt || phase == Phase::kBdat)
    events.push_back(Reset{});
  forget_transaction();
}

void State::forget_transaction() {
  if (phase != Phase::kFresh) phase = Phase::kReady;
  envelope = {};
  recipient = {};
  recipients = 0;
  mail_refused = recipient_refused = false;
}

void State::answer(const Reply& reply) {
  const Question asked = std::exchange(question, Question::kNone);
  if (asked == Question::kNone || asked == Question::kAuth) {
    question = asked;
    return;
  }
  const bool good = reply.positive();
  switch (asked) {
    case Question::kMail:
      send(reply);
      mail_refused = !good;
      if (good)
        phase = Phase::kMail;
      else
        envelope = {};
      break;
    case Question::kRcpt:
      send(reply);
      if (good) {
        phase = Phase::kRcpt;
        ++recipients;
      } else {
        recipient_refused = true;
      }
      recipient = {};
      break;
    case Question::kData:
      if (good) {
        send({354, "", "Send the message; end it with a line that holds a single dot"});
        begin_content(DataReader::Framing::kDots);
        mode = Mode::kData;
      } else {
        send(reply);
        drop_transaction();
      }
      break;
    case Question::kBdat:
      if (good) {
        begin_content(DataReader::Framing::kChunks);
        mode = Mode::kChunk;
        if (chunk.remaining == 0) chunk_done();
      } else {
        fail_bdat(reply);
      }
      break;
    case Question::kContentEnd:
      send(reply);
      forget_transaction();
      break;
    case Question::kNone:
    case Question::kAuth:
      break;
  }
  // RFC 5321 3.8: 421 announces that the server closes.
  if (reply.code == 421 && mode != Mode::kChunk) close("421 from the server");
}

void State::answer_auth(AuthResult result) {
  if (question != Question::kAuth) return;
  question = Question::kNone;
  wipe(auth_message);
  switch (result) {
    case AuthResult::kAccepted:
      authenticated = true;
      send({235, "2.7.0", "Authentication successful"});
      break;
    case AuthResult::kTemporary:
      send({454, "4.7.0", "Logins cannot be checked now; try again later"});
      break;
    case AuthResult::kRejected: {
      const Reply reply{535, "5.7.8", "User name or password is wrong"};
      if (++auth_failures >= limits.auth_failures)
        fail(reply, "too many failed logins");
      else
        send(reply);
      break;
    }
  }
}

// ---- The public face ----------------------------------------------------------------------------

ServerMachine::ServerMachine(ServerOptions options, const base::Limits& limits)
    : state_(std::make_unique<State>(std::move(options), limits)) {}

ServerMachine::~ServerMachine() { wipe(state_->auth_message); }

void ServerMachine::greet() { state_->send({220, "", state_->options.hostname + " ESMTP relayd"}); }

void ServerMachine::refuse(const Reply& reply) { state_->fail(reply, "refused at the greeting"); }

Step ServerMachine::next(std::span<char> input) { return state_->next(input); }

void ServerMachine::answer(const Reply& reply) { state_->answer(reply); }

void ServerMachine::answer_auth(AuthResult result) { state_->answer_auth(result); }

void ServerMachine::tls_started() {
  State& s = *state_;
  if (s.mode != State::Mode::kTls) return;
  s.mode = State::Mode::kCommand;
  s.phase = State::Phase::kFresh;
  s.tls = true;
  s.authenticated = false;
  s.extended = false;
  s.hello_name.clear();
}

void ServerMachine::close_with(const Reply& reply) {
  State& s = *state_;
  if (s.mode == State::Mode::kClosed || s.ending) return;
  // Inside a TLS handshake nothing can be said.
  if (s.mode == State::Mode::kTls) return s.close("ended by the server");
  s.ending = true;
  s.last_words = reply;
}

std::string ServerMachine::take_output() { return std::exchange(state_->out, {}); }

bool ServerMachine::has_output() const { return !state_->out.empty(); }

ServerMachine::Waiting ServerMachine::waiting() const {
  if (state_->question != State::Question::kNone) return Waiting::kAnswer;
  switch (state_->mode) {
    case State::Mode::kData:
    case State::Mode::kChunk:
      return Waiting::kContent;
    case State::Mode::kTls:
      return Waiting::kTls;
    case State::Mode::kClosed:
      return Waiting::kClosed;
    case State::Mode::kCommand:
    case State::Mode::kAuthResponse:
      break;
  }
  return Waiting::kCommand;
}

bool ServerMachine::inside_tls() const { return state_->tls; }

bool ServerMachine::authenticated() const { return state_->authenticated; }

std::string_view ServerMachine::hello_name() const { return state_->hello_name; }

std::string_view ServerMachine::protocol() const {
  static constexpr std::string_view kNames[2][2][2] = {
      {{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
      {{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}}};
  const State& s = *state_;
  if (!s.extended) return "SMTP";
  return kNames[s.envelope.smtputf8][s.tls][s.authenticated];
}

}  // namespace smtp
