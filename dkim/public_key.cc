#include "dkim/public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <optional>

#include "core/base/bytes.h"
#include "dkim/tag_list.h"

namespace dkim {
namespace {

constexpr std::size_t kRecordOctetsMax = 8192;
constexpr int kRsaBitsMin = 1024;  // RFC 8301 3.2
constexpr int kRsaBitsMax = 8192;  // RFC 8301 3.2 asks for 4096
constexpr int kRsaExponentBitsMax = 64;
constexpr std::size_t kEd25519Octets = 32;  // RFC 8463 4.2

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(OSSL_PARAM_BLD* build) const { OSSL_PARAM_BLD_free(build); }
  void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;

const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Is one of `wanted` in the list (RFC 6376 3.6.1: h=, s=, t= are lists with colons)?
bool lists(std::string_view list, std::initializer_list<std::string_view> wanted) {
  for (const std::string_view part : base::parts(list, ':')) {
    for (const std::string_view one : wanted) {
      if (base::iequals(base::trim(part), one)) return true;
    }
  }
  return false;
}

using Number = std::unique_ptr<BIGNUM, Free>;

base::Result<Key> made_rsa(const Number& modulus, const Number& exponent) {
  const std::unique_ptr<OSSL_PARAM_BLD, Free> build(OSSL_PARAM_BLD_new());
  const std::unique_ptr<EVP_PKEY_CTX, Free> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  if (!build || !context ||
      OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return base::error("OpenSSL cannot take the RSA key");
  }
  const std::unique_ptr<OSSL_PARAM, Free> params(OSSL_PARAM_BLD_to_param(build.get()));
  EVP_PKEY* key = nullptr;
  if (!params || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return base::error("OpenSSL cannot take the RSA key");
  }
  return Key(key);
}

// Takes one value after another from DER (X.690 section 10): definite lengths in their shortest
// form. OpenSSL 3.0's own way takes ten times as long as the signature it is for.
class Der {
 public:
  explicit Der(std::string_view octets) : left_(octets) {}

  // The content of the next value, which must have this tag.
  std::optional<std::string_view> take(unsigned char tag) {
    if (left_.size() < 2 || byte(0) != tag) return std::nullopt;
    std::size_t size = byte(1);
    std::size_t start = 2;
    if (size > 0x80 && size <= 0x82) {
      const std::size_t octets = size - 0x80;
      if (left_.size() < start + octets) return std::nullopt;
      size = octets == 1 ? byte(2) : byte(2) * 256U + byte(3);
      if (size < (octets == 1 ? 0x80U : 0x100U)) return std::nullopt;
      start += octets;
    } else if (size >= 0x80) {
      return std::nullopt;
    }
    if (left_.size() - start < size) return std::nullopt;
    const std::string_view content = left_.substr(start, size);
    left_.remove_prefix(start + size);
    return content;
  }
  // A positive INTEGER without its sign octet.
  std::optional<std::string_view> take_positive() {
    auto number = take(0x02);
    if (!number || number->empty() || static_cast<signed char>(number->front()) < 0) {
      return std::nullopt;
    }
    if (number->front() != 0) return number;
    number->remove_prefix(1);
    // A zero in front is there only for the sign.
    if (number->empty() || static_cast<signed char>(number->front()) >= 0) return std::nullopt;
    return number;
  }
  [[nodiscard]] bool done() const { return left_.empty(); }

