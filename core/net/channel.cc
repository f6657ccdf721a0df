#include "core/net/channel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "core/net/socket_address.h"

namespace net {
namespace {

int clamp(std::size_t octets) { return static_cast<int>(std::min<std::size_t>(octets, INT_MAX)); }

std::string openssl_reason() {
  // The first error is the cause; those behind it are about the way up.
  const unsigned long code = ERR_get_error();
  if (code == 0) return "unknown TLS error";
  if (const char* text = ERR_reason_error_string(code)) return text;
  char number[64];
  ERR_error_string_n(code, number, sizeof number);
  return number;
}

}  // namespace

void Channel::close() {
  if (ssl_ != nullptr) SSL_free(ssl_);
  ssl_ = nullptr;
  inside_tls_ = false;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool Channel::prepare(SSL_CTX* context) {
  ERR_clear_error();
  if (ssl_ != nullptr) {
    reason_ = "TLS was started twice on one connection";
    return false;
  }
  ssl_ = SSL_new(context);
  BIO* const bio = ssl_ == nullptr ? nullptr : BIO_new(bio_method());
  if (bio == nullptr) {
    reason_ = "cannot start TLS: " + openssl_reason();
    return false;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_mode(ssl_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                         SSL_MODE_RELEASE_BUFFERS);
  SSL_clear_mode(ssl_, SSL_MODE_AUTO_RETRY);
  SSL_set_options(ssl_, SSL_OP_NO_RENEGOTIATION);
  // One recv a record instead of two; we always read until the session has no more to give.
  SSL_set_read_ahead(ssl_, 1);
  return true;
}

// What TLS reads and writes through. OpenSSL's own would ask the socket once more after every
// record, only to hear that there is nothing; the loop tells us when there is.

const BIO_METHOD* Channel::bio_method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "relayd socket");
    if (method == nullptr) return method;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
  }();
  return kMethod;
}

int Channel::bio_read(BIO* bio, char* to, int octets_max) {
  auto& self = *static_cast<Channel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  ssize_t n = -1;
  if (std::exchange(self.drained_, false)) {
    errno = EAGAIN;
  } else {
    do {
      n = ::recv(self.fd_, to, static_cast<std::size_t>(octets_max), 0);
    } while (n < 0 && errno == EINTR);
  }
  if (n > 0) self.drained_ = n < octets_max;
  if (n == 0) self.peer_ended_ = true;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_read(bio);
  return static_cast<int>(n);
}

int Channel::bio_write(BIO* bio, const char* from, int octets) {
  auto& self = *static_cast<Channel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  ssize_t n = -1;
  // The ticket of TLS 1.3 is all of its flight and answers nothing: it leaves with the first reply.
  self.held_back_ = SSL_get_state(self.ssl_) == TLS_ST_SW_SESSION_TICKET &&
                    SSL_version(self.ssl_) == TLS1_3_VERSION;
  const int flags = self.send_flags_ | (self.held_back_ ? MSG_MORE : 0);
  do {
    n = ::send(self.fd_, from, static_cast<std::size_t>(octets), flags);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

long Channel::bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;  // nothing is kept here
  if (command == BIO_CTRL_EOF) return static_cast<Channel*>(BIO_get_data(bio))->peer_ended_ ? 1 : 0;
  return 0;
}

bool Channel::prepare_tls_server(SSL_CTX* context) {
  if (!prepare(context)) return false;
  SSL_set_accept_state(ssl_);
  return true;
}

bool Channel::prepare_tls_client(SSL_CTX* context, const std::string& name) {
  if (!prepare(context)) return false;
  SSL_set_connect_state(ssl_);
  SSL_set_verify(ssl_, SSL_VERIFY_PEER, nullptr);
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl_);
  bool good = false;
  if (SocketAddress::from_ip(name, 0).ok()) {
    good = X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str()) == 1;
  } else {
    std::string host = name;
    if (!host.empty() && host.back() == '.') host.pop_back();
    // An empty name would switch the check of names off.
    if (!host.empty() && host.find('\0') == std::string::npos) {
      X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      good = X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size()) == 1 &&
             SSL_set_tlsext_host_name(ssl_, host.c_str()) == 1;
    }
  }
  if (!good) reason_ = "'" + name + "' is not a name that a TLS certificate can be verified for";
  return good;
}

