// The signer against libopendkim over a large corpus of odd messages. Of each message and
// algorithm:
//   * the library verifies our signature, header and body;
//   * the library's own hash over our header, signed by the bare key, is our b= octet for octet;
//   * the library, told to sign the same fields at the same time, has our bh= and our list of
//   names;
//   * its b= is octet for octet what our canonical forms and our key give for its field. (The two
//     b= as such differ: it lists h= in the order of the message, and behind bh=.)
// One seed, one corpus; it is printed when a message fails.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/mail/headers.h"
#include "dkim/canonical.h"
#include "dkim/opendkim.h"
#include "dkim/signer.h"
#include "dkim/verifier.h"
#include "support/dkim_test_signer.h"

namespace {

using dkim::Algorithm;

constexpr unsigned kSeed = 20260417;
constexpr std::int64_t kWall_s = 1'767'225'600;  // t=
constexpr std::size_t kChunk = 65536;            // what a session hands to the hash at once
constexpr std::size_t kMessagesMin = 2000;
constexpr const char* kDomain = "example.com";
constexpr const char* kSelector = "s1";

struct Message {
  std::string header;
  std::string body;
  std::size_t chunk = kChunk;  // octets an update of the hash
};

// ---- the corpus --------------------------------------------------------------------------------

const std::vector<std::string>& odd_bodies() {
  static const std::vector<std::string> bodies = {
      "",
      "\r\n",
      "\r\n\r\n\r\n",
      " ",
      "\t\r\n",
      " \r\n\t\r\n \t \r\n",
      "\r\n\r\nx\r\n\r\n\r\n",
      "no CRLF at the end",
      "blanks and no CRLF at the end \t ",
      "x\r\n\t",
      "trailing blanks  \t \r\n \r\n",
      " leading\tand  in\t\tbetween\r\n",
      "a\r\n \r\n\t\r\nb\r\n \r\n",
      ".\r\n..\r\n. \r\n .\r\n.",
      "8-bit \xc3\xa4\xff\x80 \r\n\xc2\xa0\r\n",
      "control \x01\x1b\x7f\r\n",
      std::string(200'000, 'x') + "\r\n",
      std::string(5000, ' ') + "x" + std::string(5000, '\t') + "\r\n",
      std::string(9000, ' ') + "\r\n" + std::string(9000, '\t'),
      std::string(998, 'x') + "\r\n" + std::string(999, 'y') + " \r\n",
  };
  return bodies;
}

std::string lines(const std::string& line, int count) {
  std::string made;
  for (int i = 0; i < count; ++i) made += line;
  return made;
}

const std::vector<std::string>& odd_headers() {
  static const std::string from = "From: A <a@example.com>\r\n";
  static const std::vector<std::string> headers = {
      from,
      "FROM:a@example.com\r\nsubject:\r\n",
      "From : a@example.com\r\nSubject  : x\r\n",
      "From:\r\n a@example.com\r\nSubject:\r\n\tx\r\n",
      from + "Subject: \r\nTo:\t\r\nCc: \t \r\n",
      from + "Subject:  a\r\n\t b \t\r\n c  \r\n",
      from + "Subject: blank lines in the folding\r\n \r\n\t\r\n x\r\n",
      from + "Subject:\r\n \r\n",
      from + "Subject: a:b: c ;d=e\r\nTo:: x\r\n",
      from + "Subject: \xc3\xa4\xff\x80\r\nX-Mailer: \x01\x7f\r\n",
      "Subject: one\r\n" + from + "subject: two\r\nSUBJECT: three\r\n",
      from + "From: b@example.com\r\n",
      from + "Subject: " + std::string(100'000, 's') + "\r\n",
      from + "References:" + lines(" <0123456789abcdef@mail.example.com>\r\n", 1000),
      from + lines("To: someone@example.net\r\n", 100) + lines("Received: x\r\n", 50),
      "Return-Path: <>\r\n" + from + "X-Odd!#$: y\r\nList-Id: <l.example.com>\r\n",
      "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x; h=From; bh=YQ==; b=YQ==\r\n" + from,
  };
  return headers;
}

// Header and body are hashed apart, so each odd body with one odd header and the other way round.
void add_odd(std::vector<Message>& corpus) {
  for (const std::string& body : odd_bodies()) {
    corpus.push_back({odd_headers()[0], body});
    corpus.push_back({odd_headers()[0], body, 7});
  }
  for (const std::string& header : odd_headers()) corpus.push_back({header, "x\r\n"});
}

// Everything that needs a look ahead or back, at and around the end of a chunk.
void add_chunk_ends(std::vector<Message>& corpus) {
  const std::vector<std::string> pieces = {
      "\r\n", "\r\n\r\n",  " \r\n",          "\t \r\n ",  "\r\n.\r\n", "  ",
      " x",   "\r\n \r\n", "\r\n \r\n\r\nx", "x\r\n\r\n", ".",         "\r\n\r\n\r\n\r\n"};
  for (const std::size_t chunks : {1U, 2U}) {
    for (const std::string& piece : pieces) {
      for (std::size_t before = 0; before <= piece.size() + 1; ++before) {
        for (const char* end : {"", "end"}) {
          std::string body;
          while (body.size() + before < chunks * kChunk) {
            body += body.size() % 1000 == 998 ? '\r' : body.size() % 1000 == 999 ? '\n' : 'x';
          }
          if (body.back() == '\r') body.back() = 'x';  // not bare
          corpus.push_back({odd_headers()[0], body + piece + end});
        }
      }
    }
  }
}

class Generator {
 public:
  Message message() {
    Message made;
    const unsigned count = below(12);
    const unsigned author_at = below(count + 1);
    for (unsigned i = 0; i <= count; ++i) {
      made.header += i == author_at ? author() : field();
      if (below(10) == 0) made.header += field();
    }
    for (unsigned count_of_lines = below(12); count_of_lines > 0; --count_of_lines) {
      made.body += line();
    }
    if (below(4) == 0) made.body += text(below(9));  // no CRLF at the end
    for (unsigned empty = below(4); empty > 0; --empty) made.body += below(3) ? "\r\n" : " \r\n";
    made.chunk = below(2) == 0 ? kChunk : 1 + below(40);
    return made;
  }

 private:
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }
  std::string text(unsigned length) {
    static const std::string kOctets = "abcXYZ019.;=:\"(<>@,\xc3\xa4\xff\x80";
    std::string made;
    while (made.size() < length) {
      const unsigned kind = below(8);
      made += kind < 2 ? " " : kind == 2 ? "\t" : std::string(1, kOctets[below(23)]);
    }
    return made;
  }
  // The library wants to understand the author before it verifies anything.
  std::string author() {
    static const std::vector<std::string> fields = {
        "From: a@example.com\r\n", "from:\r\n\tAnna \t B. <a@example.com>  \r\n",
        "FROM  :a@example.com \t\r\n", "From:  \"x; \r\n  \ty=\"  <a@example.com>\r\n"};
    return fields[below(4)];
  }
  std::string field() {
    const auto& known = dkim::signed_field_names();
    static const std::vector<std::string> others = {"Received", "X-Other", "Comments", "X!#$%&'*"};
    std::string made = below(5) == 0 ? others[below(4)]
                                     : known[1 + below(static_cast<unsigned>(known.size()) - 1)];
    if (below(3) == 0) made = base::ascii_lower(made);
    if (below(8) == 0) made += " ";
    made += below(3) == 0 ? ":" : ": ";
    made += text(below(below(20) == 0 ? 4000 : 60));
    for (unsigned folds = below(4); folds > 0; --folds) {
      made += std::string("\r\n") + (below(2) == 0 ? " " : "\t") + text(below(60));
    }
    return made + "\r\n";
  }
  std::string line() {
    switch (below(9)) {
      case 0:
        return "\r\n";
      case 1:
        return text(below(4)) + " \t\r\n";
      case 2:
        return text(below(8) == 0 ? 20'000 : 1200) + "\r\n";
      case 3:
        return lines(".", static_cast<int>(1 + below(3))) + "\r\n";
      case 4:
        return "\r\n\r\n \r\n";
      default:
        return text(below(90)) + "\r\n";
    }
  }
  std::mt19937 random_{kSeed};
};

const std::vector<Message>& corpus() {
  static const std::vector<Message> all = [] {
    std::vector<Message> made;
    add_odd(made);
    add_chunk_ends(made);
    for (Generator generator; made.size() < kMessagesMin + 500;)
      made.push_back(generator.message());
    return made;
  }();
  return all;
}

// ---- ours --------------------------------------------------------------------------------------

std::shared_ptr<const dkim::SigningKey> key_of(Algorithm algorithm) {
  static const auto rsa = *dkim::SigningKey::generate(Algorithm::kRsaSha256);
  static const auto ed25519 = *dkim::SigningKey::generate(Algorithm::kEd25519Sha256);
  return algorithm == Algorithm::kRsaSha256 ? rsa : ed25519;
}

mail::Headers scan(std::string_view block) {  // views into `block`
  auto headers = mail::Headers::scan(block, 5000);
  EXPECT_TRUE(headers.ok()) << (headers.ok() ? "" : headers.message());
  return headers.ok() ? headers.take() : mail::Headers();
}

std::string hash_of(const Message& message) {
  dkim::RelaxedBodyHash hash;
  const std::string_view body = message.body;
  for (std::size_t at = 0; at < body.size(); at += message.chunk) {
    hash.update(body.substr(at, message.chunk));
  }
  return hash.finish();
}

std::string field_of(const Message& message, Algorithm algorithm) {
  const dkim::SignRequest request{kDomain, kSelector, key_of(algorithm), kWall_s, {}};
  const auto field = dkim::sign(request, scan(message.header), hash_of(message));
  EXPECT_TRUE(field.ok()) << (field.ok() ? "" : field.message());
  return field.ok() ? *field : "";
}

std::string tag(const std::string& field, const char* name) {
  return dkim_test::tag_of(field.substr(field.find(':') + 1), name).value_or("(none)");
}

std::vector<std::string> sorted_names(const std::string& field) {
  std::vector<std::string> names;
  const std::string list = tag(field, "h");
  for (const auto name : base::split(list, ':')) names.push_back(base::ascii_lower(name));
  std::sort(names.begin(), names.end());
  return names;
}

// b= of a signature in `field`, whose own value of b= counts for nothing, by our canonical forms.
std::string our_b(const std::string& field, const Message& message) {
  const auto signature = scan(field);
  const auto headers = scan(message.header);
  std::string input;
  std::vector<const mail::HeaderField*> left;
  for (const mail::HeaderField& one : headers.fields()) left.insert(left.begin(), &one);
  const std::string list = tag(field, "h");
  for (const std::string_view name : base::split(list, ':')) {
    const auto found =
        std::find_if(left.begin(), left.end(), [&](const auto* one) { return one->is(name); });
    if (found == left.end()) continue;
    input += dkim::relaxed_field((*found)->name, (*found)->body) + "\r\n";
    left.erase(found);
  }
  input += dkim::canonical_unsigned_field(signature.fields().at(0), dkim::Canonical::kRelaxed);
  return base::base64_encode(*key_of(Algorithm::kRsaSha256)->sign(input));
}

// ---- libopendkim -------------------------------------------------------------------------------

const u_char* octets(const std::string& text) {
  return reinterpret_cast<const u_char*>(text.data());
}

struct Handle {
  explicit Handle(DKIM* owned) : get(owned) {}
  ~Handle() {
    if (get != nullptr) dkim_free(get);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  DKIM* const get;
};

DKIM_CBSTAT key_lookup(DKIM* handle, DKIM_SIGINFO*, u_char* buffer, size_t size) {
  const auto* record = static_cast<const std::string*>(dkim_get_user_context(handle));
  if (record->size() >= size) return DKIM_CBSTAT_ERROR;
  std::memcpy(buffer, record->c_str(), record->size() + 1);
  return DKIM_CBSTAT_CONTINUE;
}

// Signs the names that we sign, From once more, at our time.
DKIM_LIB* library() {
  static DKIM_LIB* const one = [] {
    DKIM_LIB* made = dkim_init(nullptr, nullptr);
    std::vector<const char*> names;
    for (const std::string& name : dkim::signed_field_names()) names.push_back(name.c_str());
    names.push_back(nullptr);
    const char* twice[] = {"From", nullptr};
    auto now_s = static_cast<std::uint64_t>(kWall_s);
    const auto set = [made](dkim_opts_t option, void* value, std::size_t size) {
      EXPECT_EQ(dkim_options(made, DKIM_OP_SETOPT, option, value, size), DKIM_STAT_OK) << option;
    };
    set(DKIM_OPTS_SIGNHDRS, static_cast<void*>(names.data()), sizeof(u_char**));
    set(DKIM_OPTS_OVERSIGNHDRS, static_cast<void*>(twice), sizeof(u_char**));
    set(DKIM_OPTS_FIXEDTIME, &now_s, sizeof now_s);
    dkim_set_key_lookup(made, key_lookup);
    return made;
  }();
  return one;
}

// The library calls a last line without CRLF a syntax error; RFC 6376 3.4.4 gives it one.
DKIM_STAT feed(DKIM* handle, const std::string& header, const Message& message) {
  const auto fields = scan(header);
  for (const mail::HeaderField& field : fields.fields()) {
    std::string raw(field.raw.substr(0, field.raw.size() - 2));
    if (const DKIM_STAT status = dkim_header(handle, const_cast<u_char*>(octets(raw)), raw.size());
        status != DKIM_STAT_OK) {
      return status;
    }
  }
  if (const DKIM_STAT status = dkim_eoh(handle); status != DKIM_STAT_OK) return status;
  std::string body = message.body;
  if (!body.empty() && !body.ends_with("\r\n")) body += "\r\n";
  if (!body.empty()) {
    if (const DKIM_STAT status = dkim_body(handle, const_cast<u_char*>(octets(body)), body.size());
        status != DKIM_STAT_OK) {
      return status;
    }
  }
  return dkim_eom(handle, nullptr);
}

// Its own signature: the whole field. RSA only: version 2.11 loses memory when it signs with
// Ed25519.
std::string its_field(const Message& message) {
  const std::string pem = key_of(Algorithm::kRsaSha256)->pem();
  const std::string domain = kDomain;
  const std::string selector = kSelector;
  DKIM_STAT status = DKIM_STAT_OK;
  const Handle handle(dkim_sign(
      library(), octets(domain), nullptr, const_cast<u_char*>(octets(pem)), octets(selector),
      octets(domain), DKIM_CANON_RELAXED, DKIM_CANON_RELAXED, DKIM_SIGN_RSASHA256, -1, &status));
  if (status == DKIM_STAT_OK) status = feed(handle.get, message.header, message);
  u_char* text = nullptr;
  std::size_t size = 0;
  if (status == DKIM_STAT_OK) {
    status = dkim_getsighdr_d(handle.get, sizeof "DKIM-Signature: " - 1, &text, &size);
  }
  EXPECT_EQ(status, DKIM_STAT_OK) << dkim_getresultstr(status);
  if (status != DKIM_STAT_OK) return "";
  // It folds as sendmail wants it, by LF alone.
  std::string value(reinterpret_cast<const char*>(text), size);
  if (value.find('\r') == std::string::npos) value = dkim_test::replaced(value, "\n", "\r\n");
  return "DKIM-Signature: " + value + "\r\n";
}

struct Verdict {
  DKIM_STAT status = DKIM_STAT_OK;
  std::string header_hash;
  std::string body_hash;
};

Verdict judge(const std::string& field, const Message& message, Algorithm algorithm) {
  Verdict verdict;
  std::string record = key_of(algorithm)->dns_record();
  const std::string id = "test";
  const Handle handle(dkim_verify(library(), octets(id), nullptr, &verdict.status));
  if (handle.get == nullptr) return verdict;
  dkim_set_user_context(handle.get, &record);
  verdict.status = feed(handle.get, field + message.header, message);
  DKIM_SIGINFO** signatures = nullptr;
  int count = 0;
  void* header = nullptr;
  void* body = nullptr;
  std::size_t header_size = 0;
  std::size_t body_size = 0;
  if (dkim_getsiglist(handle.get, &signatures, &count) == DKIM_STAT_OK && count > 0 &&
      dkim_sig_gethashes(signatures[0], &header, &header_size, &body, &body_size) == DKIM_STAT_OK) {
    verdict.header_hash.assign(static_cast<const char*>(header), header_size);
    verdict.body_hash.assign(static_cast<const char*>(body), body_size);
  }
  return verdict;
}

// A hash, signed without any code of ours: RFC 8017 8.2.1, RFC 8463 3.
std::string bare_signature(const std::string& hash, Algorithm algorithm) {
  static const auto parse = [](const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    return std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>(key, &EVP_PKEY_free);
  };
  static const auto rsa = parse(key_of(Algorithm::kRsaSha256)->pem());
  static const auto ed25519 = parse(key_of(Algorithm::kEd25519Sha256)->pem());
  std::string out(512, '\0');
  std::size_t size = out.size();
  auto* to = reinterpret_cast<u_char*>(out.data());
  int good = 0;
  if (algorithm == Algorithm::kRsaSha256) {
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(rsa.get(), nullptr);
    good = EVP_PKEY_sign_init(context) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
           EVP_PKEY_sign(context, to, &size, octets(hash), hash.size()) == 1;
    EVP_PKEY_CTX_free(context);
  } else {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    good = EVP_DigestSignInit(context, nullptr, nullptr, nullptr, ed25519.get()) == 1 &&
           EVP_DigestSign(context, to, &size, octets(hash), hash.size()) == 1;
    EVP_MD_CTX_free(context);
  }
  EXPECT_EQ(good, 1);
  return base::base64_encode(out.substr(0, size));
}

// ---- the two against each other ----------------------------------------------------------------

class SignerCorpus : public testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(Algorithms, SignerCorpus,
                         testing::Values(Algorithm::kRsaSha256, Algorithm::kEd25519Sha256),
                         [](const auto& one) {
                           return one.param == Algorithm::kRsaSha256 ? "Rsa" : "Ed25519";
                         });

TEST_P(SignerCorpus, LibopendkimVerifiesAndSignsAlike) {
  std::size_t verified = 0;
  std::size_t alike = 0;
  for (std::size_t i = 0; i < corpus().size(); ++i) {
    const Message& message = corpus()[i];
    const std::string ours = field_of(message, GetParam());
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", message " + std::to_string(i) + ", chunk " +
                 std::to_string(message.chunk) + "\n" + base::printable(ours, 2000) + "\n" +
                 base::printable(message.header, 2000) + "\n" +
                 base::printable(message.body, 2000));
    const Verdict verdict = judge(ours, message, GetParam());
    ASSERT_EQ(verdict.status, DKIM_STAT_OK) << dkim_getresultstr(verdict.status);
    ASSERT_EQ(base::base64_encode(verdict.body_hash), tag(ours, "bh"));
    ASSERT_EQ(bare_signature(verdict.header_hash, GetParam()), tag(ours, "b"));
    ++verified;

    if (GetParam() != Algorithm::kRsaSha256) continue;
    const std::string its = its_field(message);
    for (const char* name : {"v", "a", "c", "d", "s", "t"}) {
      ASSERT_EQ(tag(its, name), tag(ours, name)) << its;
    }
    ASSERT_EQ(tag(its, "bh"), tag(ours, "bh"));
    ASSERT_EQ(sorted_names(its), sorted_names(ours)) << its;
    ASSERT_EQ(our_b(its, message), tag(its, "b")) << its;
    ++alike;
  }
  std::printf("%s: %zu messages signed and verified by libopendkim; %zu signed by both, alike\n",
              std::string(dkim::name(GetParam())).c_str(), verified, alike);
  EXPECT_GE(verified, kMessagesMin);
  EXPECT_EQ(alike, GetParam() == Algorithm::kRsaSha256 ? verified : 0);
}

// The oracle can say no: one octet changed in the header or in the body.
TEST_P(SignerCorpus, LibopendkimNoticesEveryChange) {
  for (std::size_t i = 0; i < corpus().size(); i += 25) {
    const std::string field = field_of(corpus()[i], GetParam());
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", message " + std::to_string(i));
    Message changed = corpus()[i];
    changed.body = "y" + changed.body;
    EXPECT_NE(judge(field, changed, GetParam()).status, DKIM_STAT_OK);
    changed = corpus()[i];
    const std::size_t at = base::ascii_lower("\n" + changed.header).find("\nfrom");
    changed.header.insert(changed.header.find("a@", at), "a");
    EXPECT_NE(judge(field, changed, GetParam()).status, DKIM_STAT_OK);
  }
}

// What the library reads otherwise than the RFC (docs/decisions/0017-dkim-results.md) is judged by
// our own verifier, which shares the canonical forms with the signer.
TEST_P(SignerCorpus, BeyondLibopendkim) {
  using std::string_literals::operator""s;
  const std::string from = "From: a@example.com\r\n";
  const std::vector<Message> messages = {
      {from + "Subject\t: x\r\n", "x\r\n"},
      {from + "Subject: a\0b\v\f c\r\n"s, "x\r\n"},
      {from, "bare \r and \n in \r\r\n\n\r lines\r"},
      {from, "\0\v\f \0\r\n"s},
  };
  const auto library = *dkim::Library::open();
  dns::Answers keys;
  dns::Answer answer;
  answer.status = dns::Status::kOk;
  answer.records = {key_of(GetParam())->dns_record()};
  keys.put({std::string(kSelector) + "._domainkey." + kDomain, dns::Type::kTxt}, answer);
  for (const Message& message : messages) {
    const std::string header = field_of(message, GetParam()) + message.header;
    dkim::Verifier verifier(library, base::Limits());
    verifier.headers(scan(header));
    verifier.body(message.body);
    const auto verdicts = verifier.finish(keys);
    ASSERT_EQ(verdicts.size(), 1U);
    EXPECT_EQ(dkim::name(verdicts[0].result), "pass")
        << base::printable(header + message.body, 500) << verdicts[0].reason;
  }
}

}  // namespace