 private:
  [[nodiscard]] unsigned char byte(std::size_t at) const {
    return static_cast<unsigned char>(left_[at]);
  }
  std::string_view left_;
};

constexpr unsigned char kSequence = 0x30;
constexpr unsigned char kBitString = 0x03;

// The RSAPublicKey inside a SubjectPublicKeyInfo (RFC 5280 4.1.2.7, RFC 3279 2.3.1); `der` itself
// where it is none.
std::string_view inner_key(std::string_view der) {
  static constexpr std::string_view kRsaEncryption("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
                                                   11);
  static constexpr std::string_view kNull("\x05\x00", 2);
  Der outer(der);
  const auto info = outer.take(kSequence);
  if (!info || !outer.done()) return der;
  Der inner(*info);
  const auto algorithm = inner.take(kSequence);
  const auto key = inner.take(kBitString);
  const bool rsa = algorithm && algorithm->starts_with(kRsaEncryption) &&
                   (algorithm->size() == kRsaEncryption.size() ||
                    algorithm->substr(kRsaEncryption.size()) == kNull);
  if (!rsa || !key || !inner.done() || !key->starts_with('\0')) return der;
  return key->substr(1);
}

Number number_of(std::string_view big_endian) {
  return Number(BN_bin2bn(octets(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

// RSAPublicKey (RFC 8017 A.1.1), whole and nothing behind it, bare or in its info. The error is
// what is wrong with it.
base::Result<Key> read_rsa(std::string_view der) {
  Der outer(inner_key(der));
  const auto content = outer.take(kSequence);
  Der inner(content.value_or(std::string_view()));
  const auto n = inner.take_positive();
  const auto e = inner.take_positive();
  if (!content || !outer.done() || !n || !e || !inner.done()) {
    return base::error("the key is no RSA key");
  }
  const Number modulus = number_of(*n);
  const Number exponent = number_of(*e);
  if (!modulus || !exponent) return base::error("OpenSSL cannot take the RSA key");
  const int bits = BN_num_bits(modulus.get());
  if (bits < kRsaBitsMin) {
    return base::error("the RSA key is shorter than 1024 bits (RFC 8301 3.2)");
  }
  if (bits > kRsaBitsMax) return base::error("the RSA key is longer than 8192 bits");
  if (BN_is_odd(modulus.get()) == 0) return base::error("the key is no RSA key");
  if (BN_is_odd(exponent.get()) == 0 || BN_is_one(exponent.get()) == 1 ||
      BN_num_bits(exponent.get()) > kRsaExponentBitsMax) {
    return base::error("the RSA key has an unusable exponent");
  }
  return made_rsa(modulus, exponent);
}

// RFC 6376 3.6.1: what the record says about its use.
std::optional<std::string> problem_of(const TagList& tags, std::string_view record) {
  if (const std::string* version = tags.find("v")) {
    if (*version != "DKIM1") return "the key record is of an unknown version";
    if (base::trim(record.substr(0, record.find('='))) != "v") {
      return "the key record does not start with its version";
    }
  }
  const std::string* hashes = tags.find("h");
  if (hashes != nullptr && !lists(*hashes, {"sha256"})) return "the key is not for SHA-256 (h=)";
  const std::string* services = tags.find("s");
  if (services != nullptr && !lists(*services, {"*", "email"}))
    return "the key is not for mail (s=)";
  const std::string* key = tags.find("p");
  if (key == nullptr) return "the key record has no key";
  if (key->empty()) return "the key was revoked";
  return std::nullopt;
}

}  // namespace

const std::string* only_key_record(const dns::Answer& answer) {
  if (answer.records.size() == 1) return &answer.records.front();
  const std::string* only = nullptr;
  for (const std::string& record : answer.records) {
    if (!without_blanks(record.substr(0, 64)).starts_with("v=DKIM1")) continue;
    if (only != nullptr) return nullptr;
    only = &record;
  }
  return only;
}

struct PublicKey::State {
  Key key;
  Algorithm algorithm = Algorithm::kRsaSha256;
  bool testing = false;
};

PublicKey::PublicKey() : state_(std::make_unique<State>()) {}
PublicKey::~PublicKey() = default;
PublicKey::PublicKey(PublicKey&&) noexcept = default;
PublicKey& PublicKey::operator=(PublicKey&&) noexcept = default;

base::Result<PublicKey> PublicKey::parse(std::string_view record) {
  if (record.size() > kRecordOctetsMax) return base::error("the key record is too long");
  const auto tags = TagList::parse(record);
  if (!tags.ok()) return base::error("the key record is malformed: " + tags.message());
  if (auto problem = problem_of(*tags, record)) return base::error(*problem);
  const auto der = decode_folded_base64(*tags->find("p"));
  if (!der) return base::error("the key is no base64");

  PublicKey made;
  State& state = *made.state_;
  const std::string* flags = tags->find("t");
  state.testing = flags != nullptr && lists(*flags, {"y"});
  const std::string* type = tags->find("k");
  if (type == nullptr || base::iequals(*type, "rsa")) {
    auto key = read_rsa(*der);
    if (!key.ok()) return key.error();
    state.key = key.take();
  } else if (base::iequals(*type, "ed25519")) {
    state.algorithm = Algorithm::kEd25519Sha256;
    if (der->size() == kEd25519Octets) {
      state.key.reset(
          EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, octets(*der), der->size()));
    }
    if (!state.key) return base::error("the key is no Ed25519 key");
  } else {
    return base::error("the key is of an unknown type (k=)");
  }
  return made;
}

base::Result<PublicKey> PublicKey::parse(const dns::Answer& answer) {
  if (answer.status != dns::Status::kOk || answer.records.empty()) {
    return base::error("there is no key in DNS");
  }
  const std::string* record = only_key_record(answer);
  if (record == nullptr) return base::error("there are several keys in DNS");
  return parse(*record);
}

Algorithm PublicKey::algorithm() const { return state_->algorithm; }
int PublicKey::bits() const { return EVP_PKEY_get_bits(state_->key.get()); }
bool PublicKey::testing() const { return state_->testing; }

bool PublicKey::verifies(std::string_view digest, std::string_view signature) const {
  EVP_PKEY* const key = state_->key.get();
  if (state_->algorithm == Algorithm::kEd25519Sha256) {
    // RFC 8463 3: PureEdDSA over the digest.
    const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    return context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
           EVP_DigestVerify(context.get(), octets(signature), signature.size(), octets(digest),
                            digest.size()) == 1;
  }
  const std::unique_ptr<EVP_PKEY_CTX, Free> context(EVP_PKEY_CTX_new(key, nullptr));
  return context && EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1 &&
         EVP_PKEY_verify(context.get(), octets(signature), signature.size(), octets(digest),
                         digest.size()) == 1;
}

}  // namespace dkim
