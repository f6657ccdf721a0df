#include "core/smtp/client_machine.h"

#include <string.h>  // explicit_bzero

#include <utility>

#include "core/base/bytes.h"
#include "core/smtp/client_state.h"

namespace smtp {

using State = ClientMachine::State;
using Why = Finished::Why;

// What is done with the reply to what was said; in the order of Said.
const State::Handler State::kTable[] = {
    &State::on_greeting,     // (connecting)  220
    &State::on_ehlo,         // EHLO          250, or HELO after a refusal
    &State::on_helo,         // HELO          250
    &State::on_starttls,     // STARTTLS      220
    &State::on_auth_plain,   // AUTH PLAIN x  235, or 334 from servers that ask again
    &State::on_auth_prompt,  // AUTH PLAIN    334
    &State::on_auth_login,   // AUTH LOGIN    334
    &State::on_auth_user,    // user name     334
    &State::on_auth_secret,  // password      235
    &State::on_mail,         // MAIL          2yz
    &State::on_rcpt,         // RCPT          2yz
    &State::on_data,         // DATA          354
    &State::on_data_end,     // dot           2yz
    &State::on_chunk,        // BDAT n        2yz
    &State::on_last_chunk,   // BDAT n LAST   2yz
    &State::on_rset,         // RSET          2yz
    &State::on_quit,         // QUIT          anything
};

namespace {

// RFC 4954 section 4: an initial response only where it fits into a command line of RFC 5321.
constexpr std::size_t kCommandLineMax = 510;

std::size_t to_size(std::int64_t limit) { return static_cast<std::size_t>(limit); }

}  // namespace

State::State(ClientOptions client_options, const base::Limits& client_limits)
    : options(std::move(client_options)),
      limits(client_limits),
      secure(options.tls == ClientTls::kImplicit),
      reader(to_size(limits.reply_line), to_size(limits.reply_lines)) {
  expected.push_back({Said::kNothing, 0, 0});
}

// ---- Saying and hearing -------------------------------------------------------------------------

void State::write(std::string_view bytes) {
  out += bytes;
  written += bytes.size();
}

void State::say(std::string_view line, Said said, std::size_t recipient) {
  expected.push_back({said, recipient, written + 1});
  write(line);
  write("\r\n");
}

void State::plan(std::string line, Said said, std::size_t recipient) {
  planned.push_back({std::move(line), said, recipient});
}

// Says what is planned: all of it where the server takes commands in groups (RFC 2920), otherwise
// one command a reply.
void State::pump() {
  while (!planned.empty() && (expected.empty() || offers.pipelining)) {
    const Planned next = std::move(planned.front());
    planned.pop_front();
    say(next.line, next.said, next.recipient);
  }
}

void State::feed(std::string_view bytes) {
  while (!bytes.empty() && stage != Stage::kFinished) {
    if (stage == Stage::kHandshake)
      return protocol_error({}, "the server sent plaintext behind its reply to STARTTLS");
    const ReplyReader::Read read = reader.read(bytes);
    bytes.remove_prefix(read.used);
    if (read.state == ReplyReader::State::kMalformed) return protocol_error({}, reader.error());
    if (read.state == ReplyReader::State::kReply) handle(reader.take());
  }
}

void State::handle(Reply reply) {
  const bool quitting = !expected.empty() && expected.front().said == Said::kQuit;
  const bool coded = expected.empty() ||
                     (expected.front().said != Said::kNothing &&
                      expected.front().said != Said::kEhlo && expected.front().said != Said::kHelo);
  if (coded) take_enhanced_code(reply);
  if (reply.code == 421 && !quitting) {
    if (message) decide(reply, false, false);
    const std::string text = "the server closed the connection: " + reply.str();
    return finish(Why::kServiceClosing, std::move(reply), text);
  }
  if (expected.empty() || taken < expected.front().due_from)
    return protocol_error(reply, "the server replied before it was asked");
  const Expected now = expected.front();
  expected.pop_front();
  (this->*kTable[static_cast<std::size_t>(now.said)])(now, reply);
  if (stage != Stage::kFinished) pump();
}

void State::finish(Why why, Reply reply, std::string text) {
  if (stage == Stage::kFinished) return;
  if (message) {
    decide({451, "4.4.2",
            message->content_out ? text + "; the whole message was sent, so it may arrive twice"
                                 : text},
           false, false);
    message_done();
  }
  stage = Stage::kFinished;
  finished = {why, std::move(reply), std::move(text)};
  expected.clear();
  planned.clear();
  out.clear();
}

void State::finish_politely(Why why, Reply reply, std::string text) {
  finish(why, std::move(reply), std::move(text));
  write("QUIT\r\n");
}

void State::protocol_error(const Reply& reply, std::string_view what) {
  std::string text(what);
  if (reply.code != 0) text += ": " + reply.str();
  finish(Why::kProtocol, reply, std::move(text));
}

// ---- From the greeting to Ready -----------------------------------------------------------------

void State::on_greeting(const Expected&, Reply& reply) {
  if (reply.code == 220) return say("EHLO " + options.hostname, Said::kEhlo);
  if (reply.code < 400)
    return protocol_error(reply, "the server greeted with a code that is not 220");
  const std::string text = "the server refused the connection: " + reply.str();
  finish_politely(Why::kGreetingRefused, std::move(reply), text);
}

void State::on_ehlo(const Expected&, Reply& reply) {
  if (reply.positive()) {
    read_offers(reply.text);
    return after_hello();
  }
  // HELO can neither ask for TLS nor log in.
  if (reply.permanent() && options.tls == ClientTls::kNone && options.username.empty())
    return say("HELO " + options.hostname, Said::kHelo);
  on_helo({}, reply);
}

void State::on_helo(const Expected&, Reply& reply) {
  if (reply.positive()) return after_hello();
  if (reply.code < 400) return protocol_error(reply, "the server's reply to EHLO makes no sense");
  const std::string text = "the server refused our greeting: " + reply.str();
  finish_politely(Why::kGreetingRefused, std::move(reply), text);
}

void State::read_offers(std::string_view ehlo_text) {
  offers = {};  // RFC 3207 4.2: what was offered before TLS means nothing
  bool first = true;
  for (const std::string_view line : base::parts(ehlo_text, '\n')) {
    if (std::exchange(first, false)) continue;  // the server's name
    // "AUTH=LOGIN" is what some servers still say beside "AUTH LOGIN".
    const std::size_t end = line.find_first_of(" =");
    const std::string keyword = base::ascii_upper(line.substr(0, end));
    const std::string_view rest =
        end == std::string_view::npos ? std::string_view{} : base::trim(line.substr(end + 1));
    if (keyword == "PIPELINING") offers.pipelining = true;
    if (keyword == "8BITMIME") offers.eight_bit = true;
    if (keyword == "SMTPUTF8") offers.smtputf8 = true;
    if (keyword == "CHUNKING") offers.chunking = true;
    if (keyword == "DSN") offers.dsn = true;
    if (keyword == "STARTTLS") offers.starttls = true;
    if (keyword == "SIZE") {
      offers.size = true;
      offers.size_max = base::parse_unsigned(rest).value_or(0);
    }
    if (keyword == "AUTH") {
      for (const std::string_view mechanism : base::parts(rest, ' ')) {
        if (base::iequals(mechanism, "PLAIN")) offers.auth_plain = true;
        if (base::iequals(mechanism, "LOGIN")) offers.auth_login = true;
      }
    }
  }
}

void State::after_hello() {
  if (options.tls == ClientTls::kStartTls && !secure) {
    if (offers.starttls) return say("STARTTLS", Said::kStartTls);
    return finish_politely(Why::kTlsNotOffered, {},
                           "the server does not offer STARTTLS, and TLS is required");
  }
  if (!options.username.empty()) return begin_auth();
  stage = Stage::kReady;
}

void State::on_starttls(const Expected&, Reply& reply) {
  if (reply.code == 220) {
    stage = Stage::kHandshake;
    return;
  }
  if (reply.code < 400) return protocol_error(reply, "the reply to STARTTLS makes no sense");
  const std::string text = "the server refused to start TLS: " + reply.str();
  finish_politely(Why::kTlsRefused, std::move(reply), text);
}

// ---- AUTH (RFC 4954, RFC 4616; LOGIN as servers speak it) ---------------------------------------

std::string State::plain_response() const {
  return base::base64_encode(std::string(1, '\0') + options.username + '\0' + options.password);
}

void State::begin_auth() {
  if (!secure && !options.allow_auth_in_plaintext)
    return finish_politely(Why::kAuthNotOffered, {}, "credentials are not sent without TLS");
  if (offers.auth_plain) {
    const std::string line = "AUTH PLAIN " + plain_response();
    if (line.size() > kCommandLineMax) return say("AUTH PLAIN", Said::kAuthPrompt);
    return say(line, Said::kAuthPlain);
  }
  if (offers.auth_login) return say("AUTH LOGIN", Said::kAuthLogin);
  finish_politely(Why::kAuthNotOffered, {},
                  "the server offers no login that is spoken here (PLAIN, LOGIN)");
}

void State::on_auth_plain(const Expected& now, Reply& reply) {
  if (reply.code == 334) return say(plain_response(), Said::kAuthSecret);
  on_auth_secret(now, reply);
}

void State::on_auth_prompt(const Expected& now, Reply& reply) { on_auth_plain(now, reply); }

void State::on_auth_login(const Expected& now, Reply& reply) {
  if (reply.code == 334) return say(base::base64_encode(options.username), Said::kAuthUser);
  on_auth_secret(now, reply);
}

void State::on_auth_user(const Expected& now, Reply& reply) {
  if (reply.code == 334) return say(base::base64_encode(options.password), Said::kAuthSecret);
  on_auth_secret(now, reply);
}

void State::on_auth_secret(const Expected& now, Reply& reply) {
  const bool complete = now.said == Said::kAuthSecret || now.said == Said::kAuthPlain;
  if (reply.positive() && complete) {
    stage = Stage::kReady;
    return;
  }
  if (reply.code < 400) return protocol_error(reply, "the reply to AUTH makes no sense");
  const Why why = reply.permanent() ? Why::kAuthRejected : Why::kAuthTemporary;
  const std::string text = "the server did not accept the login: " + reply.str();
  finish_politely(why, std::move(reply), text);
}

void State::on_quit(const Expected&, Reply& reply) {
  finish(Why::kQuit, std::move(reply), "the session is over");
}

// ---- The public face ----------------------------------------------------------------------------

ClientMachine::ClientMachine(ClientOptions options, const base::Limits& limits)
    : state_(std::make_unique<State>(std::move(options), limits)) {}

ClientMachine::~ClientMachine() {
  explicit_bzero(state_->options.password.data(), state_->options.password.size());
}

Action ClientMachine::next() {
  State& s = *state_;
  if (s.done) {
    MessageDone done = std::move(*s.done);
    s.done.reset();
    return done;
  }
  switch (s.stage) {
    case State::Stage::kHandshake:
      return BeginTls{};
    case State::Stage::kReady:
      return Ready{};
    case State::Stage::kContent:
      return SendContent{s.message->chunking};
    case State::Stage::kFinished:
      return s.finished;
    case State::Stage::kDialogue:
      break;
  }
  return NeedReply{};
}

void ClientMachine::feed(std::string_view bytes) { state_->feed(bytes); }

void ClientMachine::tls_started() {
  State& s = *state_;
  if (s.stage != State::Stage::kHandshake) return;
  s.stage = State::Stage::kDialogue;
  s.secure = true;
  s.say("EHLO " + s.options.hostname, State::Said::kEhlo);
}

void ClientMachine::closed(std::string_view why) {
  State& s = *state_;
  const bool quitting = !s.expected.empty() && s.expected.front().said == State::Said::kQuit;
  if (quitting) return s.finish(Why::kQuit, {}, "the session is over");
  s.finish(Why::kConnectionLost, {}, "the connection was lost: " + std::string(why));
}

void ClientMachine::send_message(const mail::Envelope& envelope,
                                 const std::vector<mail::Recipient>& recipients,
                                 std::uint64_t size) {
  if (state_->stage == State::Stage::kReady) state_->send_message(envelope, recipients, size);
}

void ClientMachine::content(std::string_view bytes) {
  if (state_->stage == State::Stage::kContent) state_->content(bytes);
}

void ClientMachine::content_end() {
  if (state_->stage == State::Stage::kContent) state_->content_end();
}

void ClientMachine::quit() {
  if (state_->stage != State::Stage::kReady) return;
  state_->stage = State::Stage::kDialogue;
  state_->say("QUIT", State::Said::kQuit);
}

std::string ClientMachine::take_output() {
  state_->taken = state_->written;
  return std::exchange(state_->out, {});
}

bool ClientMachine::has_output() const { return !state_->out.empty(); }

std::size_t ClientMachine::output_octets() const { return state_->out.size(); }

ClientMachine::Waiting ClientMachine::waiting() const {
  if (state_->stage != State::Stage::kDialogue || state_->expected.empty())
    return Waiting::kNothing;
  switch (state_->expected.front().said) {
    case State::Said::kNothing:
      return Waiting::kGreeting;
    case State::Said::kData:
      return Waiting::kDataReply;
    case State::Said::kDataEnd:
    case State::Said::kLastChunk:
      return Waiting::kDataEnd;
    default:
      return Waiting::kReply;
  }
}

}  // namespace smtp
