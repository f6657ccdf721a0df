#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>

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
  ~State() { OPENSSL_cleanse(ed25519.data(), ed25519.size()); }
  // Where the key is an Ed25519 one: it once more, for libsodium, which signs in less than half of
  // OpenSSL's time (docs/decisions/0036-libsodium-signs-ed25519.md).
  bool unfold_ed25519();

  std::unique_ptr<EVP_PKEY, Free> key;
  Algorithm algorithm = Algorithm::kRsaSha256;
  std::array<unsigned char, crypto_sign_SECRETKEYBYTES> ed25519{};
};

bool SigningKey::State::unfold_ed25519() {
  if (algorithm != Algorithm::kEd25519Sha256) return true;
  std::array<unsigned char, crypto_sign_SEEDBYTES> seed{};  // RFC 8032 5.1.5: the private key
  std::array<unsigned char, crypto_sign_PUBLICKEYBYTES> ignored{};
  std::size_t size = seed.size();
  const bool is_done = sodium_init() >= 0 &&
                       EVP_PKEY_get_raw_private_key(key.get(), seed.data(), &size) == 1 &&
                       size == seed.size() &&
                       crypto_sign_seed_keypair(ignored.data(), ed25519.data(), seed.data()) == 0;
  OPENSSL_cleanse(seed.data(), seed.size());
  return is_done;
}

SigningKey::SigningKey() : state_(std::make_unique<State>()) {}
SigningKey::~SigningKey() = default;

base::Result<std::shared_ptr<const SigningKey>> SigningKey::generate(Algorithm algorithm) {
  std::shared_ptr<SigningKey> made(new SigningKey());
  made->state_->algorithm = algorithm;
  made->state_->key.reset(algorithm == Algorithm::kRsaSha256
                              ? EVP_RSA_gen(static_cast<unsigned>(kGeneratedBits))
                              : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!made->state_->key || !made->state_->unfold_ed25519()) {
    return base::error("OpenSSL cannot make a DKIM key");
  }
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
      if (!made->state_->unfold_ed25519()) return base::error("the DKIM key cannot be used");
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
  if (state_->algorithm == Algorithm::kEd25519Sha256) {
    // RFC 8463 3: PureEdDSA over the SHA-256 digest, not over the data.
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
      return base::error("OpenSSL cannot hash");
    }
    std::string signature(crypto_sign_BYTES, '\0');
    crypto_sign_detached(octets(signature), nullptr, digest.data(), size, state_->ed25519.data());
    return signature;
  }
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, state_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, octets(data), data.size()) != 1) {
    return base::error("OpenSSL cannot sign with the DKIM key");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), octets(signature), &size, octets(data), data.size()) != 1) {
    return base::error("OpenSSL cannot sign with the DKIM key");
  }
  signature.resize(size);
  return signature;
}

}  // namespace dkim
