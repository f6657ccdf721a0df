#include "certs/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdexcept>

#include "core/base/bytes.h"

namespace certs {
namespace {

constexpr std::size_t kDigestOctets = 32;

void require(bool good) {
  if (!good) throw std::runtime_error("SHA-256 is not available");
}

unsigned char* octets(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

const EVP_MD* method() {
  static const EVP_MD* const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return found;
}

struct Hmac {
  Hmac() {
    EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    context = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    char name[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_END};
    require(context != nullptr && EVP_MAC_CTX_set_params(context, parameters) == 1);
  }
  ~Hmac() {
    EVP_MAC_CTX_free(context);
    forget();
  }
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  // Whoever signs much does so with one key: what is derived from it stays in the context.
  void begin(std::string_view key) {
    if (!key_.empty() && base::constant_time_equal(key, key_)) {
      require(EVP_MAC_init(context, nullptr, 0, nullptr) == 1);
      return;
    }
    forget();  // first: what fails half-way is not taken for done
    require(EVP_MAC_init(context, octets(key), key.size(), nullptr) == 1);
    key_ = key;
  }

  EVP_MAC_CTX* context = nullptr;

 private:
  void forget() {
    OPENSSL_cleanse(key_.data(), key_.size());
    key_.clear();
  }

  std::string key_;
};

}  // namespace

std::string sha256(std::string_view data) {
  Sha256 digest;
  digest.update(data);
  return digest.finish();
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
  thread_local Hmac hmac;
  if (key.empty()) key = "";  // OpenSSL takes a null pointer for the key before
  std::string digest(kDigestOctets, '\0');
  std::size_t written = 0;
  hmac.begin(key);
  require(EVP_MAC_update(hmac.context, octets(data), data.size()) == 1 &&
          EVP_MAC_final(hmac.context, octets(digest), &written, digest.size()) == 1);
  return digest;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) { begin(); }

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::begin() {
  require(context_ != nullptr && EVP_DigestInit_ex(context_, method(), nullptr) == 1);
}

void Sha256::update(std::string_view bytes) {
  require(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::string digest(kDigestOctets, '\0');
  require(EVP_DigestFinal_ex(context_, octets(digest), nullptr) == 1);
  begin();
  return digest;
}

}  // namespace certs
