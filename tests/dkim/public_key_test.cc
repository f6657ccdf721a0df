// Key records (RFC 6376 3.6.1, RFC 8301 3.2, RFC 8463 4), right and wrong in one thing each.
#include "dkim/public_key.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "support/arc_sealer.h"

namespace {

using dkim::Algorithm;
using dkim::PublicKey;

std::string der_of(EVP_PKEY* key, bool info) {
  unsigned char* der = nullptr;
  const int size = info ? i2d_PUBKEY(key, &der) : i2d_PublicKey(key, &der);
  std::string octets(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  EVP_PKEY_free(key);
  return octets;
}
std::string rsa(unsigned bits, bool info = true) { return der_of(EVP_RSA_gen(bits), info); }

// A public RSA key that nobody can sign with, but that has this size and exponent.
std::string odd_rsa(int bits, const char* exponent) {
  BIGNUM* n = BN_new();
  BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
  BIGNUM* e = nullptr;
  BN_dec2bn(&e, exponent);
  OSSL_PARAM_BLD* build = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  EVP_PKEY_fromdata_init(context);
  EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(build);
  BN_free(n);
  BN_free(e);
  return der_of(key, true);
}

std::string reason(const base::Result<PublicKey>& key) { return key.ok() ? "ok" : key.message(); }

// A record with these octets as its key.
std::string der(std::string hex) {
  std::erase(hex, ' ');
  return "p=" + base::base64_encode(*base::hex_decode(hex));
}

struct Case {
  const char* section;  // of RFC 6376
  std::string record;
  const char* result;  // "ok" or what is wrong
};

TEST(PublicKey, Records) {
  const std::string good = rsa(1024);
  const std::string p = "p=" + base::base64_encode(good);
  const std::string edwards = std::string(32, '\x01');
  const std::string ed = "k=ed25519; p=";
  std::string folded = p;
  for (std::size_t at = 20; at < folded.size(); at += 30) folded.insert(at, " \t\r\n ");
  std::string unpadded = p;
  while (unpadded.ends_with('=')) unpadded.pop_back();
  const std::vector<Case> cases = {
      {"3.6.1", "v=DKIM1; k=rsa; " + p, "ok"},
      {"3.6.1", p, "ok"},
      {"3.6.1", "  v = DKIM1 ; " + p + " ; ", "ok"},
      {"3.6.1 v=", p + "; v=DKIM1", "does not start with its version"},
      {"3.6.1 v=", "v=DKIM2; " + p, "of an unknown version"},
      {"3.6.1 v=", "v=dkim1; " + p, "of an unknown version"},
      {"3.6.1 v=", "v=; " + p, "of an unknown version"},
      {"3.6.1 v=", "v=spf1 -all", "of an unknown version"},
      {"3.6.1 k=", "k=RSA; " + p, "ok"},
      {"3.6.1 k=", "k=dsa; " + p, "of an unknown type"},
      {"3.6.1 k=", "k=; " + p, "of an unknown type"},
      {"3.6.1 k=", "k=ed25519; " + p, "no Ed25519 key"},
      {"3.6.1 p=", "v=DKIM1; k=rsa", "has no key"},
      {"3.6.1 p=", "v=DKIM1; k=rsa; p=", "was revoked"},
      {"3.6.1 p=", "p= \t ", "was revoked"},
      {"3.6.1 p=", "p=%%%%", "no base64"},
      {"3.6.1 p=", "p=abcde", "no base64"},
      {"3.6.1 p=", folded, "ok"},
      {"2.10 p=", unpadded, "ok"},
      {"3.6.1 p=", "p=" + base::base64_encode(rsa(1024, false)), "ok"},
      {"3.6.1 p=", "p=" + base::base64_encode(good + "x"), "no RSA key"},
      {"3.6.1 p=", "p=" + base::base64_encode(good.substr(0, 100)), "no RSA key"},
      {"3.6.1 p=", "p=c29tZXRoaW5n", "no RSA key"},
      {"3.6.1 p=", der(""), "was revoked"},
      {"3.6.1 p=", der("30"), "no RSA key"},
      {"3.6.1 p=", der("3000"), "no RSA key"},
      {"3.6.1 p=", der("3003020103"), "no RSA key"},
      {"3.6.1 p=", der("30060201ff020103"), "no RSA key"},     // negative
      {"3.6.1 p=", der("3007020200030201 03"), "no RSA key"},  // a zero too many
      {"3.6.1 p=", der("308006020103020103"), "no RSA key"},   // of indefinite length
      {"3.6.1 p=", der("308106020103020103"), "no RSA key"},   // a length too long
      {"3.6.1 p=", der("3083000006020103020103"), "no RSA key"},
      {"3.6.1 p=", der("30ff"), "no RSA key"},
      {"3.6.1 p=", der("3006020103020103"), "shorter than 1024 bits"},
      {"3.6.1 p=", der("3006020103020103 00"), "no RSA key"},
      {"3.6.1 p=", "p=" + base::base64_encode(der_of(EVP_EC_gen("P-256"), true)), "no RSA key"},
      {"RFC 8301 3.2", "p=" + base::base64_encode(rsa(512)), "shorter than 1024 bits"},
      {"RFC 8301 3.2", "p=" + base::base64_encode(odd_rsa(1023, "65537")), "shorter than 1024"},
      {"RFC 8301 3.2", "p=" + base::base64_encode(odd_rsa(4096, "65537")), "ok"},
      {"bound", "p=" + base::base64_encode(odd_rsa(8192, "65537")), "ok"},
      {"bound", "p=" + base::base64_encode(odd_rsa(8193, "65537")), "longer than 8192 bits"},
      {"bound", "p=" + base::base64_encode(odd_rsa(2048, "3")), "ok"},
      {"bound", "p=" + base::base64_encode(odd_rsa(2048, "1")), "unusable exponent"},
      {"bound", "p=" + base::base64_encode(odd_rsa(2048, "65536")), "unusable exponent"},
      {"bound", "p=" + base::base64_encode(odd_rsa(2048, "18446744073709551615")), "ok"},
      {"bound", "p=" + base::base64_encode(odd_rsa(2048, "18446744073709551617")),
       "unusable exponent"},
      {"bound", p + "; n=" + std::string(8192, 'x'), "too long"},
      {"RFC 8463 4", ed + base::base64_encode(edwards), "ok"},
      {"RFC 8463 4", "v=DKIM1; " + ed + base::base64_encode(edwards.substr(1)), "no Ed25519 key"},
      {"RFC 8463 4", ed + base::base64_encode(edwards + "x"), "no Ed25519 key"},
      {"3.6.1 h=", p + "; h=sha256", "ok"},
      {"3.6.1 h=", p + "; h=sha1 : SHA256", "ok"},
      {"3.6.1 h=", p + "; h=sha1", "not for SHA-256"},
      {"3.6.1 h=", p + "; h=sha2560", "not for SHA-256"},
      {"3.6.1 h=", p + "; h=", "not for SHA-256"},
      {"3.6.1 s=", p + "; s=*", "ok"},
      {"3.6.1 s=", p + "; s=email", "ok"},
      {"3.6.1 s=", p + "; s=tlsrpt:Email", "ok"},
      {"3.6.1 s=", p + "; s=tlsrpt", "not for mail"},
      {"3.6.1 s=", p + "; s=", "not for mail"},
      {"3.6.1 t=", p + "; t=s:unknown", "ok"},
      {"3.6.1", p + "; n=notes; g=; unknown=1", "ok"},
      {"3.2", p + "; " + p, "malformed: tag p stands twice"},
      {"3.2", "v=DKIM1; k=rsa; words", "malformed: a tag without a value"},
      {"3.2", p + ";;", "malformed"},
      {"3.2", "", "malformed"},
      {"3.2", "<html>", "malformed"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.section + std::string(" ") + base::printable(one.record, 60));
    const std::string result = reason(PublicKey::parse(one.record));
    if (one.result == std::string("ok")) {
      EXPECT_EQ(result, "ok");
    } else {
      EXPECT_NE(result.find(one.result), std::string::npos) << result;
    }
  }
}

TEST(PublicKey, EveryOctetOfAKeyMatters) {  // whatever is changed, nothing breaks
  const std::string good = rsa(1024);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {1, 2, 0x80}) {
      std::string changed = good;
      changed[at] = static_cast<char>(changed[at] ^ bit);
      const auto key = PublicKey::parse("p=" + base::base64_encode(changed));
      if (!key.ok()) continue;
      EXPECT_FALSE(key->verifies(std::string(32, 'd'), std::string(128, 's')));
    }
    EXPECT_FALSE(PublicKey::parse("p=" + base::base64_encode(good.substr(0, at))).ok());
  }
}

