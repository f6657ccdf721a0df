// The client's side of SMTP as a machine without I/O: greets, reads what is offered, asks for TLS,
// logs in, sends any number of messages, quits. Bytes in, actions out; no socket, no clock. Its
// owner moves bytes, runs TLS, reads message content from the store and decides what to do with
// outcomes. RFC 5321, 2920, 3030, 3207, 4954, 3461, 6531, 1870, 6152. One machine, one connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/limits.h"
#include "core/mail/envelope.h"
#include "core/smtp/reply.h"

namespace smtp {

enum class ClientTls { kNone, kStartTls, kImplicit };

struct ClientOptions {
  std::string hostname;                  // our EHLO name
  ClientTls tls = ClientTls::kStartTls;  // kStartTls: required; not offered is a failure
  std::string username;                  // "" for no AUTH
  std::string password;
  bool allow_auth_in_plaintext = false;  // only tls = none towards loopback
  // Content up to so many octets goes along with the envelope, one group of commands, where the
  // server takes BDAT and groups (RFC 3030 section 4.2); larger content waits for its replies.
  std::uint64_t pipelined_content = 0;
};

// ---- Actions. -----------------------------------------------------------------------------------
// Flush the output, then feed what the server says.
struct NeedReply {};
// Flush, start TLS with verification, call tls_started().
struct BeginTls {};
// Logged in, nothing in hand: call send_message() or quit().
struct Ready {};
// Write the message's content through content() and content_end(). Ask next() now and then: a
// server that refuses in the middle ends this action.
struct SendContent {
  bool chunking;  // BDAT: content goes as it is; else DATA: it is dot-stuffed by content()
};
// Every recipient has its reply; the machine is Ready again or Finished.
struct MessageDone {
  struct Outcome {
    Reply reply;  // of RCPT, or of the end of data, whichever decided
    bool from_end_of_data = false;
  };
  std::vector<Outcome> recipients;  // same order as in send_message()
};
// The connection is of no more use; the output may hold a last QUIT: write it if it can be written
// at once, then close.
struct Finished {
  enum class Why {
    kQuit,             // after quit()
    kConnectionLost,   // closed by the peer or by closed()
    kProtocol,         // the peer does not speak SMTP as we know it
    kGreetingRefused,  // 4yz or 5yz at connect, EHLO or HELO; see reply
    kTlsNotOffered,
    kTlsRefused,
    kAuthNotOffered,  // no mechanism we speak
    kAuthRejected,    // 535 and the like: counts for the lock of O3
    kAuthTemporary,   // 454 and the like
    kServiceClosing,  // 421 anywhere
  } why = Why::kQuit;
  Reply reply;       // what the peer said, code 0 if nothing
  std::string text;  // a sentence for the operator
};

using Action = std::variant<NeedReply, BeginTls, Ready, SendContent, MessageDone, Finished>;

class ClientMachine {
 public:
  // `limits` must outlive the machine. With kImplicit TLS runs before the first feed(). AUTH
  // mechanisms: PLAIN (RFC 4616), then LOGIN.
  ClientMachine(ClientOptions options, const base::Limits& limits);
  ~ClientMachine();
  ClientMachine(const ClientMachine&) = delete;
  ClientMachine& operator=(const ClientMachine&) = delete;

  // What to do now. Call after every change; the same action is given until it is done (MessageDone
  // once).
  Action next();

  // Bytes from the server. All of them are taken. More bytes than replies expected, a malformed or
  // overlong reply, and bytes behind the reply to STARTTLS are protocol errors.
  void feed(std::string_view bytes);
  void tls_started();
  // The connection is gone; what was in hand gets outcomes that are temporary, and where the
  // whole content was out but no reply came, MessageDone tells so by text (it may be sent twice,
  // never lost).
  void closed(std::string_view why);

  // Only when Ready. `size` is the exact content size in octets, before dot-stuffing. Needs that
  // the peer lacks (SMTPUTF8; 8BITMIME; SIZE too small) give permanent outcomes without a word to
  // the peer, with RFC 3463 codes 5.6.7, 5.6.3, 5.3.4. The envelope must outlive the message.
  void send_message(const mail::Envelope& envelope, const std::vector<mail::Recipient>& recipients,
                    std::uint64_t size);
  // Only after SendContent; without effect when the server has ended it meanwhile. Appends to the
  // output (dot-stuffed for DATA, in chunks of 64 KiB for BDAT). content_end() ends the message:
  // for DATA a CRLF first where the content does not end in one, then the dot. Content must end its
  // lines in CRLF and hold no other CR or LF: one that does is never sent to its end, the outcome
  // is temporary and the connection Finished (kProtocol), since only dropping it takes the message
  // back.
  void content(std::string_view bytes);
  void content_end();
  void quit();

  [[nodiscard]] std::string take_output();
  [[nodiscard]] bool has_output() const;
  [[nodiscard]] std::size_t output_octets() const;

  // Which time limit of the table runs now.
  enum class Waiting { kNothing, kGreeting, kReply, kDataReply, kDataEnd };
  [[nodiscard]] Waiting waiting() const;

  struct State;  // of the implementation

 private:
  std::unique_ptr<State> state_;
};

}  // namespace smtp
