// The inside of ClientMachine, shared by its two files: client_machine.cc (from the greeting to
// Ready, and the end), client_message.cc (one message).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/smtp/client_machine.h"
#include "core/smtp/reply_reader.h"

namespace smtp {

struct ClientMachine::State {
  enum class Stage : std::uint8_t {
    kDialogue,   // replies are to come
    kHandshake,  // TLS is about to start
    kReady,
    kContent,  // the owner gives content
    kFinished,
  };
  // What was said that the server will reply to; the rows of kTable, in this order.
  enum class Said : std::uint8_t {
    kNothing,  // the greeting
    kEhlo,
    kHelo,
    kStartTls,
    kAuthPlain,   // with the initial response
    kAuthPrompt,  // AUTH PLAIN alone
    kAuthLogin,
    kAuthUser,
    kAuthSecret,  // the last word of ours
    kMail,
    kRcpt,
    kData,
    kDataEnd,
    kChunk,
    kLastChunk,
    kRset,
    kQuit,
  };
  struct Expected {
    Said said;
    std::size_t recipient;   // kRcpt: which
    std::uint64_t due_from;  // the reply is early before so much of the output was taken
  };
  struct Planned {
    std::string line;
    Said said;
    std::size_t recipient;
  };
  using Handler = void (State::*)(const Expected& expected, Reply& reply);
  static const Handler kTable[];

  struct Offers {
    bool pipelining = false, eight_bit = false, smtputf8 = false, chunking = false, dsn = false;
    bool starttls = false, auth_plain = false, auth_login = false;
    bool size = false;
    std::uint64_t size_max = 0;  // 0: no limit is known (RFC 1870 section 4)
  };

  State(ClientOptions client_options, const base::Limits& client_limits);

  // client_machine.cc
  void write(std::string_view bytes);
  void say(std::string_view line, Said said, std::size_t recipient = 0);
  void plan(std::string line, Said said, std::size_t recipient = 0);
  void pump();
  void feed(std::string_view bytes);
  void handle(Reply reply);
  void finish(Finished::Why why, Reply reply, std::string text);
  void finish_politely(Finished::Why why, Reply reply, std::string text);
  void protocol_error(const Reply& reply, std::string_view what);

  void on_greeting(const Expected& expected, Reply& reply);
  void on_ehlo(const Expected& expected, Reply& reply);
  void on_helo(const Expected& expected, Reply& reply);
  void on_starttls(const Expected& expected, Reply& reply);
  void on_auth_plain(const Expected& expected, Reply& reply);
  void on_auth_prompt(const Expected& expected, Reply& reply);
  void on_auth_login(const Expected& expected, Reply& reply);
  void on_auth_user(const Expected& expected, Reply& reply);
  void on_auth_secret(const Expected& expected, Reply& reply);
  void on_quit(const Expected& expected, Reply& reply);
  void after_hello();
  void begin_auth();
  [[nodiscard]] std::string plain_response() const;
  void read_offers(std::string_view ehlo_text);

  // client_message.cc
  void send_message(const mail::Envelope& envelope, const std::vector<mail::Recipient>& recipients,
                    std::uint64_t size);
  void on_mail(const Expected& expected, Reply& reply);
  void on_rcpt(const Expected& expected, Reply& reply);
  void on_data(const Expected& expected, Reply& reply);
  void on_data_end(const Expected& expected, Reply& reply);
  void on_chunk(const Expected& expected, Reply& reply);
  void on_last_chunk(const Expected& expected, Reply& reply);
  void on_rset(const Expected& expected, Reply& reply);
  void after_envelope_reply();
  void content(std::string_view bytes);
  void content_end();
  bool content_is_clean(std::string_view bytes);
  void write_stuffed(std::string_view bytes);
  void write_chunk(std::string_view more, bool last);
  // Gives `reply` to every recipient that has no outcome.
  void decide(const Reply& reply, bool from_end_of_data, bool accepted_only = true);
  void rset();
  void message_done();

  ClientOptions options;
  const base::Limits& limits;

  Stage stage = Stage::kDialogue;
  Offers offers;
  bool secure = false;
  ReplyReader reader;
  std::deque<Expected> expected;
  std::deque<Planned> planned;
  std::string out;
  std::uint64_t written = 0;  // octets ever put into the output
  std::uint64_t taken = 0;    // octets ever taken from it
  Finished finished;

  // The message in hand.
  enum class Standing : std::uint8_t { kOpen, kAccepted, kDecided };
  struct Message {
    std::vector<MessageDone::Outcome> outcomes;
    std::vector<Standing> standing;
    std::size_t envelope_replies_left = 0;
    bool chunking = false;
    bool pipelined = false;    // its content goes along with the envelope
    bool failed = false;       // nothing more is wanted of it
    bool content_out = false;  // the whole content and its end are in the output
    std::string chunk;         // gathered, not yet sent
    char last = '\n';          // octet of the content; as if a line had ended before it
    bool line_start = true;    // dot-stuffing
  };
  std::optional<Message> message;
  std::optional<MessageDone> done;
};

}  // namespace smtp