TEST(PublicKey, WhatTheRecordSays) {
  for (const Algorithm algorithm : {Algorithm::kRsaSha256, Algorithm::kEd25519Sha256}) {
    const auto signing = arc_sealer::key_of(algorithm);
    const auto key = PublicKey::parse(signing->dns_record());
    ASSERT_TRUE(key.ok()) << key.message();
    EXPECT_EQ(key->algorithm(), algorithm);
    EXPECT_EQ(key->bits(), algorithm == Algorithm::kRsaSha256 ? 2048 : 256);
    EXPECT_FALSE(key->testing());
    EXPECT_TRUE(PublicKey::parse(signing->dns_record() + "; t=s:y")->testing());
    EXPECT_FALSE(PublicKey::parse(signing->dns_record() + "; t=s")->testing());
  }
}

TEST(PublicKey, Verifies) {
  for (const Algorithm algorithm : {Algorithm::kRsaSha256, Algorithm::kEd25519Sha256}) {
    SCOPED_TRACE(dkim::name(algorithm));
    const auto signing = arc_sealer::key_of(algorithm);
    const auto key = PublicKey::parse(signing->dns_record());
    ASSERT_TRUE(key.ok());
    const std::string digest = arc_sealer::sha256("text");
    const std::string signature = *signing->sign("text");
    EXPECT_TRUE(key->verifies(digest, signature));
    EXPECT_FALSE(key->verifies(arc_sealer::sha256("Text"), signature));
    EXPECT_FALSE(key->verifies(digest, ""));
    EXPECT_FALSE(key->verifies("", signature));
    EXPECT_FALSE(key->verifies(digest, signature + "x"));
    EXPECT_FALSE(key->verifies(digest, signature.substr(1)));
    std::string changed = signature;
    changed.back() = static_cast<char>(changed.back() ^ 1);
    EXPECT_FALSE(key->verifies(digest, changed));
  }
}

TEST(PublicKey, Answers) {  // RFC 6376 3.6.2.2, 6.1.2
  const std::string record = arc_sealer::key_of(Algorithm::kRsaSha256)->dns_record();
  dns::Answer answer;
  answer.status = dns::Status::kOk;
  answer.records = {record};
  EXPECT_EQ(reason(PublicKey::parse(answer)), "ok");
  answer.records = {"v=spf1 -all", record, "google-site-verification=x"};
  EXPECT_EQ(reason(PublicKey::parse(answer)), "ok");
  answer.records = {record, record};
  EXPECT_EQ(reason(PublicKey::parse(answer)), "there are several keys in DNS");
  answer.records = {"p=", "p="};
  EXPECT_EQ(reason(PublicKey::parse(answer)), "there are several keys in DNS");
  answer.records = {};
  EXPECT_EQ(reason(PublicKey::parse(answer)), "there is no key in DNS");
  for (const dns::Status status : {dns::Status::kNoData, dns::Status::kNxDomain}) {
    answer.status = status;
    EXPECT_EQ(reason(PublicKey::parse(answer)), "there is no key in DNS");
  }
}

}  // namespace