IoResult Channel::handshake() {
  inside_tls_ = true;
  ERR_clear_error();
  const int returned = SSL_do_handshake(ssl_);
  if (returned != 1) return explain_tls(returned, "TLS handshake");
  handshake_done_ = true;
  return {Io::kDone, 0};
}

IoResult Channel::read(char* to, std::size_t octets_max) {
  if (inside_tls_) {
    ERR_clear_error();
    const int n = SSL_read(ssl_, to, clamp(octets_max));
    if (n > 0) return {Io::kDone, static_cast<std::size_t>(n)};
    return explain_tls(n, "reading");
  }
  for (;;) {
    const ssize_t n = ::recv(fd_, to, octets_max, 0);
    if (n > 0) {
      drained_ = static_cast<std::size_t>(n) < octets_max;
      return {Io::kDone, static_cast<std::size_t>(n)};
    }
    if (n == 0) {
      reason_ = "the peer closed the connection";
      return {Io::kEnd, 0};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::kWantRead, 0};
    return explain_errno(errno, "reading");
  }
}

IoResult Channel::write(const char* from, std::size_t octets) {
  if (inside_tls_) {
    ERR_clear_error();
    const int n = SSL_write(ssl_, from, clamp(octets));
    if (n > 0) return {Io::kDone, static_cast<std::size_t>(n)};
    return explain_tls(n, "writing");
  }
  for (;;) {
    const ssize_t n = ::send(fd_, from, octets, send_flags_);
    if (n >= 0) return {Io::kDone, static_cast<std::size_t>(n)};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::kWantWrite, 0};
    return explain_errno(errno, "writing");
  }
}

IoResult Channel::end_tls() {
  if (!inside_tls_ || !handshake_done_ || broken_) return {Io::kDone, 0};
  ERR_clear_error();
  const int returned = SSL_shutdown(ssl_);
  if (returned >= 0) return {Io::kDone, 0};  // 0: ours is sent, the peer's has not come
  const int kind = SSL_get_error(ssl_, returned);
  if (kind == SSL_ERROR_WANT_WRITE) return {Io::kWantWrite, 0};
  // Anything else: there is no way left to say good-bye by.
  return {Io::kDone, 0};
}

void Channel::push() {
  if (!std::exchange(held_back_, false)) return;
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // pushes, each time (tcp(7))
}

IoResult Channel::explain_tls(int returned, const char* doing) {
  const int number = errno;
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ:
      return {Io::kWantRead, 0};
    case SSL_ERROR_WANT_WRITE:
      return {Io::kWantWrite, 0};
    case SSL_ERROR_ZERO_RETURN:
      reason_ = "the peer closed the TLS session";
      return {Io::kEnd, 0};
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      return explain_errno(number, doing);
    default:
      break;
  }
  broken_ = true;
  const unsigned long code = ERR_peek_error();
  if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    reason_ = handshake_done_ ? "the peer closed the connection without closing TLS (truncated)"
                              : "the peer closed the connection during the TLS handshake";
    return {Io::kError, 0};
  }
  reason_ = std::string(doing) + " failed: " + openssl_reason();
  const long verified = SSL_get_verify_result(ssl_);
  if (!handshake_done_ && verified != X509_V_OK) {
    reason_ += std::string(" (") + X509_verify_cert_error_string(verified) + ")";
  }
  ERR_clear_error();
  return {Io::kError, 0};
}

IoResult Channel::explain_errno(int number, const char* doing) {
  reason_ =
      std::string(doing) + " failed: " +
      (number == 0 ? "the peer closed the connection" : std::generic_category().message(number));
  return {Io::kError, 0};
}

}  // namespace net
