// SHA-256 and HMAC-SHA-256 (RFC 2104), raw bytes. OpenSSL looks an algorithm up anew whenever it is
// asked for by name, which takes longer than hashing a header does: here it is looked up once.
// Thread-safe, a Sha256 aside, which is one thread's. Throws where OpenSSL has no SHA-256.
#pragma once

#include <string>
#include <string_view>

typedef struct evp_md_ctx_st EVP_MD_CTX;

namespace certs {

std::string sha256(std::string_view data);
std::string hmac_sha256(std::string_view key, std::string_view data);

// Bytes in any pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  std::string finish();  // begins anew

 private:
  void begin();
  EVP_MD_CTX* context_;
};

}  // namespace certs
