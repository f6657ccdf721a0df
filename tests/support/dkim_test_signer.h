// A DKIM signer for tests that puts its name to anything: every tag can be set at will, right or
// wrong, with simple and relaxed forms, RSA of any length, SHA-1. It shares no code with the room
// that it tests: the canonical forms are written here once more, straight from RFC 6376 3.4.
#pragma once

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace dkim_test {

class Key {
 public:
  static Key rsa(unsigned bits) { return Key(EVP_RSA_gen(bits)); }
  static Key ed25519() { return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }
  static Key ec() { return Key(EVP_EC_gen("P-256")); }

  [[nodiscard]] EVP_PKEY* get() const { return key_.get(); }
  [[nodiscard]] bool is_ed25519() const { return EVP_PKEY_get_base_id(get()) == EVP_PKEY_ED25519; }
  // SubjectPublicKeyInfo, in base64.
  [[nodiscard]] std::string info() const { return encoded(i2d_PUBKEY); }
  // RSAPublicKey of PKCS#1, in base64.
  [[nodiscard]] std::string bare() const { return encoded(i2d_PublicKey); }
  // The 32 octets of an Ed25519 key, in base64.
  [[nodiscard]] std::string raw() const {
    std::string octets(32, '\0');
    std::size_t size = octets.size();
    EVP_PKEY_get_raw_public_key(get(), reinterpret_cast<unsigned char*>(octets.data()), &size);
    return base::base64_encode(octets);
  }
  [[nodiscard]] std::string record() const {
    return is_ed25519() ? "v=DKIM1; k=ed25519; p=" + raw() : "v=DKIM1; k=rsa; p=" + info();
  }
  // In base64. RFC 8463 3: Ed25519 signs the digest.
  [[nodiscard]] std::string sign(const std::string& input, const EVP_MD* method) const {
    std::string data = is_ed25519() ? hash(input, method) : input;
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free);
    std::string out(2048, '\0');
    std::size_t size = out.size();
    if (EVP_DigestSignInit(context.get(), nullptr, is_ed25519() ? nullptr : method, nullptr,
                           get()) != 1 ||
        EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                       reinterpret_cast<const unsigned char*>(data.data()), data.size()) != 1) {
      throw std::runtime_error("cannot sign");
    }
    return base::base64_encode(out.substr(0, size));
  }

  static std::string hash(const std::string& input, const EVP_MD* method) {
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_Digest(input.data(), input.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
               method, nullptr);
    return digest.substr(0, size);
  }

 private:
  explicit Key(EVP_PKEY* key) : key_(key, &EVP_PKEY_free) {
    if (key == nullptr) throw std::runtime_error("no key");
  }
  template <typename Encode>
  [[nodiscard]] std::string encoded(Encode encode) const {
    unsigned char* der = nullptr;
    const int size = encode(get(), &der);
    if (size <= 0) throw std::runtime_error("the key cannot be written");
    const std::string octets(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return base::base64_encode(octets);
  }
  std::shared_ptr<EVP_PKEY> key_;
};

inline bool is_blank(char c) { return c == ' ' || c == '\t'; }

// RFC 6376 3.4.2, 3.4.4: every run of blanks becomes one blank.
inline std::string reduced(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (!is_blank(c)) {
      out += c;
    } else if (out.empty() || out.back() != ' ') {
      out += ' ';
    }
  }
  return out;
}

inline std::string stripped(std::string text) {
  while (!text.empty() && is_blank(text.back())) text.pop_back();
  while (!text.empty() && is_blank(text.front())) text.erase(0, 1);
  return text;
}

inline std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// A field without its final CRLF.
inline std::string canonical_field(const std::string& field, bool relaxed) {
  if (!relaxed) return field;
  const auto colon = field.find(':');
  std::string name = stripped(field.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  return name + ":" + stripped(reduced(replaced(field.substr(colon + 1), "\r\n", "")));
}

inline std::string canonical_body(const std::string& body, bool relaxed) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < body.size();) {
    const auto end = std::min(body.find("\r\n", at), body.size());
    std::string line = body.substr(at, end - at);
    if (relaxed) {
      line = reduced(line);
      if (line.ends_with(' ')) line.pop_back();
    }
    lines.push_back(line);
    at = end + 2;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string out;
  for (const std::string& line : lines) out += line + "\r\n";
  return out.empty() && !relaxed ? "\r\n" : out;
}

