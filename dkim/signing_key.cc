#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>

#include "core/base/bytes.h"
#include "dkim/signer.h"

namespace dkim {
namespace {

constexpr int kGeneratedBits = 2048;
constexpr int kRsaBitsMin = 1024;  // RFC 8301 3.2
constexpr int kRsaBitsMax = 4096;  // more does not fit into the answers that receivers read
constexpr std::size_t kPemOctetsMax = 16384;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* octets(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// An encrypted key must not make a daemon ask at its terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

struct SigningKey::State {
  std::unique_ptr<EVP_PKEY, Free> key;
  Algorithm algorithm = Algorithm::kRsaSha256;
};

SigningKey::SigningKey() : state_(std::make_unique<State>()) {}
SigningKey::~SigningKey() = default;

base::Result<std::shared_ptr<const SigningKey>> SigningKey::generate(Algorithm algorithm) {
  std::shared_ptr<SigningKey> made(new SigningKey());
  made->state_->algorithm = algorithm;
  made->state_->key.reset(algorithm == Algorithm::kRsaSha256
                              ? EVP_RSA_gen(static_cast<unsigned>(kGeneratedBits))
                              : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!made->state_->key) return base::error("OpenSSL cannot make a DKIM key");
  return std::shared_ptr<const SigningKey>(std::move(made));
}

base::Result<std::shared_ptr<const SigningKey>> SigningKey::from_pem(std::string_view pem) {
  if (pem.size() > kPemOctetsMax) return base::error("the DKIM key is too long to be one");
  const std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::shared_ptr<SigningKey> made(new SigningKey());
  auto& key = made->state_->key;
  if (bio) key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return base::error("the DKIM key is no unencrypted private key in PEM (PKCS#8)");
  switch (EVP_PKEY_get_base_id(key.get())) {
    case EVP_PKEY_RSA: {
      const int bits = EVP_PKEY_get_bits(key.get());
      if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
        return base::error("the DKIM key has " + std::to_string(bits) +
                           " bits; RSA keys of 1024 to 4096 bits can be used, take 2048");
      }
      made->state_->algorithm = Algorithm::kRsaSha256;
      break;
    }
    case EVP_PKEY_ED25519:
      made->state_->algorithm = Algorithm::kEd25519Sha256;
      break;
    default:
      return base::error("the DKIM key is neither RSA nor Ed25519");
  }
  return std::shared_ptr<const SigningKey>(std::move(made));
}

std::string SigningKey::pem() const {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_secmem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), state_->key.get(), nullptr, nullptr, 0,
                                            nullptr, nullptr) != 1) {
    return {};
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

Algorithm SigningKey::algorithm() const { return state_->algorithm; }

std::string SigningKey::dns_record() const {
  if (state_->algorithm == Algorithm::kEd25519Sha256) {
    std::string raw(32, '\0');
    std::size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(state_->key.get(), octets(raw), &size);
    return "v=DKIM1; k=ed25519; p=" + base::base64_encode(raw);
  }
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(state_->key.get(), &der);
  if (size <= 0) return {};
  const std::string info(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return "v=DKIM1; k=rsa; p=" + base::base64_encode(info);
}

base::Result<std::string> SigningKey::sign(std::string_view data) const {
  const bool rsa = state_->algorithm == Algorithm::kRsaSha256;
  // RFC 8463 3: PureEdDSA over the SHA-256 digest, not over the data.
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  std::string_view input = data;
  if (!rsa) {
    unsigned size = 0;
    if (EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
      return base::error("OpenSSL cannot hash");
    }
    input = {reinterpret_cast<const char*>(digest.data()), size};
  }
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, rsa ? EVP_sha256() : nullptr, nullptr,
                         state_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, octets(input), input.size()) != 1) {
    return base::error("OpenSSL cannot sign with the DKIM key");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), octets(signature), &size, octets(input), input.size()) != 1) {
    return base::error("OpenSSL cannot sign with the DKIM key");
  }
  signature.resize(size);
  return signature;
}

}  // namespace dkim
