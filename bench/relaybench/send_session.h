// One session of `send`: connects, says what the client machine says, sends messages, connects
// again. Loop's thread only; owned by the run, which outlives it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "certs/tls_context.h"
#include "core/net/loop.h"
#include "core/net/stream.h"
#include "core/smtp/client_machine.h"
#include "relaybench/message_source.h"
#include "relaybench/send.h"
#include "relaybench/tally.h"

namespace relaybench {

// What the sessions have of the run.
class SendRun {
 public:
  enum class Permit {
    kGo,    // send one
    kWait,  // not yet: the run calls go_on()
    kNone,  // no more: quit
  };
  virtual ~SendRun() = default;
  virtual Permit permit(class SendSession& session) = 0;
  virtual void accepted(const std::string& id) = 0;
  // The session will do nothing any more.
  virtual void ended(SendSession& session) = 0;

  net::Loop loop;
  base::Limits limits;
  net::SocketAddress address;
  std::string host;
  certs::TlsContext tls;
  std::string password;
  bool stopping = false;  // no new messages and connections
  Tally tally;
};

class SendSession final : public net::StreamHandler {
 public:
  SendSession(SendRun& run, const SendOptions& options, MessageSource& source);
  ~SendSession() override;

  void start();
  void go_on();                 // after Permit::kWait
  void look(std::uint64_t us);  // ends a connection that has been silent for too long
  void stop();                  // the message in hand goes on; SendRun::stopping is set

  // net::StreamHandler
  void on_connected() override;
  void on_tls() override;
  std::size_t on_input(std::span<char> bytes) override;
  void on_output_empty() override;
  void on_closed(std::string_view reason) override;

 private:
  enum class Next { kContinue, kWait };
  void pump();
  Next act(smtp::Action& action);
  Next next_message();
  Next send_content(const smtp::SendContent& how);
  void message_done(const smtp::MessageDone& done);
  void finished(const smtp::Finished& finished);
  bool flush();
  void note_time(std::string_view said);
  void connection_over(bool of_use);

  SendRun& run_;
  const SendOptions& options_;
  MessageSource& source_;
  net::Timer retry_;
  std::unique_ptr<net::Stream> stream_;
  std::unique_ptr<smtp::ClientMachine> machine_;
  std::string output_;  // what the stream had no room for

  OutgoingMessage message_;
  bool in_content_ = false;
  std::size_t content_sent_ = 0;  // octets of header, body and tail given to the machine
  bool content_ended_ = false;
  bool message_failed_ = false;  // the last one; then the end of its connection is no news
  std::uint64_t messages_ = 0;   // on this connection

  bool connected_ = false;
  bool ready_ = false;   // logged in
  bool parked_ = false;  // waits for a permit
  bool over_ = false;
  std::int64_t retry_ms_ = 0;
  // Moments, in microseconds; 0 where it has not come.
  std::uint64_t without_connection_since_ = 0;
  std::uint64_t heard_ = 0;
  std::uint64_t connect_started_ = 0, connected_at_ = 0, tls_started_ = 0, auth_started_ = 0;
  std::uint64_t message_started_ = 0, content_started_ = 0;
};

}  // namespace relaybench
