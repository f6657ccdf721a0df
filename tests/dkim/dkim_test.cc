// Signer and verifier against each other: every signature of ours must convince libopendkim.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/mail/headers.h"
#include "dkim/signer.h"
#include "dkim/verifier.h"

namespace {

using dkim::Algorithm;
using Key = std::shared_ptr<const dkim::SigningKey>;

constexpr const char* kFrom = "From: A <a@example.com>\r\n";

struct Message {
  std::string header;
  std::string body;
};

Key key_of(Algorithm algorithm) {
  static const Key rsa = *dkim::SigningKey::generate(Algorithm::kRsaSha256);
  static const Key ed25519 = *dkim::SigningKey::generate(Algorithm::kEd25519Sha256);
  return algorithm == Algorithm::kRsaSha256 ? rsa : ed25519;
}

std::shared_ptr<dkim::Library> library() {
  static const std::shared_ptr<dkim::Library> one = *dkim::Library::open();
  return one;
}

std::string hash_of(std::string_view body) {
  dkim::RelaxedBodyHash hash;
  hash.update(body);
  return hash.finish();
}

mail::Headers scan(std::string_view block) {  // views into `block`
  auto headers = mail::Headers::scan(block, 5000);
  EXPECT_TRUE(headers.ok()) << (headers.ok() ? "" : headers.message());
  return headers.ok() ? headers.take() : mail::Headers();
}

std::string signed_field(const Message& message, Algorithm algorithm,
                         const std::string& selector = "s1") {
  dkim::SignRequest request{"example.com", selector, key_of(algorithm), std::time(nullptr), {}};
  const auto field = dkim::sign(request, scan(message.header), hash_of(message.body));
  EXPECT_TRUE(field.ok()) << (field.ok() ? "" : field.message());
  return field.ok() ? *field : "";
}

dns::Answers keys(const std::string& record, const std::string& selector = "s1") {
  dns::Answers answers;
  dns::Answer answer;
  answer.status = dns::Status::kOk;
  answer.records = {record};
  answers.put({selector + "._domainkey.example.com", dns::Type::kTxt}, answer);
  return answers;
}

std::vector<dkim::SignatureVerdict> verify(const std::string& header,
                                           const std::vector<std::string_view>& chunks,
                                           const dns::Answers& answers,
                                           const base::Limits& limits = {}) {
  dkim::Verifier verifier(library(), limits);
  {
    const std::string copy = header;  // gone before the body comes
    verifier.headers(scan(copy));
  }
  for (const std::string_view chunk : chunks) verifier.body(chunk);
  return verifier.finish(answers);
}

std::string result_of(const std::vector<dkim::SignatureVerdict>& verdicts, std::size_t at = 0) {
  if (verdicts.size() <= at) return "missing";
  return std::string(dkim::name(verdicts[at].result)) +
         (verdicts[at].reason.empty() ? "" : ": " + verdicts[at].reason);
}

std::string plain_result(const std::vector<dkim::SignatureVerdict>& verdicts, std::size_t at = 0) {
  return verdicts.size() <= at ? "missing" : std::string(dkim::name(verdicts[at].result));
}

class Both : public testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(Algorithms, Both,
                         testing::Values(Algorithm::kRsaSha256, Algorithm::kEd25519Sha256));

std::vector<Message> odd_messages() {
  const std::string from = kFrom;
  return {
      {from, ""},
      {from, "\r\n"},
      {from, "\r\n\r\n\r\n"},
      {from, " \r\n\t\r\n"},
      {from, " \t"},
      {from, "no final CRLF"},
      {from, "trailing blanks  \t \r\n \r\n"},
      {from, " leading  and   inner\t\tblanks\r\n"},
      {from, "a\r\n\r\n\r\nb\r\n\r\n"},
      {from, "8-bit \xc3\xa4\xff\x80 \r\n"},
      {from, std::string(100000, 'x') + "\r\n"},
      {from, std::string(5000, ' ') + "x" + std::string(5000, '\t') + "\r\n"},
      {from, ".\r\n..\r\n"},
      {"FROM:a@example.com\r\nsubject:\r\n", "x\r\n"},
      {"From : a@example.com\r\nSubject \t: x\r\n", "x\r\n"},
      {"From:\r\n a@example.com\r\n", "x\r\n"},
      {"From: a@example.com\r\nSubject:  a\r\n\t b \t\r\n c  \r\n", "x\r\n"},
      {"From: a@example.com\r\nFrom: b@example.com\r\n", "x\r\n"},
      {"Subject: one\r\nFrom: a@example.com\r\nsubject: two\r\nSUBJECT: three\r\n", "x\r\n"},
      {"Subject: \xc3\xa4\xff\r\nFrom: a@example.com\r\n", "x\r\n"},
      {"Subject: " + std::string(20000, 's') + "\r\nFrom: a@example.com\r\n", "x\r\n"},
      {"Received: x\r\nReturn-Path: <>\r\nFrom: a@example.com\r\nX-Odd!#$: y\r\n", "x\r\n"},
  };
}

// Fields, foldings, blanks and line lengths by chance; one seed, one corpus.
std::vector<Message> generated_messages(int count) {
  std::mt19937 random(20260131);
  const auto below = [&random](unsigned limit) { return static_cast<unsigned>(random()) % limit; };
  const std::vector<std::string> names = {"Subject",  "to",       "CC",         "Reply-To",
                                          "Date",     "List-Id",  "References", "MIME-Version",
                                          "X-Mailer", "Received", "X-Other",    "Auto-Submitted"};
  const auto text = [&](unsigned length, bool body) {
    std::string result;
    for (unsigned i = 0; i < length; ++i) {
      switch (below(body ? 14 : 12)) {
        case 0:
          result += ' ';
          break;
        case 1:
          result += '\t';
          break;
        case 2:
          result += static_cast<char>(0x80 + below(0x80));
          break;
        case 3:
          if (!body) {
            result += "x\r\n ";
          }
          break;
        case 12:
          result += "\r\n";
          break;
        case 13:
          result += " \r\n\r\n";
          break;
        default:
          result += static_cast<char>('!' + below(94));
          break;
      }
    }
    return result;
  };
  std::vector<Message> messages;
  for (int i = 0; i < count; ++i) {
    Message message;
    const unsigned from_at = below(6);
    for (unsigned field = 0; field < 6; ++field) {
      if (field == from_at) message.header += "From: \"x\" <a@example.com>\r\n";
      message.header += names[below(static_cast<unsigned>(names.size()))] + ":" +
                        text(below(120), false) + "z\r\n";
    }
    message.body = text(below(below(10) == 0 ? 20000 : 300), true);
    messages.push_back(std::move(message));
  }
  return messages;
}

TEST_P(Both, EverySignatureVerifies) {
  std::vector<Message> corpus = odd_messages();
  for (Message& message : generated_messages(520)) corpus.push_back(std::move(message));
  const auto answers = keys(key_of(GetParam())->dns_record());
  for (std::size_t i = 0; i < corpus.size(); ++i) {
    const std::string header = signed_field(corpus[i], GetParam()) + corpus[i].header;
    ASSERT_EQ(result_of(verify(header, {corpus[i].body}, answers)), "pass") << i << "\n"
                                                                            << header << "\n"
                                                                            << corpus[i].body;
  }
}

TEST_P(Both, FieldIsFoldedUnder78Columns) {
  for (const Message& message : odd_messages()) {
    const std::string field = signed_field(message, GetParam());
    ASSERT_TRUE(field.ends_with("\r\n"));
    for (const auto line : base::split(std::string_view(field).substr(0, field.size() - 2), '\n')) {
      std::size_t columns = 0;
      for (const char c : base::trim(line).empty() ? line : line) {
        if (c != '\r') columns += c == '\t' ? 8 : 1;
      }
      EXPECT_LE(columns, 78U) << line;
    }
  }
}

TEST_P(Both, AnySplitOfTheBody) {
  const Message message{kFrom, "a \t b \r\n\r\n\r\r\n c\r\n \r\n\r\nend \t\r\n\r\n"};
  const std::string field = signed_field(message, GetParam());
  const auto answers = keys(key_of(GetParam())->dns_record());
  const std::string_view body = message.body;
  for (std::size_t first = 0; first <= body.size(); ++first) {
    for (std::size_t second = first; second <= body.size(); ++second) {
      dkim::RelaxedBodyHash hash;
      hash.update(body.substr(0, first));
      hash.update(body.substr(first, second - first));
      hash.update(body.substr(second));
      ASSERT_EQ(hash.finish(), hash_of(body)) << first << " " << second;
    }
    ASSERT_EQ(result_of(verify(field + message.header, {body.substr(0, first), body.substr(first)},
                               answers)),
              "pass")
        << first;
  }
}

TEST_P(Both, AFlippedOctetFails) {
  const Message message{"From: a@example.com\r\nSubject: hello\r\n", "some text\r\n"};
  const std::string field = signed_field(message, GetParam());
  const auto answers = keys(key_of(GetParam())->dns_record());
  for (std::size_t i = 0; i < 9; ++i) {
    std::string body = message.body;
    body[i] = static_cast<char>(body[i] ^ 1);
    EXPECT_EQ(result_of(verify(field + message.header, {body}, answers)),
              "fail: the body was changed");
  }
  for (const std::size_t i : {6U, 10U, 30U, 34U}) {
    std::string header = message.header;
    header[i] = static_cast<char>(header[i] ^ 1);
    EXPECT_EQ(plain_result(verify(field + header, {message.body}, answers)), "fail") << i;
  }
  std::string forged = field;
  const auto b = forged.rfind("b=") + 12;
  forged[b] = forged[b] == 'A' ? 'B' : 'A';
  EXPECT_EQ(plain_result(verify(forged + message.header, {message.body}, answers)), "fail");
}

TEST_P(Both, ASecondFromBreaksTheSignature) {
  const Message message{kFrom, "x\r\n"};
  const std::string field = signed_field(message, GetParam());
  const auto verdicts = verify("From: evil@example.net\r\n" + field + message.header,
                               {message.body}, keys(key_of(GetParam())->dns_record()));
  EXPECT_EQ(plain_result(verdicts), "fail");
}

TEST_P(Both, PemRoundTrip) {
  const auto again = dkim::SigningKey::from_pem(key_of(GetParam())->pem());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->dns_record(), key_of(GetParam())->dns_record());
  EXPECT_EQ((*again)->algorithm(), GetParam());
}

