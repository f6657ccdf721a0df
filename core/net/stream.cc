#include "core/net/stream.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "core/net/channel.h"
#include "core/net/stream_state.h"

namespace net {

Stream::Stream(Loop& loop, StreamHandler& handler, StreamLimits limits)
    : state_(std::make_shared<StreamState>(loop, handler, limits)) {}

Stream::~Stream() {
  if (state_->lingering) return;
  state_->handler = nullptr;
  state_->release_socket();
}

void Stream::adopt(int fd) {
  state_->attach(fd);
  state_->peer.length = sizeof state_->peer.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&state_->peer.storage), &state_->peer.length) !=
      0) {
    state_->peer = {};  // reset before it was looked at; the first read says so
  }
  state_->update_interest();
}

void Stream::connect(const SocketAddress& address) { state_->connect(address); }

void Stream::start_tls_server(SSL_CTX* context) {
  if (state_->alive()) state_->start_tls(state_->channel.prepare_tls_server(context));
}

void Stream::start_tls_client(SSL_CTX* context, const std::string& name) {
  if (state_->alive()) state_->start_tls(state_->channel.prepare_tls_client(context, name));
}

bool Stream::write(std::string_view bytes) { return state_->write(bytes); }

std::size_t Stream::output_pending() const { return state_->pending(); }

void Stream::pause_reading() {
  state_->paused = true;
  state_->update_interest();
}

void Stream::resume_reading() { state_->resume(); }

bool Stream::has_unread_input() const { return !state_->unread.empty(); }

void Stream::close_gracefully(std::int64_t deadline_ms) { state_->linger(deadline_ms); }

bool Stream::inside_tls() const { return state_->tls == StreamState::Tls::kDone; }

TlsInfo Stream::tls_info() const {
  TlsInfo info;
  SSL* ssl = state_->channel.ssl();
  if (!inside_tls() || ssl == nullptr) return info;
  info.version = SSL_get_version(ssl);
  info.cipher = SSL_get_cipher_name(ssl);
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return info;
  // Without SSL_VERIFY_PEER nobody has looked at the certificate, and X509_V_OK is only the
  // default.
  if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0) return info;
  BIO* text = BIO_new(BIO_s_mem());
  if (text == nullptr) return info;
  X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* bytes = nullptr;
  const long octets = BIO_get_mem_data(text, &bytes);
  if (octets > 0) info.peer_subject.assign(bytes, static_cast<std::size_t>(octets));
  BIO_free(text);
  return info;
}

SocketAddress Stream::peer() const { return state_->peer; }

SocketAddress Stream::local() const {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (::getsockname(state_->channel.fd(), reinterpret_cast<sockaddr*>(&address.storage),
                    &address.length) != 0) {
    return {};
  }
  return address;
}

}  // namespace net
