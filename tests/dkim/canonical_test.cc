// Canonical forms against the RFC's own examples, a plain second implementation, and libopendkim,
// both ways: what is signed over our forms must convince it, and its signatures us.
#include "dkim/canonical.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/mail/headers.h"
#include "dkim/opendkim.h"
#include "dkim/public_key.h"
#include "dkim/signer.h"
#include "dkim/tag_list.h"
#include "support/arc_sealer.h"

namespace {

using dkim::BodyHash;
using dkim::Canonical;

std::string hash_of(std::string_view body, Canonical method, std::uint64_t l = BodyHash::kWhole,
                    std::size_t step = SIZE_MAX) {
  BodyHash hash(method, l);
  for (std::size_t at = 0; at < body.size(); at += std::min(step, body.size() - at)) {
    hash.update(body.substr(at, step));
  }
  return base::hex_encode(hash.finish());
}

std::string hex_sha256(const std::string& text) {
  return base::hex_encode(arc_sealer::sha256(text));
}

mail::Headers scan(std::string_view block) {
  auto headers = mail::Headers::scan(block, 1000);
  EXPECT_TRUE(headers.ok()) << (headers.ok() ? "" : headers.message());
  return headers.ok() ? headers.take() : mail::Headers();
}

// ---- fields ------------------------------------------------------------------------------------

struct FieldCase {
  const char* section;  // of RFC 6376
  const char* field;    // with its CRLF
  const char* relaxed;
};

TEST(CanonicalField, SimpleAndRelaxed) {
  const std::vector<FieldCase> cases = {
      {"3.4.5", "A: X\r\n", "a:X"},
      {"3.4.5", "B : Y\t\r\n\tZ  \r\n", "b:Y Z"},
      {"3.4.2", "SUBJect: AbC\r\n", "subject:AbC"},
      {"3.4.2", "X:\r\n", "x:"},
      {"3.4.2", "X: \t \r\n", "x:"},
      {"3.4.2", "X:\r\n \r\n\t\r\n", "x:"},
      {"3.4.2", "X:a\r\n", "x:a"},
      {"3.4.2", "X:a\r\n b\r\n", "x:a b"},
      {"3.4.2", "X:  a  \t b  \r\n", "x:a b"},
      {"3.4.2", "X: a:b : c\r\n", "x:a:b : c"},
      {"3.4.2", "X\t: \xc3\xa4 \xff\r\n", "x:\xc3\xa4 \xff"},
      {"3.4.2", "X: a\x0b\x0c b\r\n", "x:a\x0b\x0c b"},
      {"3.4.2", "X: \xc2\xa0 a\r\n", "x:\xc2\xa0 a"},
  };
  for (const FieldCase& one : cases) {
    SCOPED_TRACE(one.field);
    const auto headers = scan(one.field);
    ASSERT_EQ(headers.fields().size(), 1U);
    const std::string simple(one.field, std::strlen(one.field) - 2);
    EXPECT_EQ(dkim::canonical_field(headers.fields()[0], Canonical::kSimple), simple);  // 3.4.1
    EXPECT_EQ(dkim::canonical_field(headers.fields()[0], Canonical::kRelaxed), one.relaxed);
  }
}

struct UnsignedCase {
  const char* field;  // with its CRLF
  const char* simple;
  const char* relaxed;
};

TEST(CanonicalField, WithoutTheSignature) {  // RFC 6376 3.5, 3.7
  const std::vector<UnsignedCase> cases = {
      {"D: a=1; b=xyz\r\n", "D: a=1; b=", "d:a=1; b="},
      {"D: a=1; b=xyz;\r\n", "D: a=1; b=;", "d:a=1; b=;"},
      {"D: b=xyz; a=1\r\n", "D: b=; a=1", "d:b=; a=1"},
      {"D: a=1; b = x\r\n\ty \r\n z ; bh=b\r\n", "D: a=1; b =; bh=b", "d:a=1; b =; bh=b"},
      {"D: a=1;\r\n\tb=x=;\r\n\tbh=y=\r\n", "D: a=1;\r\n\tb=;\r\n\tbh=y=", "d:a=1; b=; bh=y="},
      {"D: bh=b=; bb=1; B=2\r\n", "D: bh=b=; bb=1; B=2", "d:bh=b=; bb=1; B=2"},
      {"D: a=1; b=\r\n", "D: a=1; b=", "d:a=1; b="},
      {"D: a=1; b= \r\n", "D: a=1; b=", "d:a=1; b="},
      {"D:b=x\r\n", "D:b=", "d:b="},
      {"D: a=1; \r\n b=x; c=d\r\n", "D: a=1; \r\n b=; c=d", "d:a=1; b=; c=d"},
  };
  for (const UnsignedCase& one : cases) {
    SCOPED_TRACE(one.field);
    const auto headers = scan(one.field);
    ASSERT_EQ(headers.fields().size(), 1U);
    const auto& field = headers.fields()[0];
    EXPECT_EQ(dkim::canonical_unsigned_field(field, Canonical::kSimple), one.simple);
    EXPECT_EQ(dkim::canonical_unsigned_field(field, Canonical::kRelaxed), one.relaxed);
  }
}

// ---- bodies ------------------------------------------------------------------------------------

struct BodyCase {
  const char* section;  // of RFC 6376
  std::string body;
  std::string simple;
  std::string relaxed;
};

const std::vector<BodyCase>& body_cases() {
  static const std::vector<BodyCase> cases = {
      {"3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
      {"3.4.3, 3.4.4", "", "\r\n", ""},
      {"3.4.3, 3.4.4", "\r\n", "\r\n", ""},
      {"3.4.3, 3.4.4", "\r\n\r\n\r\n", "\r\n", ""},
      {"3.4.3, 3.4.4", " ", " \r\n", ""},
      {"3.4.3, 3.4.4", " \r\n\t\r\n", " \r\n\t\r\n", ""},
      {"3.4.3, 3.4.4", "a", "a\r\n", "a\r\n"},
      {"3.4.3, 3.4.4", "a\r\n", "a\r\n", "a\r\n"},
      {"3.4.3, 3.4.4", "a\r\n\r\n", "a\r\n", "a\r\n"},
      {"3.4.4", "a \t\r\n", "a \t\r\n", "a\r\n"},
      {"3.4.4", "a \t b\r\n", "a \t b\r\n", "a b\r\n"},
      {"3.4.4", "\ta\r\n", "\ta\r\n", " a\r\n"},
      {"3.4.4", "a\r\n \r\nb\r\n \r\n", "a\r\n \r\nb\r\n \r\n", "a\r\n\r\nb\r\n"},
      {"3.4.4", "\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
      {"3.4.4", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"},
      {"3.4.3", "\xc3\xa4\xff \x01\r\n", "\xc3\xa4\xff \x01\r\n", "\xc3\xa4\xff \x01\r\n"},
      {"3.4.3", "a\rb\nc\r\n", "a\rb\nc\r\n", "a\rb\nc\r\n"},  // a bare CR or LF ends no line
      {"3.4.3", "a\r\r\n", "a\r\r\n", "a\r\r\n"},
      {"3.4.3", "a\r", "a\r\r\n", "a\r\r\n"},
      {"3.4.4", "a \r \n", "a \r \n\r\n", "a \r \n\r\n"},
      {"3.4.3", std::string(20000, 'x'), std::string(20000, 'x') + "\r\n",
       std::string(20000, 'x') + "\r\n"},
      {"3.4.4", std::string(9000, ' ') + "x" + std::string(9000, '\t') + "\r\n",
       std::string(9000, ' ') + "x" + std::string(9000, '\t') + "\r\n", " x\r\n"},
  };
  return cases;
}

TEST(CanonicalBody, SimpleAndRelaxed) {
  for (const BodyCase& one : body_cases()) {
    SCOPED_TRACE(one.section + std::string(" ") + base::printable(one.body, 40));
    EXPECT_EQ(hash_of(one.body, Canonical::kSimple), hex_sha256(one.simple));
    EXPECT_EQ(hash_of(one.body, Canonical::kRelaxed), hex_sha256(one.relaxed));
    for (const std::size_t step : {1U, 2U, 3U}) {
      EXPECT_EQ(hash_of(one.body, Canonical::kSimple, BodyHash::kWhole, step),
                hex_sha256(one.simple));
      EXPECT_EQ(hash_of(one.body, Canonical::kRelaxed, BodyHash::kWhole, step),
                hex_sha256(one.relaxed));
    }
  }
}

TEST(CanonicalBody, KnownHashesOfEmptyBodies) {  // RFC 6376 3.4.3, 3.4.4
  const auto base64 = [](Canonical method) {
    BodyHash hash(method);
    return base::base64_encode(hash.finish());
  };
  EXPECT_EQ(base64(Canonical::kSimple), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
  EXPECT_EQ(base64(Canonical::kRelaxed), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST(CanonicalBody, EveryLengthAndSplit) {  // RFC 6376 3.4.5, 3.5 l=
  for (const BodyCase& one : body_cases()) {
    if (one.body.size() > 100) continue;
    for (const Canonical method : {Canonical::kSimple, Canonical::kRelaxed}) {
      const std::string& canonical = method == Canonical::kSimple ? one.simple : one.relaxed;
      for (std::size_t l = 0; l <= canonical.size() + 1; ++l) {
        BodyHash hash(method, l);
        hash.update(one.body);
        EXPECT_EQ(base::hex_encode(hash.finish()), hex_sha256(canonical.substr(0, l)));
        EXPECT_EQ(hash.canonical_octets(), canonical.size());
        EXPECT_EQ(hash_of(one.body, method, l, 1), hex_sha256(canonical.substr(0, l)));
      }
      for (std::size_t split = 0; split <= one.body.size(); ++split) {
        BodyHash hash(method);
        hash.update(std::string_view(one.body).substr(0, split));
        hash.update("");
        hash.update(std::string_view(one.body).substr(split));
        EXPECT_EQ(base::hex_encode(hash.finish()), hex_sha256(canonical));
      }
    }
  }
}

TEST(CanonicalBody, TheSignersHashIsTheRelaxedOne) {
  dkim::RelaxedBodyHash hash;
  hash.update(" C \r\nD \t");
  hash.update(" E\r\n\r\n\r\n");
  EXPECT_EQ(base::hex_encode(hash.finish()), hex_sha256(" C\r\nD E\r\n"));
}

// ---- libopendkim -------------------------------------------------------------------------------

struct Message {
  std::string header;
  std::string body;
};

// Odd in every way the RFC speaks of, by chance; one seed, one corpus.
class Generator {
 public:
  Message message() {
    Message made;
    static const std::vector<std::string> names = {"Subject", "subject",  "To", "CC",  "X-Odd!",
                                                   "List-Id", "Received", "X",  "DATE"};
    const unsigned count = below(8);
    const unsigned from = below(count + 1);
    for (unsigned i = 0; i <= count; ++i) {
      made.header += i == from ? author() : names[below(9)] + ":" + value() + "\r\n";
    }
    for (unsigned lines = below(7); lines > 0; --lines) made.body += line();
    if (below(4) == 0) made.body += text(below(6), true);  // no CRLF at the end
    return made;
  }
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }

 private:
  std::string text(unsigned length, bool blank_only_ok) {
    static const std::string kOctets = "ab.;=:\"(\xc3\xa4\xff<";
    std::string made;
    for (unsigned i = 0; i < length; ++i) {
      const unsigned kind = below(4);
      made += kind == 0 ? ' ' : kind == 1 ? '\t' : kOctets[below(12)];
    }
    if (!blank_only_ok && base::trim(made).empty()) made += 'x';
    return made;
  }
  // The library wants to understand the author before it verifies anything.
  std::string author() {
    static const std::vector<std::string> fields = {
        "From: a@example.com\r\n", "from:\r\n\tAnna \t B. <a@example.com>  \r\n",
        "FROM:a@example.com \t\r\n", "From:  \"x; \r\n  \ty=\"  <a@example.com>\r\n"};
    return fields[below(4)];
  }
  std::string value() {
    std::string made = below(5) == 0 ? "" : " ";
    made += text(below(below(10) == 0 ? 2000 : 30), true);
    // RFC 5322 3.2.2: no line of a folded field consists of white space only.
    for (unsigned folds = below(3); folds > 0; --folds) {
      if (base::trim(made.substr(made.rfind('\n') + 1)).empty()) made += 'y';
      made += std::string("\r\n") + (below(2) == 0 ? " " : "\t") + text(1 + below(20), false);
    }
    return made;
  }
  std::string line() {
    switch (below(8)) {
      case 0:
        return "\r\n";
      case 1:
        return text(below(4), true) + " \t\r\n";
      case 2:
        return text(1000 + below(4000), true) + "\r\n";
      case 3:
        return ".\r\n";
      default:
        return text(below(60), true) + "\r\n";
    }
  }
  std::mt19937 random_{8617};
};

const char* word(Canonical method) { return method == Canonical::kSimple ? "simple" : "relaxed"; }

u_char* octets(std::string& text) { return reinterpret_cast<u_char*>(text.data()); }

std::string g_record;  // what the library finds as the key

DKIM_CBSTAT key_lookup(DKIM*, DKIM_SIGINFO*, u_char* buffer, size_t size) {
  if (g_record.size() >= size) return DKIM_CBSTAT_ERROR;
  std::memcpy(buffer, g_record.c_str(), g_record.size() + 1);
  return DKIM_CBSTAT_CONTINUE;
}

DKIM_LIB* library() {
  static DKIM_LIB* const one = [] {
    DKIM_LIB* made = dkim_init(nullptr, nullptr);
    dkim_set_key_lookup(made, key_lookup);
    return made;
  }();
  return one;
}

// The library reads whole lines only and calls a last one without CRLF a syntax error; RFC 6376
// 3.4.3 and 3.4.4 add the CRLF. It is the one thing in which our forms differ from the library's.
std::string with_line_end(std::string body) {
  if (!body.empty() && !body.ends_with("\r\n")) body += "\r\n";
  return body;
}

// Feeds a message; the library's answer at its end.
DKIM_STAT feed(DKIM* handle, const Message& message) {
  const auto fields = scan(message.header);
  for (const mail::HeaderField& field : fields.fields()) {
    std::string raw(field.raw.substr(0, field.raw.size() - 2));
    const DKIM_STAT status = dkim_header(handle, octets(raw), raw.size());
    if (status != DKIM_STAT_OK) return status;
  }
  DKIM_STAT status = dkim_eoh(handle);
  std::string body = with_line_end(message.body);
  if (status == DKIM_STAT_OK && !body.empty()) {
    status = dkim_body(handle, octets(body), body.size());
  }
  return status == DKIM_STAT_OK ? dkim_eom(handle, nullptr) : status;
}

DKIM_STAT verified_by_library(const Message& message) {
  DKIM_STAT status = DKIM_STAT_OK;
  char id[] = "test";
  DKIM* handle = dkim_verify(library(), reinterpret_cast<u_char*>(id), nullptr, &status);
  if (handle == nullptr) return status;
  status = feed(handle, message);
  dkim_free(handle);
  return status;
}

// The hash that a signature in `field` with these fields signs, by our forms.
std::string digest_of(const mail::Headers& headers, const mail::HeaderField& field,
                      const std::string& signed_names, Canonical method) {
  std::string input;
  std::set<const mail::HeaderField*> taken = {&field};
  for (const std::string_view name : base::split(signed_names, ':')) {
    const auto& fields = headers.fields();
    for (auto one = fields.rbegin(); one != fields.rend(); ++one) {
      if (!one->is(base::trim(name)) || !taken.insert(&*one).second) continue;
      input += dkim::canonical_field(*one, method) + "\r\n";
      break;
    }
  }
  return input + dkim::canonical_unsigned_field(field, method);
}

// A signature over our canonical forms, on top of the message.
Message signed_by_us(const Message& message, Canonical header, Canonical body, std::uint64_t l,
                     const arc_sealer::Key& key) {
  std::string names;
  const auto fields = scan(message.header);
  for (const mail::HeaderField& field : fields.fields()) {
    if (!field.is("Received")) names += (names.empty() ? "" : ":") + std::string(field.name);
  }
  BodyHash hash(body, l);
  hash.update(message.body);
  const std::string length = l == BodyHash::kWhole ? "" : " l=" + std::to_string(l) + ";";
  const std::string start =
      std::string("DKIM-Signature: v=1; a=") + std::string(dkim::name(key->algorithm())) +
      "; c=" + word(header) + "/" + word(body) + ";\r\n\td=example.com; s=s1;" + length +
      "\r\n\th=" + names + ";\r\n\tbh=" + base::base64_encode(hash.finish()) + "; b=";
  Message made{start + "\r\n" + message.header, message.body};
  const auto headers = scan(made.header);
  const auto signature = key->sign(digest_of(headers, headers.fields()[0], names, header));
  made.header = start + base::base64_encode(*signature) + "\r\n" + message.header;
  return made;
}

constexpr Canonical kMethods[] = {Canonical::kSimple, Canonical::kRelaxed};

TEST(CanonicalAgainstLibopendkim, OurFormsConvinceIt) {
  Generator generator;
  int verified = 0;
  int refused = 0;
  for (int i = 0; i < 600; ++i) {
    const Message message = generator.message();
    const auto key = arc_sealer::key_of(i % 5 == 0 ? dkim::Algorithm::kRsaSha256
                                                   : dkim::Algorithm::kEd25519Sha256);
    g_record = key->dns_record();
    for (const Canonical header : kMethods) {
      for (const Canonical body : kMethods) {
        std::uint64_t l = BodyHash::kWhole;
        if (i % 2 == 1) {
          BodyHash whole(body);
          whole.update(message.body);
          whole.finish();
          l = generator.below(static_cast<unsigned>(whole.canonical_octets() + 1));
        }
        const Message made = signed_by_us(message, header, body, l, key);
        const DKIM_STAT status = verified_by_library(made);
        ASSERT_EQ(status, DKIM_STAT_OK) << dkim_getresultstr(status) << "\n"
                                        << made.header << "\n"
                                        << made.body;
        ++verified;
        // The oracle can say no.
        if (i % 10 == 0 && l == BodyHash::kWhole) {
          Message changed = made;
          changed.body = "x" + changed.body;
          EXPECT_NE(verified_by_library(changed), DKIM_STAT_OK);
          ++refused;
        }
      }
    }
  }
  EXPECT_EQ(verified, 2400);
  EXPECT_EQ(refused, 240);
}

TEST(CanonicalAgainstLibopendkim, ItsSignaturesConvinceUs) {
  const auto signing = arc_sealer::key_of(dkim::Algorithm::kRsaSha256);
  const auto key = dkim::PublicKey::parse(signing->dns_record());
  ASSERT_TRUE(key.ok());
  std::string pem = signing->pem();
  Generator generator;
  int verified = 0;
  for (int i = 0; i < 150; ++i) {
    const Message message = generator.message();
    for (const Canonical header : kMethods) {
      for (const Canonical body : kMethods) {
        const auto method = [](Canonical one) {
          return one == Canonical::kSimple ? DKIM_CANON_SIMPLE : DKIM_CANON_RELAXED;
        };
        const ssize_t length = i % 2 == 1 ? static_cast<ssize_t>(generator.below(100)) : -1;
        char id[] = "test";
        std::string selector = "s1";
        std::string domain = "example.com";
        DKIM_STAT status = DKIM_STAT_OK;
        DKIM* handle = dkim_sign(library(), reinterpret_cast<u_char*>(id), nullptr, octets(pem),
                                 octets(selector), octets(domain), method(header), method(body),
                                 DKIM_SIGN_RSASHA256, length, &status);
        ASSERT_NE(handle, nullptr) << dkim_getresultstr(status);
        status = feed(handle, message);
        u_char* text = nullptr;
        size_t size = 0;
        if (status == DKIM_STAT_OK) {
          status = dkim_getsighdr_d(handle, std::strlen("DKIM-Signature: "), &text, &size);
        }
        ASSERT_EQ(status, DKIM_STAT_OK) << dkim_getresultstr(status) << message.header;
        std::string field = "DKIM-Signature: " + std::string(reinterpret_cast<char*>(text), size);
        dkim_free(handle);

        const std::string block = field + "\r\n" + message.header;
        const auto headers = scan(block);
        const auto tags = dkim::TagList::parse(headers.fields()[0].body);
        ASSERT_TRUE(tags.ok());
        const std::string* l = tags->find("l");
        BodyHash hash(body, l == nullptr ? BodyHash::kWhole : *base::parse_unsigned(*l));
        hash.update(message.body);
        EXPECT_EQ(base::base64_encode(hash.finish()), dkim::without_blanks(*tags->find("bh")))
            << message.body;
        const std::string input = digest_of(headers, headers.fields()[0], *tags->find("h"), header);
        EXPECT_TRUE(
            key->verifies(dkim::sha256(input), *dkim::decode_folded_base64(*tags->find("b"))))
            << block;
        ++verified;
      }
    }
  }
  EXPECT_EQ(verified, 600);
}

}  // namespace
