#include "certs/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "certs/digest.h"
#include "core/base/log.h"

namespace certs {
namespace {

std::string last_reason() {
  // The last error says what it meant for the file; those before are from inside the decoders.
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unknown TLS error" : text;
}

// OpenSSL's own message about a file that is not there names neither the file nor the cause.
base::Status readable(const std::string& path, const char* what) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  // A folder opens; it is reading that fails.
  if (file && file.peek() != std::ifstream::traits_type::eof()) return base::Ok{};
  const int number = errno;
  return base::error(std::string(what) + " " + path + ": " +
                     (number != 0 ? std::generic_category().message(number) : "the file is empty"));
}

// A key under a pass phrase must not make a daemon ask for it on a terminal.
int no_pass_phrase(char*, int, int, void*) { return 0; }

TlsContext new_context(const SSL_METHOD* method) {
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(method), SslCtxFree{});
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Server sessions live in tickets, clients do not resume: a cache would only cost memory.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context.get(), no_pass_phrase);
  return context;
}

void warn_about_dates(SSL_CTX* context, const std::string& path) {
  const X509* certificate = SSL_CTX_get0_certificate(context);
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    base::log_warning("certificate has expired", {{"certificate", path}});
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    base::log_warning("certificate is not valid yet", {{"certificate", path}});
  }
}

}  // namespace

void SslCtxFree::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

base::Result<TlsContext> make_server_context(const std::string& certificate_path,
                                             const std::string& key_path,
                                             const std::string& session_id_context) {
  if (auto there = readable(certificate_path, "certificate"); !there) return there.error();
  if (auto there = readable(key_path, "key"); !there) return there.error();
  TlsContext context = new_context(TLS_server_method());
  if (!context) return base::error("cannot make a TLS context: " + last_reason());
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_path.c_str()) != 1) {
    return base::error("certificate " + certificate_path +
                       ": there is no usable PEM certificate in it: " + last_reason());
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_path.c_str(), SSL_FILETYPE_PEM) != 1) {
    // OpenSSL compares with the certificate as it loads the key.
    const unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509) {
      ERR_clear_error();
      return base::error("key " + key_path + " does not belong to the certificate " +
                         certificate_path);
    }
    return base::error("key " + key_path +
                       ": there is no PEM key without a pass phrase in it: " + last_reason());
  }
  if (SSL_CTX_check_private_key(context.get()) != 1) {
    ERR_clear_error();
    return base::error("key " + key_path + " does not belong to the certificate " +
                       certificate_path);
  }
  warn_about_dates(context.get(), certificate_path);

  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE);
  // OpenSSL's own three, AES-128 first: its SHA-256 makes a handshake a tenth cheaper than SHA-384.
  SSL_CTX_set_ciphersuites(
      context.get(), "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  // The chain is what the file says; there is no trust here that one could be built from.
  SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_dh_auto(context.get(), 1);
  // Two tickets, the default, can stall a peer that writes little and reads less.
  SSL_CTX_set_num_tickets(context.get(), 1);
  // Hashed, because OpenSSL takes 32 bytes at most.
  const std::string id = sha256(session_id_context);
  SSL_CTX_set_session_id_context(context.get(), reinterpret_cast<const unsigned char*>(id.data()),
                                 static_cast<unsigned>(id.size()));
  return context;
}

base::Result<TlsContext> make_client_context(const std::vector<std::string>& trust_paths) {
  TlsContext context = new_context(TLS_client_method());
  if (!context) return base::error("cannot make a TLS context: " + last_reason());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
    return base::error("cannot load the system's root certificates: " + last_reason());
  }
  for (const std::string& path : trust_paths) {
    if (auto there = readable(path, "trust"); !there) return there.error();
    if (SSL_CTX_load_verify_file(context.get(), path.c_str()) != 1) {
      return base::error("trust " + path +
                         ": there is no usable PEM certificate in it: " + last_reason());
    }
  }
  // An intermediate that the operator lists is trusted as it stands, without its root.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()), X509_V_FLAG_PARTIAL_CHAIN);
  return context;
}

}  // namespace certs
