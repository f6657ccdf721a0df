#include "relaybench/tls.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>

namespace relaybench {
namespace {

constexpr long kValidSeconds = 10L * 365 * 86400;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// A file in memory: the room that makes contexts reads files.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : fd_(::memfd_create(name, MFD_CLOEXEC)) {}
  ~MemoryFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

  bool write(BIO* from) {
    char* bytes = nullptr;
    const long octets = BIO_get_mem_data(from, &bytes);
    return fd_ >= 0 && octets > 0 &&
           ::write(fd_, bytes, static_cast<std::size_t>(octets)) == octets;
  }

 private:
  int fd_;
};

bool add_names(X509* certificate) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> names(X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name,
                                                        "DNS:localhost,IP:127.0.0.1,IP:::1"));
  return names && X509_add_ext(certificate, names.get(), -1) == 1;
}

Owned<X509> self_signed(EVP_PKEY* key) {
  Owned<X509> certificate(X509_new());
  X509* c = certificate.get();
  if (c == nullptr) return nullptr;
  X509_NAME* name = X509_get_subject_name(c);
  const bool good = X509_set_version(c, X509_VERSION_3) == 1 &&
                    ASN1_INTEGER_set(X509_get_serialNumber(c), 1) == 1 &&
                    X509_gmtime_adj(X509_getm_notBefore(c), -86400) != nullptr &&
                    X509_gmtime_adj(X509_getm_notAfter(c), kValidSeconds) != nullptr &&
                    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                               reinterpret_cast<const unsigned char*>("relaybench"),
                                               -1, -1, 0) == 1 &&
                    X509_set_issuer_name(c, name) == 1 && X509_set_pubkey(c, key) == 1 &&
                    add_names(c) && X509_sign(c, key, EVP_sha256()) > 0;
  return good ? std::move(certificate) : nullptr;
}

base::Result<certs::TlsContext> self_signed_context() {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<X509> certificate = key ? self_signed(key.get()) : nullptr;
  const Owned<BIO> key_text(BIO_new(BIO_s_mem()));
  const Owned<BIO> certificate_text(BIO_new(BIO_s_mem()));
  MemoryFile key_file("relaybench-key");
  MemoryFile certificate_file("relaybench-certificate");
  if (!certificate || !key_text || !certificate_text ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1 ||
      !key_file.write(key_text.get()) || !certificate_file.write(certificate_text.get())) {
    return base::error("cannot make a self-signed certificate; give --certificate and --key");
  }
  return certs::make_server_context(certificate_file.path(), key_file.path(), "relaybench");
}

}  // namespace

base::Result<certs::TlsContext> client_context(const std::string& ca, bool insecure) {
  std::vector<std::string> trust;
  if (!ca.empty()) trust.push_back(ca);
  auto context = certs::make_client_context(trust);
  if (context && insecure) {
    // A stream always verifies; here everything passes.
    SSL_CTX_set_cert_verify_callback(
        context->get(), [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  }
  return context;
}

base::Result<certs::TlsContext> server_context(const std::string& certificate,
                                               const std::string& key) {
  if (certificate.empty() && key.empty()) return self_signed_context();
  if (certificate.empty() || key.empty()) {
    return base::error("--certificate and --key belong together");
  }
  return certs::make_server_context(certificate, key, "relaybench");
}

}  // namespace relaybench