// Two libraries, one signature: RFC 8032 leaves nothing to chance (decision 0036).
TEST(Signer, Ed25519IsWhatOpenSslSigns) {
  for (int i = 0; i < 50; ++i) {
    const Key key = *dkim::SigningKey::generate(Algorithm::kEd25519Sha256);
    const std::string pem = key->pem();
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> same(
        PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
    ASSERT_TRUE(same);
    const std::string data = "text " + std::to_string(i);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned digest_size = 0;
    ASSERT_EQ(
        EVP_Digest(data.data(), data.size(), digest.data(), &digest_size, EVP_sha256(), nullptr),
        1);
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          EVP_MD_CTX_free);
    std::string expected(64, '\0');
    std::size_t size = expected.size();
    ASSERT_EQ(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, same.get()), 1);
    ASSERT_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(expected.data()),
                             &size, digest.data(), digest_size),
              1);
    const auto signature = key->sign(data);
    ASSERT_TRUE(signature.ok());
    EXPECT_TRUE(*signature == expected);
  }
}

TEST(Signer, RefusesWhatItCannotSign) {
  const auto headers = scan("Subject: x\r\n");
  dkim::SignRequest request{"example.com", "s1", key_of(Algorithm::kEd25519Sha256), 1, {}};
  EXPECT_FALSE(dkim::sign(request, headers, hash_of("")).ok());
  const auto with_from = scan(kFrom);
  request.domain = "example.com;\r\nX-Evil: y";
  EXPECT_FALSE(dkim::sign(request, with_from, hash_of("")).ok());
  EXPECT_FALSE(dkim::SigningKey::from_pem("nothing").ok());
}

