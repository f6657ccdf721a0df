// The inside of ServerMachine, shared by its three files: server_machine.cc (reading and answers),
// server_commands.cc (the table and one function a command), server_content.cc (DATA and BDAT).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "core/smtp/data_reader.h"
#include "core/smtp/line_reader.h"
#include "core/smtp/server_machine.h"

namespace smtp {

struct ServerMachine::State {
  // The columns of the table: how far the transaction has come.
  enum class Phase : std::uint8_t {
    kFresh,   // no EHLO or HELO yet
    kReady,   // greeted, no transaction
    kMail,    // MAIL was accepted, no recipient yet
    kRcpt,    // there is a recipient
    kBdat,    // a chunk was accepted, LAST is to come
    kFailed,  // a chunk failed: nothing but the rest of the chunks or RSET (RFC 3030 section 2)
  };
  // What the next bytes are.
  enum class Mode : std::uint8_t {
    kCommand,
    kAuthResponse,
    kData,
    kChunk,
    kTls,     // not for us
    kClosed,  // of no interest
  };
  enum class Question : std::uint8_t { kNone, kAuth, kMail, kRcpt, kData, kBdat, kContentEnd };

  State(ServerOptions server_options, const base::Limits& server_limits);

  // server_machine.cc
  Step next(std::span<char> input);
  void read_line(std::string_view line);
  void unreadable_line(LineReader::State why);
  void send(const Reply& reply) { reply.append_wire(out); }
  // Says no to a command; the one that is one too many gets 421 and ends the session.
  void refuse(int code, std::string_view enhanced, std::string_view text);
  void refuse(const Reply& reply);
  void close(std::string_view reason);
  void fail(const Reply& reply, std::string_view reason);
  void answer(const Reply& reply);
  void answer_auth(AuthResult result);
  // Ends the transaction if there is one, and tells the owner.
  void drop_transaction();
  void forget_transaction();

  // server_commands.cc
  using Handler = void (State::*)(std::string_view argument);
  struct Row {
    std::string_view verb;
    std::array<Handler, 6> handlers;  // one a Phase, in its order
  };
  static const Row kTable[];
  void run(std::string_view line);

  void ehlo(std::string_view argument);
  void helo(std::string_view argument);
  void hello(std::string_view name, bool extended);
  void starttls(std::string_view argument);
  void auth(std::string_view argument);
  void mail_from(std::string_view argument);
  void rcpt_to(std::string_view argument);
  void rset(std::string_view argument);
  void noop(std::string_view argument);
  void quit(std::string_view argument);
  void help(std::string_view argument);
  void vrfy(std::string_view argument);
  void not_offered(std::string_view argument);
  void want_ehlo(std::string_view argument);
  void want_mail(std::string_view argument);
  void want_rcpt(std::string_view argument);
  void want_rset(std::string_view argument);
  void nested(std::string_view argument);

  void auth_response(std::string_view base64);
  [[nodiscard]] bool auth_allowed() const;
  [[nodiscard]] Reply no_recipients() const;

  // server_content.cc
  void data(std::string_view argument);
  void mixed(std::string_view argument);
  void bdat(std::string_view argument);
  void lone_bdat(std::string_view argument);
  void late_bdat(std::string_view argument);
  bool begin_chunk(std::string_view argument);
  void swallow_chunk(const Reply& refusal);
  void fail_bdat(const Reply& refusal);
  void chunk_done();
  [[nodiscard]] Reply content_refusal(ContentFault fault) const;
  void begin_content(DataReader::Framing framing);
  Step read_data(std::span<char> input, std::size_t used);
  Step read_chunk(std::span<char> input, std::size_t used);

  const ServerOptions options;
  const base::Limits& limits;

  // The connection.
  bool tls;
  bool authenticated = false;
  bool extended = false;  // EHLO, not HELO
  std::string hello_name;
  std::int64_t bad_commands = 0;
  std::int64_t auth_failures = 0;
  std::int64_t messages = 0;
  bool bytes_behind = false;  // bytes stand behind the command that is being run
  bool ending = false;
  Reply last_words;
  std::string close_reason;

  // The transaction.
  Phase phase;
  mail::Envelope envelope;
  mail::Recipient recipient;  // the one that is asked about
  std::int64_t recipients = 0;
  bool mail_refused = false;       // since the last RSET
  bool recipient_refused = false;  // of this transaction

  // Reading.
  Mode mode = Mode::kCommand;
  Question question = Question::kNone;
  LineReader line;
  DataReader reader;
  struct {
    std::uint64_t remaining = 0;
    bool last = false;
    bool swallow = false;
    bool counts = false;  // its refusal counts as a bad command
    Reply refusal;
  } chunk;
  std::string auth_message;

  std::deque<Event> events;
  std::string out;
};

}  // namespace smtp
