// One connection to the sink. Loop's thread only; owned by the sink.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "certs/tls_context.h"
#include "core/net/loop.h"
#include "core/net/stream.h"
#include "core/smtp/server_machine.h"
#include "relaybench/bench_id.h"
#include "relaybench/id_file.h"
#include "relaybench/sink.h"

namespace relaybench {

struct SinkCounts {
  std::uint64_t connections = 0, open = 0, logins = 0;
  std::uint64_t messages = 0, octets = 0;
  std::uint64_t refused = 0;  // recipients and messages that got 4yz or 5yz
  std::uint64_t altered = 0;
};

// What the sessions share.
struct SinkPlace {
  SinkPlace(const SinkOptions& o, Misbehaviours m)
      : options(o), misbehaviours(std::move(m)), ids(o.ids) {}
  const SinkOptions& options;
  Misbehaviours misbehaviours;
  IdFile ids;
  net::Loop loop;
  base::Limits limits;
  certs::TlsContext tls;
  SinkCounts counts;
  std::function<void()> on_enough;  // options.messages have come
};

class SinkSession final : public net::StreamHandler {
 public:
  // `on_end` is called once, from the loop; the session can be destroyed when that call returns to
  // the loop.
  SinkSession(SinkPlace& place, int fd, std::function<void(SinkSession*)> on_end);
  ~SinkSession() override;
  void start();

  // net::StreamHandler
  void on_tls() override;
  std::size_t on_input(std::span<char> bytes) override;
  void on_output_empty() override;
  void on_closed(std::string_view reason) override;

 private:
  enum class Next { kContinue, kWait };
  Next handle(smtp::Event& event);
  Next on_hello();
  Next on_starttls();
  Next on_auth();
  Next on_mail();
  Next on_rcpt();
  Next on_data();
  Next on_content(std::string_view bytes);
  Next on_content_end();
  Next on_close(std::string_view reason);
  // The misbehaviours that are about a stage: nothing, or nonsense, is said in place of the reply.
  bool odd_reply(std::string_view stage);
  [[nodiscard]] const Misbehaviour* strike(SinkRule rule, std::string_view word = {});
  void say_and_fall_silent(std::string_view bytes);
  bool flush();
  bool send();
  void delayed();
  void drop();
  void finish();

  SinkPlace& place_;
  smtp::ServerMachine machine_;
  net::Stream stream_;
  net::Timer delay_;
  std::function<void(SinkSession*)> on_end_;
  std::string output_;  // what the stream had no room for, or what is held back
  MessageTrace trace_;
  std::uint64_t message_octets_ = 0;
  std::uint64_t recipients_ = 0;
  bool drop_in_data_ = false;
  bool tls_fails_ = false;  // the next bytes are a client's hello, and get nonsense
  bool tls_started_ = false;
  bool silent_ = false;   // reads and says nothing any more
  bool closing_ = false;  // when the output is out
  bool ended_ = false;
};

}  // namespace relaybench