TEST(Signer, MarkerHeadersAreSigned) {
  const std::string header = std::string(kFrom) + "X-Help-From-Account-Id: 7\r\n";
  dkim::SignRequest request{"example.com",
                            "s1",
                            key_of(Algorithm::kEd25519Sha256),
                            std::time(nullptr),
                            {"X-Help-From-Account-Id"}};
  const std::string field = *dkim::sign(request, scan(header), hash_of("x\r\n"));
  const auto answers = keys(key_of(Algorithm::kEd25519Sha256)->dns_record());
  EXPECT_EQ(result_of(verify(field + header, {"x\r\n"}, answers)), "pass");
  const std::string changed = std::string(kFrom) + "X-Help-From-Account-Id: 8\r\n";
  EXPECT_EQ(plain_result(verify(field + changed, {"x\r\n"}, answers)), "fail");
}

TEST(Verifier, NoSignature) {
  dkim::Verifier verifier(library(), base::Limits());
  EXPECT_TRUE(verifier.headers(scan(kFrom)).empty());
  EXPECT_FALSE(verifier.wants_body());
  verifier.body("x\r\n");
  EXPECT_TRUE(verifier.finish(dns::Answers()).empty());
}

TEST(Verifier, AsksForEveryKeyOnce) {
  const Message message{kFrom, "x\r\n"};
  const std::string one = signed_field(message, Algorithm::kRsaSha256);
  const std::string two = signed_field(message, Algorithm::kEd25519Sha256, "s2");
  dkim::Verifier verifier(library(), base::Limits());
  const auto questions = verifier.headers(scan(one + two + one + message.header));
  ASSERT_EQ(questions.size(), 2U);
  EXPECT_EQ(questions[0].name, "s1._domainkey.example.com");
  EXPECT_EQ(questions[1].name, "s2._domainkey.example.com");
  EXPECT_EQ(questions[0].type, dns::Type::kTxt);
}

