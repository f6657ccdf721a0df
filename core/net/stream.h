// A TCP connection, plain or inside TLS, on a loop. OpenSSL works directly on the socket with
// explicit want-read and want-write; reads go on until would-block, writes are tried at once and
// wait in a bounded buffer otherwise. Loop's thread only. Owned by the session; the handler
// outlives the stream. A handler may destroy the stream inside any of its callbacks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/net/loop.h"
#include "core/net/socket_address.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace net {

class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void on_connected() {}  // after connect()
  virtual void on_tls() {}        // the handshake is done
  // Everything unread. Returns how many bytes are done with; the rest is given again with more.
  // Bytes may be changed in place. A handler that cannot go on yet pauses reading: taking nothing
  // from a full buffer without a pause is a programming error and ends the stream. What is written
  // in here leaves together when it returns.
  virtual std::size_t on_input(std::span<char> bytes) = 0;
  // All that was written is with the kernel. Comes after a write() that returned false or left
  // output_pending() > 0; after others it need not come.
  virtual void on_output_empty() {}
  // The end: closed by the peer (clean or not), an error, a failed handshake or connect. Comes
  // once, never after close_gracefully(), never from inside a call of Stream; `reason` is a
  // sentence. Unread input has been offered before, and the replies to it were sent where the peer
  // closed only its own direction in good order. It waits while reading is paused, unless writing
  // fails.
  virtual void on_closed(std::string_view reason) = 0;
};

struct StreamLimits {
  std::size_t input_octets_max = 64 * 1024;
  std::size_t output_octets_max = 256 * 1024;
};

struct TlsInfo {
  std::string version;  // "TLSv1.3"
  std::string cipher;
  std::string peer_subject;  // of a client certificate that verified; "" if none
};

struct StreamState;  // private to core/net

class Stream {
 public:
  Stream(Loop& loop, StreamHandler& handler, StreamLimits limits);
  ~Stream();  // closes at once
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void adopt(int fd);                          // an accepted, non-blocking socket
  void connect(const SocketAddress& address);  // on_connected() or on_closed()
  // Pending output still goes out in the clear, what is written from here on inside TLS. Input that
  // is unread, or that on_input leaves over when it starts TLS, ends the stream: it came before
  // TLS.
  void start_tls_server(SSL_CTX* context);
  // Verifies chain and name: `name` is a DNS name (SNI is sent, RFC 6066) or an IP address.
  void start_tls_client(SSL_CTX* context, const std::string& name);

  // False, and nothing taken, where the output would pass its bound: wait for on_output_empty().
  // (So one call must not carry more than the bound.) False too when the stream has ended.
  bool write(std::string_view bytes);
  [[nodiscard]] std::size_t output_pending() const;
  // Stops and resumes on_input (back-pressure); resuming offers what is there at once, from the
  // loop, never from inside resume_reading().
  void pause_reading();
  void resume_reading();
  // E.g. plaintext behind STARTTLS. Does not count what on_input is looking at.
  [[nodiscard]] bool has_unread_input() const;

  // Sends what is pending, TLS's close_notify and FIN, then waits for the peer to close, so that no
  // reset overtakes the last reply; gives up after `deadline_ms`. No callbacks any more; the Stream
  // may be destroyed at once, the loop sees to the rest.
  void close_gracefully(std::int64_t deadline_ms);
  [[nodiscard]] bool inside_tls() const;
  [[nodiscard]] TlsInfo tls_info() const;
  [[nodiscard]] SocketAddress peer() const;
  [[nodiscard]] SocketAddress local() const;

 private:
  std::shared_ptr<StreamState> state_;  // outlives the stream while closing gracefully
};

}  // namespace net
