// TLS identities and trust: the only place that makes SSL_CTX objects. TLS 1.2 and up, no
// renegotiation, one session ticket a handshake, session ids bound to the listener.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace certs {

struct SslCtxFree {
  void operator()(SSL_CTX* context) const;
};
// Shared: sessions keep theirs over a reload. SSL_CTX is thread-safe once it is made.
using TlsContext = std::shared_ptr<SSL_CTX>;

// A server's context. Errors name the file: unreadable, no certificate in it, key does not belong
// to the certificate. An expired certificate is taken with a warning in the log.
base::Result<TlsContext> make_server_context(const std::string& certificate_path,
                                             const std::string& key_path,
                                             const std::string& session_id_context);

// A client's context that verifies: the system's roots and those of `trust_paths` (PEM).
base::Result<TlsContext> make_client_context(const std::vector<std::string>& trust_paths);

}  // namespace certs
