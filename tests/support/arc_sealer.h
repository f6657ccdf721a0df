// A sealer for tests (RFC 8617 5.1): adds ARC sets to a message, each of their tags as the test
// wants it, and says what its domains publish. Its canonical forms are its own and plain, so that
// those of the product are tested against others.
#pragma once

#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/sha.h>

#include "core/base/bytes.h"
#include "core/dns/answers.h"
#include "dkim/signer.h"

namespace arc_sealer {

using Key = std::shared_ptr<const dkim::SigningKey>;
using Tags = std::vector<std::pair<std::string, std::string>>;

struct Message {
  std::string header =
      "From: Anna <anna@author.example>\r\nTo: list@list.example\r\n"
      "Subject: An  order\r\n of\ttwo lines \r\nDate: Sat, 31 Jan 2026 12:00:00 +0000\r\n"
      "Message-ID: <1@author.example>\r\nX-Unsigned: yes\r\n";
  std::string body = "Hello  there, \r\n\r\n  two \t blanks\r\n\r\n\r\n";
};

inline Key key_of(dkim::Algorithm algorithm) {
  static const Key rsa = *dkim::SigningKey::generate(dkim::Algorithm::kRsaSha256);
  static const Key ed25519 = *dkim::SigningKey::generate(dkim::Algorithm::kEd25519Sha256);
  return algorithm == dkim::Algorithm::kRsaSha256 ? rsa : ed25519;
}

inline std::string sha256(const std::string& text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

// RFC 6376 3.4.4 in its own order: blanks of each line, then empty lines at the end. The simple
// form (3.4.3) has the second step only.
inline std::string canonical_body(std::string body, bool relaxed) {
  if (!body.empty() && !body.ends_with("\r\n")) body += "\r\n";
  std::string result;
  while (!body.empty()) {
    const auto end = body.find("\r\n");
    std::string line;
    for (const char c : body.substr(0, end)) {
      const bool blank = relaxed && (c == ' ' || c == '\t');
      if (blank && line.ends_with(' ')) continue;
      line += blank ? ' ' : c;
    }
    if (relaxed && line.ends_with(' ')) line.pop_back();
    result += line + "\r\n";
    body.erase(0, end + 2);
  }
  while (result.ends_with("\r\n\r\n")) result.resize(result.size() - 2);
  if (relaxed && result == "\r\n") result.clear();
  return result.empty() && !relaxed ? "\r\n" : result;
}

// RFC 6376 3.4.1, 3.4.2; `field` is whole, without its final CRLF.
inline std::string canonical_field(const std::string& field, bool relaxed) {
  if (!relaxed) return field;
  const auto colon = field.find(':');
  std::string value;
  for (const char c : field.substr(colon + 1)) {
    if (c == '\r' || c == '\n') continue;
    const bool blank = c == ' ' || c == '\t';
    if (blank && (value.empty() || value.ends_with(' '))) continue;
    value += blank ? ' ' : c;
  }
  if (value.ends_with(' ')) value.pop_back();
  return base::ascii_lower(base::trim(field.substr(0, colon))) + ":" + value;
}

inline const std::string* find(const Tags& tags, std::string_view name) {
  for (const auto& [tag, value] : tags) {
    if (tag == name) return &value;
  }
  return nullptr;
}
// Changes a tag, or adds it at the end.
inline void set(Tags& tags, const std::string& name, const std::string& value) {
  for (auto& [tag, old] : tags) {
    if (tag == name) {
      old = value;
      return;
    }
  }
  tags.emplace_back(name, value);
}
inline void drop(Tags& tags, std::string_view name) {
  std::erase_if(tags, [&](const auto& one) { return one.first == name; });
}

// What one sealer adds. The values "*" of b= and bh= are filled in while sealing.
struct Set {
  std::string results;  // body of the ARC-Authentication-Results
  Tags signature;       // of the ARC-Message-Signature
  Tags seal;            // of the ARC-Seal
  std::string tail;     // put behind the last tag of the ARC-Seal
  Key signature_key;
  Key seal_key;
};

inline Set usual_set(int instance, dkim::Algorithm algorithm = dkim::Algorithm::kRsaSha256) {
  const std::string i = std::to_string(instance);
  const std::string a(dkim::name(algorithm));
  const std::string d = "sealer" + i + ".example";
  const Key key = key_of(algorithm);
  return {" i=" + i + "; mx." + d + ";\r\n\tspf=pass smtp.mailfrom=author.example;\r\n\tdkim=pass",
          {{"i", i},
           {"a", a},
           {"c", "relaxed/relaxed"},
           {"d", d},
           {"s", "s1"},
           {"t", "1769860800"},
           {"h", "from:to:subject\r\n\t:date:message-id"},
           {"bh", "*"},
           {"b", "*"}},
          {{"i", i},
           {"a", a},
           {"t", "1769860801"},
           {"cv", instance == 1 ? "none" : "pass"},
           {"d", d},
           {"s", "s1"},
           {"b", "*"}},
          "",
          key,
          key};
}

// A message on its way from sealer to sealer.
class Chain {
 public:
  Message message;

  explicit Chain(Message start = {}) : message(std::move(start)) {}

  // Puts a set on top of the header.
  void seal(const Set& set) {
    const std::string results = "ARC-Authentication-Results:" + set.results;
    const std::string signature = signed_message(set, results);
    // RFC 8617 5.1.1, and 5.1.2 for a chain that has failed.
    const std::string* cv = find(set.seal, "cv");
    std::string input = cv != nullptr && *cv == "fail" ? "" : scope_;
    input += canonical_field(results, true) + "\r\n" + canonical_field(signature, true) + "\r\n";
    const std::string seal =
        "ARC-Seal:" +
        filled(set.seal, "",
               [&](const std::string& empty) {
                 const std::string own = "ARC-Seal:" + empty + set.tail;
                 return *set.seal_key->sign(input + canonical_field(own, true));
               }) +
        set.tail;
    scope_ = input + canonical_field(seal, true) + "\r\n";
    message.header = seal + "\r\n" + signature + "\r\n" + results + "\r\n" + message.header;
  }

 private:
  // The tags as a field body; `sign` gets it with an empty b= and gives the octets for it.
  template <typename Sign>
  static std::string filled(Tags tags, const std::string& body_hash, const Sign& sign) {
    const std::string* b = find(tags, "b");
    const bool wanted = b != nullptr && *b == "*";
    if (wanted) set(tags, "b", "");
    if (const std::string* bh = find(tags, "bh"); bh != nullptr && *bh == "*") {
      set(tags, "bh", base::base64_encode(body_hash));
    }
    if (wanted) {
      std::string text = base::base64_encode(sign(joined(tags)));
      for (std::size_t at = 60; at < text.size(); at += 64) text.insert(at, "\r\n\t ");
      set(tags, "b", text);
    }
    return joined(tags);
  }

  static std::string joined(const Tags& tags) {
    std::string text;
    for (const auto& [tag, value] : tags) {
      text += text.empty() ? " " : tag == "h" || tag == "bh" ? ";\r\n\t" : "; ";
      text += tag;
      text += "=" + value;
    }
    return text;
  }

  [[nodiscard]] std::vector<std::string> fields() const {
    std::vector<std::string> fields;
    for (const std::string_view line : base::split(message.header, '\n')) {
      if (line.empty()) continue;
      if (!line.starts_with(' ') && !line.starts_with('\t')) fields.emplace_back();
      fields.back() += std::string(line) + "\n";
    }
    for (std::string& field : fields) field.resize(field.size() - 2);
    return fields;
  }

  std::string signed_message(const Set& set, const std::string& results) {
    const std::string* c = find(set.signature, "c");
    const std::string methods = base::ascii_lower(c == nullptr ? "" : *c);
    const bool relaxed_header = methods.starts_with("relaxed");
    std::string body = canonical_body(message.body, methods.ends_with("/relaxed"));
    if (const std::string* l = find(set.signature, "l"); l != nullptr) {
      body.resize(std::min<std::size_t>(body.size(), base::parse_unsigned(*l).value_or(SIZE_MAX)));
    }
    return "ARC-Message-Signature:" +
           filled(set.signature, sha256(body), [&](const std::string& empty) {
             auto left = fields();
             left.insert(left.begin(), results);
             std::string input;
             const std::string* h = find(set.signature, "h");
             const std::string names = h == nullptr ? "" : *h;
             for (const std::string_view one : base::split(names, ':')) {
               for (auto at = left.rbegin(); at != left.rend(); ++at) {
                 const std::string_view whole = *at;
                 const std::string_view name = base::trim(whole.substr(0, whole.find(':')));
                 if (!base::iequals(name, base::trim(one))) continue;
                 input += canonical_field(*at, relaxed_header) + "\r\n";
                 left.erase(std::next(at).base());
                 break;
               }
             }
             const std::string own = "ARC-Message-Signature:" + empty;
             return *set.signature_key->sign(input + canonical_field(own, relaxed_header));
           });
  }

  std::string scope_;  // what the seals so far cover, canonical
};

// What the domains of usual sets publish.
using Zone = std::map<std::string, dns::Answer>;

inline dns::Answer txt(const std::string& record) {
  dns::Answer answer;
  answer.status = dns::Status::kOk;
  answer.records = {record};
  return answer;
}
inline std::string key_name(int instance) {
  return "s1._domainkey.sealer" + std::to_string(instance) + ".example";
}
inline Zone usual_zone(int sets, dkim::Algorithm algorithm = dkim::Algorithm::kRsaSha256) {
  Zone zone;
  for (int i = 1; i <= sets; ++i) zone[key_name(i)] = txt(key_of(algorithm)->dns_record());
  return zone;
}

// A chain of usual sets, nothing wrong with it.
inline Message sealed(int sets, dkim::Algorithm algorithm = dkim::Algorithm::kRsaSha256) {
  Chain chain;
  for (int i = 1; i <= sets; ++i) chain.seal(usual_set(i, algorithm));
  return chain.message;
}

}  // namespace arc_sealer
