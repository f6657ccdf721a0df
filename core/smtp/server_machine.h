// The server's side of SMTP as a machine without I/O (RFC 5321; 3207 STARTTLS; 4954 AUTH; 2920
// PIPELINING; 3030 CHUNKING; 1870 SIZE; 6152 8BITMIME; 6531 SMTPUTF8; 3461 DSN; 2034 ENHANCED-
// STATUSCODES; 9422 LIMITS). Bytes in, events out; no socket, no clock, no thread. It knows the
// order of commands, their grammar and the framing of messages; it knows nothing of accounts,
// queues or files. Its owner asks `next()` for events and answers the ones that are questions.
//
//   while (true) {
//     auto [event, used] = machine.next(input);       // input: a mutable view of what has arrived
//     input.consume(used);
//     flush machine.take_output() when nothing more can be done at once (RFC 2920: replies group)
//     ...
//   }
//
// One machine serves one connection, on one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/limits.h"
#include "core/mail/envelope.h"
#include "core/smtp/reply.h"

namespace smtp {

struct ServerOptions {
  std::string hostname;            // in the greeting and the EHLO reply
  bool starttls = false;           // offer STARTTLS (while not inside TLS)
  bool inside_tls = false;         // implicit TLS: the connection starts inside TLS
  bool auth_in_plaintext = false;  // AUTH without TLS: a loopback listener with tls = "none"
  bool auth_required = false;      // role submission: MAIL before AUTH gets 530 5.7.0
};

// ---- Events. Views are valid until the next call of next(). -------------------------------------
// "Question": the machine stands still (next() gives NeedAnswer) until answer*() is called.

// All of these bytes are taken, more are needed.
struct NeedInput {};
// A question is open.
struct NeedAnswer {};
// Replies have piled up: send take_output(), then call next() again. Bounds what a client that
// pipelines and never reads can make us keep.
struct Flush {};
// EHLO or HELO was accepted; any transaction before it is gone.
struct Hello {
  std::string_view name;
  bool extended;
};
// 220 is in the output: flush it, hand the connection to TLS, call tls_started(). Plaintext given
// to next() before that closes the session.
struct StartTls {};
// Question: answer_auth().
struct Auth {
  std::string_view authzid, authcid, password;  // PLAIN's message, RFC 4616, already split
  std::string_view message;                     // the whole of it, decoded, for a SASL library
};
// Question: answer(). The machine's envelope never has recipients.
struct Mail {
  const mail::Envelope* envelope;
};
// Question: answer().
struct Rcpt {
  const mail::Recipient* recipient;
};
// Question: answer(positive) lets the content come (the machine says 354 itself for DATA), anything
// else refuses it and ends the transaction.
struct DataStart {};
// Message bytes, dot-unstuffed, never empty. They may end anywhere, also between CR and LF. Nothing
// is certain until ContentEnd: where a bare CR or LF, a NUL, a long line or too much is found, no
// more Content comes.
struct Content {
  std::span<char> bytes;
};
// Question: answer() is the reply to the dot or to BDAT LAST; whatever it is, the transaction is
// over.
struct ContentEnd {};
// The transaction is gone other than by ContentEnd (RSET, EHLO, STARTTLS, DataStart refused,
// content refused by the machine): the owner drops what it has of it. The machine has replied by
// itself. Close needs no Reset.
struct Reset {};
// Flush the output, then close.
struct Close {
  std::string_view reason;  // for the log
};

using Event = std::variant<NeedInput, NeedAnswer, Flush, Hello, StartTls, Auth, Mail, Rcpt,
                           DataStart, Content, ContentEnd, Reset, Close>;

struct Step {
  Event event;
  std::size_t used = 0;  // bytes of the input that are done with
};

enum class AuthResult {
  kAccepted,   // 235 2.7.0
  kRejected,   // 535 5.7.8; closes after limits.auth_failures
  kTemporary,  // 454 4.7.0
};

class ServerMachine {
 public:
  // `limits` must outlive the machine.
  ServerMachine(ServerOptions options, const base::Limits& limits);
  ~ServerMachine();
  ServerMachine(const ServerMachine&) = delete;
  ServerMachine& operator=(const ServerMachine&) = delete;

  // Puts the greeting into the output: 220, or, given a reply, that one and then Close.
  void greet();
  void refuse(const Reply& reply);

  // Reads as far as one event. Content is unstuffed in place, in `input`. Call again with what is
  // left (and more) until NeedInput, NeedAnswer or Close. After Close there is only Close.
  Step next(std::span<char> input);

  // To Mail, Rcpt, DataStart, ContentEnd. 421 ends the session.
  void answer(const Reply& reply);
  void answer_auth(AuthResult result);
  void tls_started();  // forgets all that was said before (RFC 3207 4.2)

  // The owner ends the session (shut-down, revoked credential, time-out): the reply goes out and
  // next() gives Close; where a question is open, after its answer. In the middle of a message the
  // transaction is lost (Reset, then Close): the client has had no reply and will send it again.
  void close_with(const Reply& reply);

  // What is to be sent, in order; empties the output.
  [[nodiscard]] std::string take_output();
  [[nodiscard]] bool has_output() const;

  // For time limits: what is being waited for.
  enum class Waiting { kCommand, kContent, kAnswer, kTls, kClosed };
  [[nodiscard]] Waiting waiting() const;
  [[nodiscard]] bool inside_tls() const;
  [[nodiscard]] bool authenticated() const;
  [[nodiscard]] std::string_view hello_name() const;
  // "ESMTPSA" and the like, for the Received field (RFC 3848, RFC 6531 4.3).
  [[nodiscard]] std::string_view protocol() const;

  struct State;  // of the implementation

 private:
  std::unique_ptr<State> state_;
};

}  // namespace smtp
