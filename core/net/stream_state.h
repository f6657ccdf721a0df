// What a Stream is made of. Private to core/net: see stream.h for the contract. All members belong
// to the loop's thread. The object outlives its Stream while it closes gracefully (the loop keeps
// it) and while one of its own functions is running (shared_from_this).
#pragma once

#include <event2/event_struct.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/net/channel.h"
#include "core/net/loop.h"
#include "core/net/stream.h"

namespace net {

struct StreamState : std::enable_shared_from_this<StreamState> {
  enum class Tls { kNone, kStarting, kHandshaking, kDone };

  StreamState(Loop& l, StreamHandler& h, StreamLimits bounds)
      : loop(l), handler(&h), limits(bounds) {}
  ~StreamState() { release_socket(); }
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;

  void attach(int fd);
  void connect(const SocketAddress& address);
  void start_tls(bool prepared);
  bool write(std::string_view bytes);
  void linger(std::int64_t deadline_ms);
  void schedule();  // advance() soon, from the loop
  void resume();
  void end(std::string reason);
  void release_socket();
  void update_interest();
  [[nodiscard]] std::size_t pending() const { return output.size() - output_begin; }
  [[nodiscard]] bool alive() const { return handler != nullptr; }

  static void on_event(int fd, short what, void* self);
  // The one place where everything goes on: looks at the stage and does what can be done now.
  void advance(bool readable, bool writable);
  void advance_connect();
  void advance_tls();
  void pump_input();
  bool fill_and_offer();
  bool offer(char* bytes, std::size_t octets);
  void flush_output();
  void report_output_empty();
  void end_if_over();
  void advance_linger();
  void finish_linger();

  Loop& loop;
  StreamHandler* handler;  // null when no callback may come any more
  StreamLimits limits;
  Channel channel;
  event read_event{};
  event write_event{};
  bool read_armed = false;
  bool write_armed = false;
  SocketAddress peer;

  bool connecting = false;
  Tls tls = Tls::kNone;
  bool handshake_wants_write = false;
  std::size_t plain_pending = 0;  // output from before TLS that must leave first
  std::string failure;            // found inside a call of Stream; reported from the loop
  bool scheduled = false;

  std::string unread;  // exactly as long as it must be: idle and slow streams cost little
  bool paused = false;
  bool offer_again = false;
  bool input_waits = true;        // as far as is known: the last read did not empty the socket
  bool in_input = false;          // output is gathered
  bool read_wants_write = false;  // TLS
  bool input_over = false;
  bool input_over_in_order = false;
  std::string input_over_reason;

  std::string output;
  std::size_t output_begin = 0;
  bool output_blocked = false;
  bool write_wants_read = false;  // TLS
  bool owes_output_empty = false;
  std::string write_failure;

  bool lingering = false;
  bool said_goodbye = false;
  std::optional<Timer> linger_timer;
};

}  // namespace net
