// The table of the server machine and one function a command.
#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "core/base/bytes.h"
#include "core/smtp/command_parser.h"
#include "core/smtp/server_state.h"

namespace smtp {

using State = ServerMachine::State;
using S = State;

namespace {

constexpr std::array<State::Handler, 6> always(State::Handler handler) {
  return {handler, handler, handler, handler, handler, handler};
}

}  // namespace

// clang-format off
const State::Row State::kTable[] = {
  //         before EHLO    greeted        MAIL given     RCPT given   in chunks   bad chunk
  {"AUTH", {&S::want_ehlo, &S::auth,      &S::nested,    &S::nested,  &S::nested, &S::want_rset}},
  {"MAIL", {&S::want_ehlo, &S::mail_from, &S::nested,    &S::nested,  &S::nested, &S::want_rset}},
  {"RCPT", {&S::want_ehlo, &S::want_mail, &S::rcpt_to,   &S::rcpt_to, &S::nested, &S::want_rset}},
  {"DATA", {&S::want_ehlo, &S::want_mail, &S::want_rcpt, &S::data,    &S::mixed,  &S::want_rset}},
  {"BDAT", {&S::lone_bdat, &S::lone_bdat, &S::lone_bdat, &S::bdat,    &S::bdat,   &S::late_bdat}},
  //          whenever
  {"EHLO",     always(&S::ehlo)},
  {"HELO",     always(&S::helo)},
  {"STARTTLS", always(&S::starttls)},
  {"RSET",     always(&S::rset)},
  {"NOOP",     always(&S::noop)},
  {"QUIT",     always(&S::quit)},
  {"HELP",     always(&S::help)},
  {"VRFY",     always(&S::vrfy)},
  {"EXPN",     always(&S::not_offered)},
  {"ETRN",     always(&S::not_offered)},
  {"TURN",     always(&S::not_offered)},
  {"ATRN",     always(&S::not_offered)},
  {"SEND",     always(&S::not_offered)},
  {"SOML",     always(&S::not_offered)},
  {"SAML",     always(&S::not_offered)},
};
// clang-format on

void State::run(std::string_view text) {
  const Command command = parse_command(text);
  const auto is_control = [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    if (base::istarts_with(text, "BDAT")) return unreadable_line(LineReader::State::kTooLong);
    return refuse(500, "5.5.2", "A command must not hold NUL, CR or other control characters");
  }
  if (looks_like_http(command.verb))
    return fail({554, "5.5.1", "This is an SMTP server; it does not speak HTTP"},
                "HTTP in place of SMTP");
  const auto row = std::find_if(std::begin(kTable), std::end(kTable),
                                [&](const Row& r) { return r.verb == command.verb; });
  if (row == std::end(kTable))
    return refuse(500, "5.5.1", "Command not recognised; HELP lists those that are");
  (this->*row->handlers[static_cast<std::size_t>(phase)])(command.argument);
}

// ---- Out of order -------------------------------------------------------------------------------

void State::want_ehlo(std::string_view) { refuse(503, "5.5.1", "Say EHLO first"); }

// What was pipelined behind a refused MAIL is no further mistake of the client (RFC 2920).
void State::want_mail(std::string_view) {
  const Reply refusal{503, "5.5.1", "Say MAIL first"};
  mail_refused ? send(refusal) : refuse(refusal);
}

Reply State::no_recipients() const {
  if (recipient_refused)
    return {554, "5.5.1", "No valid recipients: every RCPT was refused; say RCPT or RSET"};
  return {503, "5.5.1", "Say RCPT first"};
}

void State::want_rcpt(std::string_view) {
  recipient_refused ? send(no_recipients()) : refuse(no_recipients());
}

void State::want_rset(std::string_view) {
  refuse(503, "5.5.1", "The message before was refused; say RSET first");
}

void State::nested(std::string_view) {
  refuse(503, "5.5.1", "A message is already under way; end it or say RSET");
}

// ---- The connection -----------------------------------------------------------------------------

void State::ehlo(std::string_view argument) { hello(argument, true); }

void State::helo(std::string_view argument) { hello(argument, false); }

void State::hello(std::string_view name, bool with_extensions) {
  if (!is_hello_name(name))
    return refuse(501, "5.5.4", "Say EHLO with your host name or [address], at most 255 octets");
  drop_transaction();
  phase = Phase::kReady;
  hello_name = name;
  extended = with_extensions;
  events.push_back(Hello{hello_name, extended});
  // RFC 2034 section 4: no enhanced codes in replies to EHLO and HELO.
  std::string text = options.hostname;
  if (extended) {
    text += "\nPIPELINING\nSIZE " + std::to_string(limits.message_size);
    text += "\n8BITMIME\nSMTPUTF8\nCHUNKING\nENHANCEDSTATUSCODES\nDSN";
    text += "\nLIMITS RCPTMAX=" + std::to_string(limits.recipients) +
            " MAILMAX=" + std::to_string(limits.messages_per_session);
    if (options.starttls && !tls) text += "\nSTARTTLS";
    if (auth_allowed()) text += "\nAUTH PLAIN";
  }
  send({250, "", std::move(text)});
}

void State::starttls(std::string_view argument) {
  if (!argument.empty()) return refuse(501, "5.5.4", "STARTTLS takes no parameters");
  if (tls) return refuse(503, "5.5.1", "This connection is inside TLS already");
  if (!options.starttls) return refuse(502, "5.5.1", "TLS is not offered on this port");
  if (bytes_behind) {
    // RFC 3207 section 6: they were written before TLS, by whomever; executing them as if they had
    // come inside it is command injection.
    return fail({554, "5.5.0", "Send nothing behind STARTTLS before TLS; closing the connection"},
                "plaintext behind STARTTLS");
  }
  drop_transaction();
  send({220, "2.0.0", "Ready to start TLS"});
  mode = Mode::kTls;
  events.push_back(StartTls{});
}

void State::rset(std::string_view argument) {
  if (!argument.empty()) return refuse(501, "5.5.4", "RSET takes no parameters");
  drop_transaction();
  send({250, "2.0.0", "Forgotten"});
}

void State::noop(std::string_view) { send({250, "2.0.0", "OK"}); }

void State::quit(std::string_view argument) {
  if (!argument.empty()) return refuse(501, "5.5.4", "QUIT takes no parameters");
  fail({221, "2.0.0", "Goodbye"}, "QUIT");
}

void State::help(std::string_view) {
  send({214, "2.0.0",
        "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT (RFC 5321)"});
}

void State::vrfy(std::string_view argument) {
  if (argument.empty()) return refuse(501, "5.5.4", "Syntax: VRFY address");
  send({252, "2.1.5", "Addresses are not verified here; send the message and see"});
}

void State::not_offered(std::string_view) { refuse(502, "5.5.1", "This command is not offered"); }

// ---- AUTH (RFC 4954) ----------------------------------------------------------------------------

bool State::auth_allowed() const { return (tls || options.auth_in_plaintext) && !authenticated; }

void State::auth(std::string_view argument) {
  if (authenticated) return refuse(503, "5.5.1", "You are logged in already");
  if (!auth_allowed()) {
    line.wipe();
    if (options.starttls) return refuse(538, "5.7.11", "Say STARTTLS before AUTH");
    return refuse(502, "5.5.1", "AUTH is not offered on this port");
  }
  const Parsed<AuthArgument> parsed = parse_auth(argument);
  if (const auto* refusal = std::get_if<Reply>(&parsed)) return refuse(*refusal);
  const auto& [mechanism, initial_response] = std::get<AuthArgument>(parsed);
  if (mechanism != "PLAIN")
    return refuse(504, "5.5.4", "Use AUTH PLAIN; no other mechanism is offered");
  if (initial_response) {
    auth_response(*initial_response == "*" ? std::string_view{"-"} : *initial_response);
    line.wipe();
    return;
  }
  send({334, "", ""});
  mode = Mode::kAuthResponse;
}

void State::auth_response(std::string_view base64) {
  if (base64 == "*") return refuse(501, "5.7.0", "AUTH cancelled");
  std::optional<std::string> message = base::base64_decode(base64);
  if (!message) return refuse(501, "5.5.2", "The AUTH response is not valid base64");
  auth_message = std::move(*message);
  const std::optional<PlainMessage> plain = parse_plain(auth_message);
  if (!plain)
    return refuse(501, "5.5.2", "The response must be [authzid] NUL user NUL password (RFC 4616)");
  events.push_back(Auth{plain->authzid, plain->authcid, plain->password, auth_message});
  question = Question::kAuth;
}

// ---- The transaction ----------------------------------------------------------------------------

void State::mail_from(std::string_view argument) {
  if (options.auth_required && !authenticated) {
    mail_refused = true;
    if (options.starttls && !tls)
      return refuse(530, "5.7.0", "Log in first: say STARTTLS, then AUTH");
    return refuse(530, "5.7.0", "Log in first: say AUTH");
  }
  // RFC 9422 section 4: every MAIL counts, accepted or not.
  if (++messages > limits.messages_per_session)
    return fail({421, "4.7.0", "Enough messages for one session; connect again for more"},
                "limit of messages reached");
  mail_refused = true;
  Parsed<mail::Envelope> parsed =
      parse_mail(argument, static_cast<std::uint64_t>(limits.message_size));
  if (const auto* refusal = std::get_if<Reply>(&parsed)) return refuse(*refusal);
  envelope = std::get<mail::Envelope>(std::move(parsed));
  events.push_back(Mail{&envelope});
  question = Question::kMail;
}

void State::rcpt_to(std::string_view argument) {
  if (recipients >= limits.recipients) {
    send({452, "4.5.3",
          "Too many recipients: at most " + std::to_string(limits.recipients) +
              "; send the others in a message of their own"});
    return;
  }
  Parsed<mail::Recipient> parsed = parse_rcpt(argument, envelope.smtputf8);
  if (const auto* refusal = std::get_if<Reply>(&parsed)) {
    recipient_refused = true;
    return refuse(*refusal);
  }
  recipient = std::get<mail::Recipient>(std::move(parsed));
  events.push_back(Rcpt{&recipient});
  question = Question::kRcpt;
}

}  // namespace smtp
