// TLS contexts for load and sink: made by the room `certs`, with what only a benchmark may want.
#pragma once

#include <string>

#include "certs/tls_context.h"
#include "core/base/result.h"

namespace relaybench {

// Trusts the system's roots and `ca` (a PEM file; "" for none); `insecure` takes any certificate.
base::Result<certs::TlsContext> client_context(const std::string& ca, bool insecure);

// `certificate` and `key` are PEM files; both "": a new self-signed certificate for localhost,
// 127.0.0.1 and ::1, valid for ten years, which never touches a disk.
base::Result<certs::TlsContext> server_context(const std::string& certificate,
                                               const std::string& key);

}  // namespace relaybench
