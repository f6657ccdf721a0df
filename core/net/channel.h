// One socket, plain or inside TLS: reads and writes that never wait and say what they need to go
// on. Knows nothing of loops and buffers; Stream does. Not thread-safe. Private to core/net.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <string>

typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace net {

enum class Io {
  kDone,       // `octets` were carried, at least one (reads and writes); or the step is complete
  kWantRead,   // try again when the socket is readable
  kWantWrite,  // try again when it is writable
  kEnd,        // the peer closed in good order: FIN, and close_notify where there is TLS
  kError,      // reset, protocol error, failed verification
};

struct IoResult {
  Io state = Io::kDone;
  std::size_t octets = 0;
};

class Channel {
 public:
  Channel() = default;
  ~Channel() { close(); }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  void attach(int fd) { fd_ = fd; }
  [[nodiscard]] int fd() const { return fd_; }
  void close();  // at once, without close_notify

  // Prepares a session; from the first handshake() on every byte goes through it. False with
  // reason() where OpenSSL has no memory or `name` cannot be verified against.
  bool prepare_tls_server(SSL_CTX* context);
  bool prepare_tls_client(SSL_CTX* context, const std::string& name);
  IoResult handshake();
  [[nodiscard]] bool inside_tls() const { return inside_tls_; }
  [[nodiscard]] SSL* ssl() const { return ssl_; }

  IoResult read(char* to, std::size_t octets_max);
  // A write that wanted something must be repeated with the same bytes at its front (the address
  // may differ and more may follow): TLS has sealed them into a record already.
  IoResult write(const char* from, std::size_t octets);
  // Sends close_notify (TLS); does not wait for the peer's.
  IoResult end_tls();
  // What was held back for the reply to come (a session ticket) leaves now, where it has not yet.
  void push();
  // From now on what is written may wait for more: shutdown() follows and sends all in one segment.
  void gather() { send_flags_ |= MSG_MORE; }

  // A sentence about the last kEnd or kError.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  bool prepare(SSL_CTX* context);
  static const BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* to, int octets_max);
  static int bio_write(BIO* bio, const char* from, int octets);
  static long bio_control(BIO* bio, int command, long number, void* pointer);
  IoResult explain_tls(int returned, const char* doing);
  IoResult explain_errno(int number, const char* doing);

  int fd_ = -1;
  int send_flags_ = MSG_NOSIGNAL;
  bool drained_ = false;  // the last recv did not fill its buffer: the next would get nothing
  bool peer_ended_ = false;
  bool held_back_ = false;
  SSL* ssl_ = nullptr;
  bool inside_tls_ = false;
  bool handshake_done_ = false;
  bool broken_ = false;  // OpenSSL forbids any further call after a fatal error
  std::string reason_;
};

}  // namespace net