// The fields of a header section, without their final CRLF.
inline std::vector<std::string> fields_of(const std::string& header) {
  std::vector<std::string> fields;
  for (std::size_t at = 0; at < header.size();) {
    const auto end = header.find("\r\n", at);
    const std::string line = header.substr(at, end - at);
    if (!fields.empty() && is_blank(line.front())) {
      fields.back() += "\r\n" + line;
    } else {
      fields.push_back(line);
    }
    at = end + 2;
  }
  return fields;
}

inline std::string name_of(const std::string& field) {
  return base::ascii_lower(stripped(field.substr(0, field.find(':'))));
}

struct Signing {
  const Key& key;
  // The body of the field; $BH and $B are filled in. What is not there is not signed for.
  std::string tags;
  std::string name = "DKIM-Signature";
  const EVP_MD* method = EVP_sha256();
  // What is signed, where it should not be what `tags` says.
  std::optional<std::vector<std::string>> names = std::nullopt;
  std::optional<bool> relaxed_header = std::nullopt;
  std::optional<bool> relaxed_body = std::nullopt;
  std::optional<std::size_t> length = std::nullopt;
};

// The first tag of that name, without any white space; nothing where there is none.
inline std::optional<std::string> tag_of(const std::string& tags, const std::string& name) {
  for (const auto part : base::split(tags, ';')) {
    std::string text(part);
    std::erase_if(text, [](char c) { return is_blank(c) || c == '\r' || c == '\n'; });
    if (text.starts_with(name + "=")) return text.substr(name.size() + 1);
  }
  return std::nullopt;
}

// The fields that `names` selects: of several of a name the lowest that is left (RFC 6376 5.4.2).
inline std::vector<std::string> selected(std::vector<std::string> fields,
                                         const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    const auto found = std::find_if(fields.rbegin(), fields.rend(), [&](const auto& field) {
      return name_of(field) == base::ascii_lower(name);
    });
    if (found == fields.rend()) continue;
    out.push_back(*found);
    fields.erase(std::next(found).base());
  }
  return out;
}

// The complete field with its CRLF, for a message of that header section (each field with its CRLF)
// and body.
inline std::string sign(const Signing& how, const std::string& header, const std::string& body) {
  const std::string c = tag_of(how.tags, "c").value_or("simple/simple");
  const auto slash = c.find('/');
  const bool relaxed_header =
      how.relaxed_header.value_or(base::iequals(c.substr(0, slash), "relaxed"));
  const bool relaxed_body = how.relaxed_body.value_or(
      slash != std::string::npos && base::iequals(c.substr(slash + 1), "relaxed"));
  std::vector<std::string> names;
  const std::string list = tag_of(how.tags, "h").value_or("");
  for (const auto name : base::split(list, ':')) {
    names.emplace_back(name);
  }
  std::string hashed = canonical_body(body, relaxed_body);
  std::optional<std::size_t> length = how.length;
  if (const auto l = tag_of(how.tags, "l"); l && !length && base::parse_unsigned(*l)) {
    length = *base::parse_unsigned(*l);
  }
  if (length) hashed = hashed.substr(0, *length);
  const std::string digest = base::base64_encode(Key::hash(hashed, how.method));
  const std::string field = how.name + ":" + replaced(how.tags, "$BH", digest);

  std::string input;
  for (const std::string& one : selected(fields_of(header), how.names.value_or(names))) {
    input += canonical_field(one, relaxed_header) + "\r\n";
  }
  // The value of b= goes with the blanks around it.
  std::string bare = field;
  if (const auto at = bare.find("$B"); at != std::string::npos) {
    const auto begin = bare.rfind('=', at) + 1;
    bare.erase(begin, std::min(bare.find(';', at), bare.size()) - begin);
  }
  input += canonical_field(bare, relaxed_header);
  return replaced(field, "$B", how.key.sign(input, how.method)) + "\r\n";
}

}  // namespace dkim_test
