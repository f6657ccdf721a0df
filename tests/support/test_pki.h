// A certificate authority made at run time in a folder of its own, removed with the object. For
// tests of every room: pki.issue("relay.example") gives paths to a chain and a key that pki.ca()
// vouches for.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "relayd-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct Identity {
  std::string certificate;  // path: leaf, then intermediate
  std::string key;          // path
};

struct IssueOptions {
  long from_s = -3600;  // relative to now
  long until_s = 86400;
  bool by_intermediate = false;
};

class TestPki {
 public:
  TestPki() {
    root_key_ = make_key();
    root_ = sign("Test Root", root_key_, nullptr, nullptr, "", true, {});
    write_certificate("ca.pem", root_);
    intermediate_key_ = make_key();
    intermediate_ = sign("Test Intermediate", intermediate_key_, root_, root_key_, "", true, {});
    write_certificate("intermediate.pem", intermediate_);
  }
  ~TestPki() {
    X509_free(root_);
    X509_free(intermediate_);
    EVP_PKEY_free(root_key_);
    EVP_PKEY_free(intermediate_key_);
  }
  TestPki(const TestPki&) = delete;
  TestPki& operator=(const TestPki&) = delete;

  [[nodiscard]] std::string ca() const { return dir_.file("ca.pem"); }
  [[nodiscard]] std::string intermediate() const { return dir_.file("intermediate.pem"); }
  [[nodiscard]] const TempDir& dir() const { return dir_; }

  // `names` as in subjectAltName: "DNS:relay.example,IP:127.0.0.1".
  Identity issue(const std::string& names, const IssueOptions& options = {}) {
    const std::string stem = "leaf" + std::to_string(++count_);
    EVP_PKEY* key = make_key();
    X509* issuer = options.by_intermediate ? intermediate_ : root_;
    X509* leaf = sign(stem, key, issuer, options.by_intermediate ? intermediate_key_ : root_key_,
                      names, false, options);
    Identity identity{dir_.file(stem + ".pem"), dir_.file(stem + ".key")};
    BIO* out = BIO_new_file(identity.certificate.c_str(), "w");
    PEM_write_bio_X509(out, leaf);
    if (options.by_intermediate) PEM_write_bio_X509(out, intermediate_);
    BIO_free(out);
    out = BIO_new_file(identity.key.c_str(), "w");
    PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    BIO_free(out);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return identity;
  }

 private:
  static EVP_PKEY* make_key() { return EVP_EC_gen("P-256"); }

  static void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    if (extension == nullptr) throw std::runtime_error("certificate extension " + value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  static X509* sign(const std::string& subject, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                    const std::string& names, bool is_ca, const IssueOptions& options) {
    static long serial = 1;
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), options.from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), options.until_s);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
    X509* const signer = issuer == nullptr ? certificate : issuer;
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    add_extension(certificate, signer, NID_basic_constraints,
                  is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(certificate, signer, NID_subject_key_identifier, "hash");
    if (!names.empty()) add_extension(certificate, signer, NID_subject_alt_name, names);
    if (X509_sign(certificate, issuer_key == nullptr ? key : issuer_key, EVP_sha256()) == 0) {
      throw std::runtime_error("signing a certificate");
    }
    return certificate;
  }

  void write_certificate(const std::string& name, X509* certificate) {
    BIO* out = BIO_new_file(dir_.file(name).c_str(), "w");
    PEM_write_bio_X509(out, certificate);
    BIO_free(out);
  }

  TempDir dir_;
  EVP_PKEY* root_key_ = nullptr;
  EVP_PKEY* intermediate_key_ = nullptr;
  X509* root_ = nullptr;
  X509* intermediate_ = nullptr;
  int count_ = 0;
};

}  // namespace test