std::string with_status(dns::Status status, const std::vector<std::string>& records = {}) {
  const Message message{kFrom, "x\r\n"};
  const std::string field = signed_field(message, Algorithm::kRsaSha256);
  dns::Answers answers;
  answers.put({"s1._domainkey.example.com", dns::Type::kTxt}, {status, records, false});
  return plain_result(verify(field + message.header, {message.body}, answers));
}

TEST(Verifier, KeyAnswers) {
  // RFC 6376 6.1.2
  const std::string record = key_of(Algorithm::kRsaSha256)->dns_record();
  const std::string other = key_of(Algorithm::kEd25519Sha256)->dns_record();
  EXPECT_EQ(with_status(dns::Status::kOk, {record}), "pass");
  EXPECT_EQ(with_status(dns::Status::kServFail), "temperror");
  EXPECT_EQ(with_status(dns::Status::kTimeout), "temperror");
  EXPECT_EQ(with_status(dns::Status::kNxDomain), "permerror");
  EXPECT_EQ(with_status(dns::Status::kNoData), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {"v=DKIM1; k=rsa; p="}), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {"v=DKIM1; k=rsa; p=AAAA"}), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {"v=DKIM2; " + record.substr(9)}), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {"complete nonsense"}), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {std::string(60000, 'x')}), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {record, record}), "permerror");
  EXPECT_EQ(with_status(dns::Status::kOk, {"some note", record}), "pass");
  EXPECT_NE(with_status(dns::Status::kOk, {other}), "pass");
  EXPECT_NE(with_status(dns::Status::kOk, {record + "; h=sha1"}), "pass");
  EXPECT_NE(with_status(dns::Status::kOk, {record + "; s=other"}), "pass");
}

std::string short_key_record(std::string& pem) {
  EVP_PKEY* key = EVP_RSA_gen(768U);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  pem.assign(data, static_cast<std::size_t>(size));
  unsigned char* der = nullptr;
  const int der_size = i2d_PUBKEY(key, &der);
  const std::string info(reinterpret_cast<char*>(der), static_cast<std::size_t>(der_size));
  OPENSSL_free(der);
  BIO_free(bio);
  EVP_PKEY_free(key);
  return "v=DKIM1; k=rsa; p=" + base::base64_encode(info);
}

TEST(Verifier, ShortKeysNeverPass) {
  // RFC 8301 3.2
  std::string pem;
  const std::string record = short_key_record(pem);
  EXPECT_FALSE(dkim::SigningKey::from_pem(pem).ok());
  const Message message{kFrom, "x\r\n"};
  const auto verdicts = verify(signed_field(message, Algorithm::kRsaSha256) + message.header,
                               {message.body}, keys(record));
  EXPECT_EQ(plain_result(verdicts), "policy") << result_of(verdicts);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const auto at = text.find(what);
  return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

TEST(Verifier, MalformedSignaturesHideNoOther) {
  const Message message{kFrom, "x\r\n"};
  const std::string good = signed_field(message, Algorithm::kRsaSha256);
  const auto answers = keys(key_of(Algorithm::kRsaSha256)->dns_record());
  struct Row {
    std::string field;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {"DKIM-Signature: nonsense\r\n", "neutral"},
      {"DKIM-Signature:\r\n", "neutral"},
      {"DKIM-Signature: ;;;;\r\n", "neutral"},
      {"DKIM-Signature: v=1; v=1\r\n", "neutral"},
      {replaced(good, "v=1", "v=2"), "neutral"},
      {replaced(good, "rsa-sha256", "rsa-sha1"), "policy"},
      {replaced(good, "rsa-sha256", "rsa-md5"), "neutral"},
      {replaced(good, "relaxed/relaxed", "relaxed/none"), "neutral"},
      {replaced(good, "h=From:From", "h=To"), "neutral"},
      {replaced(good, "d=example.com", "d=localhost"), "neutral"},
      {replaced(good, "s=s1;", "s=;"), "neutral"},
      {replaced(good, "s=s1;", "s=s1; i=@other.net;"), "neutral"},
      {replaced(good, "s=s1;", "s=s1; l=x;"), "neutral"},
      {replaced(good, "s=s1;", "s=s1; x=1;"), "neutral"},
      {replaced(replaced(good, "s=s1;", "s=s1; x=2;"), "t=", "t=1; tt="), "permerror"},
      {replaced(good, "bh=", "bh=*"), "neutral"},
      {replaced(good, "s=s1;", "s=unknown;"), "temperror"},
      {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=YQ==; b=YQ==\r\n",
       "fail"}};
  for (const Row& row : rows) {
    for (const bool first : {true, false}) {
      const auto verdicts = verify((first ? row.field + good : good + row.field) + message.header,
                                   {message.body}, answers);
      ASSERT_EQ(verdicts.size(), 2U) << row.field;
      EXPECT_EQ(plain_result(verdicts, first ? 0 : 1), row.expected)
          << row.field << result_of(verdicts, first ? 0 : 1);
      EXPECT_EQ(result_of(verdicts, first ? 1 : 0), "pass") << row.field;
      EXPECT_FALSE(verdicts[first ? 0 : 1].reason.empty());
    }
  }
}

TEST(Verifier, ReportsEverySignatureUnderItsOwnName) {
  const Message message{kFrom, "x\r\n"};
  const std::string one = signed_field(message, Algorithm::kRsaSha256);
  const std::string two = signed_field(message, Algorithm::kEd25519Sha256, "s2");
  dns::Answers answers = keys(key_of(Algorithm::kRsaSha256)->dns_record());
  answers.put({"s2._domainkey.example.com", dns::Type::kTxt},
              {dns::Status::kOk, {key_of(Algorithm::kEd25519Sha256)->dns_record()}, false});
  const auto verdicts = verify(one + two + message.header, {message.body}, answers);
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_EQ(verdicts[0].algorithm, "rsa-sha256");
  EXPECT_EQ(verdicts[0].selector, "s1");
  EXPECT_EQ(verdicts[1].algorithm, "ed25519-sha256");
  EXPECT_EQ(verdicts[1].selector, "s2");
  EXPECT_EQ(verdicts[1].domain, "example.com");
  EXPECT_EQ(verdicts[1].identity, "@example.com");
  EXPECT_EQ(verdicts[1].signature_start.size(), 8U);
  EXPECT_EQ(result_of(verdicts, 0), "pass");
  EXPECT_EQ(result_of(verdicts, 1), "pass");
}

TEST(Verifier, SignaturesPastTheLimit) {
  const Message message{kFrom, "x\r\n"};
  const std::string good = signed_field(message, Algorithm::kEd25519Sha256);
  std::string header;
  for (int i = 0; i < 13; ++i) header += good;
  const auto verdicts = verify(header + message.header, {message.body},
                               keys(key_of(Algorithm::kEd25519Sha256)->dns_record()));
  ASSERT_EQ(verdicts.size(), 13U);
  for (std::size_t i = 0; i < 13; ++i) {
    EXPECT_EQ(plain_result(verdicts, i), i < 10 ? "pass" : "policy") << i << result_of(verdicts, i);
  }
}

}  // namespace
