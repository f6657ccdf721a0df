// RFC 8617: chains made by our test sealer, right and wrong in one thing each.
#include "dkim/arc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/mail/headers.h"
#include "support/arc_sealer.h"

namespace {

using arc_sealer::Chain;
using arc_sealer::key_name;
using arc_sealer::Message;
using arc_sealer::sealed;
using arc_sealer::Set;
using arc_sealer::txt;
using arc_sealer::usual_set;
using arc_sealer::usual_zone;
using arc_sealer::Zone;
using dkim::Algorithm;
using dkim::ArcResult;

struct Outcome {
  dkim::ArcVerdict verdict;
  std::vector<dns::Question> questions;
  [[nodiscard]] std::string result() const {
    return std::string(dkim::name(verdict.result)) +
           (verdict.reason.empty() ? "" : ": " + verdict.reason);
  }
};

// Asks the zone exactly what is asked for.
Outcome verify(const Message& message, const Zone& zone, const base::Limits& limits = {},
               std::size_t step = 1000) {
  Outcome outcome;
  const auto headers = mail::Headers::scan(message.header, 5000);
  EXPECT_TRUE(headers.ok()) << (headers.ok() ? "" : headers.message());
  if (!headers.ok()) return outcome;
  dkim::ArcVerifier verifier(limits);
  outcome.questions = verifier.headers(*headers);
  dns::Answers answers;
  for (const dns::Question& question : outcome.questions) {
    EXPECT_EQ(question.type, dns::Type::kTxt);
    dns::Answer none;
    none.status = dns::Status::kNxDomain;
    const auto found = zone.find(question.name);
    answers.put(question, found == zone.end() ? none : found->second);
  }
  for (std::size_t at = 0; at < message.body.size(); at += step) {
    verifier.body(std::string_view(message.body).substr(at, step));
  }
  outcome.verdict = verifier.finish(answers);
  return outcome;
}

void expect(const std::string& result, const Outcome& outcome) {
  if (result.ends_with(':')) {
    ADD_FAILURE() << "an expected failure needs a reason";
  } else if (result.starts_with("fail: ")) {
    EXPECT_THAT(outcome.result(), testing::StartsWith("fail: "));
    EXPECT_THAT(outcome.result(), testing::HasSubstr(result.substr(6)));
  } else {
    EXPECT_EQ(outcome.result(), result);
  }
}

void replace(std::string& text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

// The n-th field of that name from the top, counted from 1; its octets with the CRLF.
std::string_view field(const Message& message, std::string_view name, std::size_t n = 1) {
  static const mail::Headers none;
  const auto headers = mail::Headers::scan(message.header, 5000);
  for (const mail::HeaderField& one : headers.ok() ? headers->fields() : none.fields()) {
    if (one.is(name) && --n == 0) return one.raw;
  }
  ADD_FAILURE() << "no " << name;
  return {};
}
void remove(Message& message, std::string_view name, std::size_t n = 1) {
  const std::string raw(field(message, name, n));
  replace(message.header, raw, "");
}
void remove_set(Message& message, std::size_t n) {
  for (const char* name : {"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"}) {
    remove(message, name, n);
  }
}

// ---- whole chains ------------------------------------------------------------------------------

TEST(Arc, WithoutAChainTheResultIsNone) {  // RFC 8617 5.2 step 1
  const Outcome outcome = verify(Message(), {});
  EXPECT_EQ(outcome.result(), "none");
  EXPECT_TRUE(outcome.questions.empty());
  EXPECT_TRUE(outcome.verdict.sets.empty());
  Message empty;
  empty.header.clear();
  empty.body.clear();
  EXPECT_EQ(verify(empty, {}).result(), "none");
}

TEST(Arc, GoodChainsPass) {  // RFC 8617 5.2 step 7
  for (const Algorithm algorithm : {Algorithm::kRsaSha256, Algorithm::kEd25519Sha256}) {
    for (int sets = 1; sets <= 5; ++sets) {
      SCOPED_TRACE(std::string(dkim::name(algorithm)) + " " + std::to_string(sets));
      const Message message = sealed(sets, algorithm);
      const Outcome outcome = verify(message, usual_zone(sets, algorithm));
      EXPECT_EQ(outcome.result(), "pass");
      EXPECT_FALSE(outcome.verdict.temporary);
      EXPECT_EQ(outcome.questions.size(), static_cast<std::size_t>(sets));
      ASSERT_EQ(outcome.verdict.sets.size(), static_cast<std::size_t>(sets));
      for (int i = 1; i <= sets; ++i) {
        const dkim::ArcSet& set = outcome.verdict.sets[static_cast<std::size_t>(i - 1)];
        const std::string domain = "sealer" + std::to_string(i) + ".example";
        EXPECT_EQ(set.instance, i);
        EXPECT_EQ(set.sealer, domain);
        EXPECT_EQ(set.signer, domain);
        EXPECT_EQ(set.selector, "s1");
        EXPECT_EQ(set.cv, i == 1 ? "none" : "pass");
        EXPECT_EQ(set.results,
                  "mx." + domain + ";\tspf=pass smtp.mailfrom=author.example;\tdkim=pass");
      }
    }
  }
}

TEST(Arc, OneKeyIsAskedForOnce) {
  Chain chain;
  for (int i = 1; i <= 3; ++i) {
    Set one = usual_set(i);
    arc_sealer::set(one.signature, "d", "same.example");
    arc_sealer::set(one.seal, "d", "same.example");
    chain.seal(one);
  }
  const Outcome outcome =
      verify(chain.message, {{"s1._domainkey.same.example", usual_zone(1).begin()->second}});
  EXPECT_EQ(outcome.result(), "pass");
  EXPECT_EQ(outcome.questions.size(), 1U);
}

TEST(Arc, AlgorithmsMayDiffer) {  // RFC 8617 4.1: each signature has its own a=, d=, s=
  Chain chain;
  chain.seal(usual_set(1, Algorithm::kEd25519Sha256));
  Set second = usual_set(2);
  second.signature_key = arc_sealer::key_of(Algorithm::kEd25519Sha256);
  arc_sealer::set(second.signature, "a", "ed25519-sha256");
  arc_sealer::set(second.signature, "s", "e1");
  chain.seal(second);
  Zone zone = usual_zone(1, Algorithm::kEd25519Sha256);
  zone["e1._domainkey.sealer2.example"] = zone[key_name(1)];
  zone[key_name(2)] = usual_zone(2)[key_name(2)];
  EXPECT_EQ(verify(chain.message, zone).result(), "pass");
}

TEST(Arc, AllCanonicalFormsOfTheMessage) {  // RFC 6376 3.4, 3.5
  for (const char* c : {"simple", "relaxed", "simple/simple", "simple/relaxed", "relaxed/simple",
                        "relaxed/relaxed", "Relaxed/SIMPLE", ""}) {
    SCOPED_TRACE(c);
    Set one = usual_set(1);
    if (*c == '\0') {
      arc_sealer::drop(one.signature, "c");
    } else {
      arc_sealer::set(one.signature, "c", c);
    }
    Chain chain;
    chain.seal(one);
    EXPECT_EQ(verify(chain.message, usual_zone(1)).result(), "pass");
    const bool relaxed_header = base::istarts_with(c, "relaxed");
    const bool relaxed_body = std::string(c).ends_with("/relaxed");
    Message refolded = chain.message;
    replace(refolded.header, "Subject: An  order\r\n", "subject:An\t\torder\r\n");
    EXPECT_EQ(verify(refolded, usual_zone(1)).verdict.result == ArcResult::kPass, relaxed_header);
    Message blanks = chain.message;
    replace(blanks.body, "Hello  there, ", "Hello there,");
    EXPECT_EQ(verify(blanks, usual_zone(1)).verdict.result == ArcResult::kPass, relaxed_body);
  }
}

TEST(Arc, BodiesInAnySplits) {
  const Message message = sealed(2);
  for (const std::size_t step : {1U, 2U, 3U, 7U}) {
    EXPECT_EQ(verify(message, usual_zone(2), {}, step).result(), "pass") << step;
  }
}

TEST(Arc, EmptyBody) {  // RFC 6376 3.4.3, 3.4.4
  for (const char* c : {"simple/simple", "relaxed/relaxed"}) {
    Message message;
    message.body.clear();
    Chain chain(message);
    Set one = usual_set(1);
    arc_sealer::set(one.signature, "c", c);
    chain.seal(one);
    EXPECT_EQ(verify(chain.message, usual_zone(1)).result(), "pass") << c;
    chain.message.body = "\r\n\r\n";
    EXPECT_EQ(verify(chain.message, usual_zone(1)).result(), "pass") << c;
    chain.message.body = "x";
    EXPECT_NE(verify(chain.message, usual_zone(1)).result(), "pass") << c;
  }
}

TEST(Arc, HandlersMayChangeTheMessage) {  // RFC 8617 5.2 step 5: older signatures may break
  Chain chain;
  chain.seal(usual_set(1));
  chain.message.body += "-- \r\nThe list\r\n";
  replace(chain.message.header, "Subject: An", "Subject: [list] An");
  chain.seal(usual_set(2));
  EXPECT_EQ(verify(chain.message, usual_zone(2)).result(), "pass");
}

TEST(Arc, FiftySetsAndNoMore) {  // RFC 8617 4.2.1, 5.2 step 1
  const Message fifty = sealed(50, Algorithm::kEd25519Sha256);
  EXPECT_EQ(verify(fifty, usual_zone(50, Algorithm::kEd25519Sha256)).result(), "pass");
  const Message more = sealed(51, Algorithm::kEd25519Sha256);
  base::Limits limits;
  for (const std::int64_t wanted : {50, 60}) {
    limits.arc_sets = wanted;  // a setting raises no limit of the RFC
    const Outcome outcome = verify(more, usual_zone(51, Algorithm::kEd25519Sha256), limits);
    expect("fail: there are more than 50 sets", outcome);
    EXPECT_TRUE(outcome.questions.empty());
    EXPECT_EQ(outcome.verdict.sets.size(), 50U);
  }
  limits.arc_sets = 2;
  expect("pass", verify(sealed(2), usual_zone(2), limits));
  expect("fail: more than 2 sets", verify(sealed(3), usual_zone(3), limits));
}

// ---- one tag -----------------------------------------------------------------------------------

constexpr const char* kDropped = nullptr;
enum class Field { kSeal, kSignature };

// A tag of the newest of `sets` sets before it was sealed; all signatures are right.
struct TagCase {
  const char* section;  // of RFC 8617, or of RFC 6376 where that is named
  Field where;
  int sets;
  const char* tag;
  const char* value;
  const char* result;
};

void PrintTo(const TagCase& one, std::ostream* out) {
  *out << one.section << (one.where == Field::kSeal ? " ARC-Seal " : " ARC-Message-Signature ")
       << one.tag << "=" << (one.value == kDropped ? "(none)" : one.value);
}

class ArcTag : public testing::TestWithParam<TagCase> {};

TEST_P(ArcTag, Verdict) {
  const TagCase& one = GetParam();
  Chain chain;
  for (int i = 1; i <= one.sets; ++i) {
    Set made = usual_set(i);
    auto& tags = one.where == Field::kSeal ? made.seal : made.signature;
    if (i == one.sets && one.value == kDropped) arc_sealer::drop(tags, one.tag);
    if (i == one.sets && one.value != kDropped) arc_sealer::set(tags, one.tag, one.value);
    chain.seal(made);
  }
  Zone zone = usual_zone(one.sets);
  for (const char* more :
       {"s1._domainkey.xn--bcher-kva.example", "a_b.c-1._domainkey.sealer1.example",
        "xn--bcher-kva._domainkey.sealer1.example"}) {
    zone[more] = zone[key_name(1)];
  }
  const Outcome outcome = verify(chain.message, zone);
  expect(one.result, outcome);
  EXPECT_FALSE(outcome.verdict.temporary);
  // What is wrong without any key costs no question.
  if (outcome.verdict.result == ArcResult::kFail &&
      outcome.result().find("key") == std::string::npos &&
      outcome.result().find("fit") == std::string::npos &&
      outcome.result().find("body") == std::string::npos) {
    EXPECT_TRUE(outcome.questions.empty());
  }
}

constexpr auto kSeal = Field::kSeal;
constexpr auto kSignature = Field::kSignature;
const std::vector<TagCase> kTagCases = {
    // The instance.
    {"4.1.3", kSeal, 1, "i", kDropped, "fail: an ARC-Seal has no instance"},
    {"4.1.2", kSignature, 1, "i", kDropped, "fail: an ARC-Message-Signature has no instance"},
    {"3.9", kSeal, 1, "i", "", "fail: an ARC-Seal has no instance"},
    {"3.9", kSignature, 1, "i", "", "fail: an ARC-Message-Signature has no instance"},
    {"4.2.1", kSeal, 1, "i", "0", "fail: an ARC-Seal has no instance"},
    {"4.2.1", kSignature, 1, "i", "00", "fail: an ARC-Message-Signature has no instance"},
    {"3.9", kSeal, 1, "i", "01", "pass"},
    {"3.9", kSignature, 2, "i", "02", "pass"},
    {"3.9", kSeal, 1, "i", "001", "fail: an ARC-Seal has no instance"},
    {"3.9", kSeal, 1, "i", "1 1", "fail: an ARC-Seal has no instance"},
    {"3.9", kSeal, 1, "i", "1x", "fail: an ARC-Seal has no instance"},
    {"3.9", kSeal, 1, "i", "-1", "fail: an ARC-Seal has no instance"},
    {"3.9", kSignature, 1, "i", "+1", "fail: an ARC-Message-Signature has no instance"},
    {"3.9", kSignature, 1, "i", "0x1", "fail: an ARC-Message-Signature has no instance"},
    {"3.9", kSeal, 1, "i", " 1 ", "pass"},
    {"3.9", kSeal, 1, "i", "\r\n\t1", "pass"},
    {"3.9", kSeal, 1, "i", "1 (the first)", "pass"},
    {"3.9", kSignature, 1, "i", "(a (b) \\) c) 1", "pass"},
    {"3.9", kSignature, 1, "i", "(1", "fail: an ARC-Message-Signature has no instance"},
    {"4.2.1", kSeal, 1, "i", "51", "fail: there are more than 50 sets"},
    {"4.2.1", kSeal, 1, "i", "99", "fail: there are more than 50 sets"},
    {"5.2 step 3A", kSeal, 1, "i", "2", "fail: set 1 has no ARC-Seal"},
    {"5.2 step 3A", kSignature, 2, "i", "1", "fail: set 1 has two ARC-Message-Signature"},
    {"5.2 step 3A", kSeal, 2, "i", "1", "fail: set 1 has two ARC-Seal"},
    // cv=
    {"4.1.3", kSeal, 1, "cv", kDropped, "fail: the seal of set 1 does not say cv=none"},
    {"3.9", kSeal, 1, "cv", "", "fail: the seal of set 1 does not say cv=none"},
    {"3.9", kSeal, 1, "cv", "good", "fail: the seal of set 1 does not say cv=none"},
    {"3.9", kSeal, 1, "cv", "None", "pass"},
    {"3.9", kSeal, 2, "cv", "PASS", "pass"},
    {"3.9", kSeal, 2, "cv", " pass ", "pass"},
    {"3.9", kSeal, 2, "cv", "pass pass", "fail: the seal of set 2 does not say cv=pass"},
    {"5.2 step 3C", kSeal, 1, "cv", "pass", "fail: the seal of set 1 does not say cv=none"},
    {"5.2 step 3C", kSeal, 2, "cv", "none", "fail: the seal of set 2 does not say cv=pass"},
    {"5.2 step 3C", kSeal, 3, "cv", kDropped, "fail: the seal of set 3 does not say cv=pass"},
    {"5.2 step 2", kSeal, 1, "cv", "fail", "fail: an earlier handler found the chain broken"},
    {"5.2 step 2", kSeal, 3, "cv", "fail", "fail: found the chain broken (cv=fail in set 3)"},
    {"5.2 step 2", kSeal, 2, "cv", "Fail", "fail: found the chain broken (cv=fail in set 2)"},
    // a=
    {"4.1.3", kSeal, 1, "a", kDropped, "fail: the ARC-Seal of set 1 is invalid: tag a= is missing"},
    {"4.1.2", kSignature, 1, "a", kDropped,
     "fail: the ARC-Message-Signature of set 1 is invalid: tag a= is missing"},
    {"4.1.3", kSeal, 1, "a", "", "fail: tag a= is missing"},
    {"4.1.2", kSignature, 1, "a", "", "fail: tag a= is missing"},
    {"RFC 8301 3.1", kSeal, 1, "a", "rsa-sha1", "fail: its algorithm is unknown"},
    {"RFC 8301 3.1", kSignature, 1, "a", "rsa-sha1", "fail: its algorithm is unknown"},
    {"RFC 6376 3.3", kSeal, 1, "a", "rsa-sha512", "fail: its algorithm is unknown"},
    {"RFC 6376 3.3", kSignature, 1, "a", "rsa", "fail: its algorithm is unknown"},
    {"RFC 6376 3.5", kSeal, 1, "a", "RSA-SHA256", "pass"},
    {"RFC 6376 6.1.2", kSeal, 1, "a", "ed25519-sha256", "fail: of another algorithm than its key"},
    {"RFC 6376 6.1.2", kSignature, 1, "a", "ed25519-sha256",
     "fail: of another algorithm than its key"},
    // b=
    {"4.1.3", kSeal, 1, "b", kDropped, "fail: tag b= is missing"},
    {"4.1.2", kSignature, 1, "b", kDropped, "fail: tag b= is missing"},
    {"4.1.3", kSeal, 1, "b", "", "fail: tag b= is missing"},
    {"4.1.2", kSignature, 1, "b", "", "fail: tag b= is missing"},
    {"RFC 6376 3.5", kSeal, 1, "b", "!!!!", "fail: tag b= is no base64"},
    {"RFC 6376 3.5", kSignature, 1, "b", "a=bc", "fail: tag b= is no base64"},
    {"5.2 step 6", kSeal, 1, "b", "c2lnbmVk", "fail: the ARC-Seal of set 1 does not fit"},
    {"5.2 step 4", kSignature, 2, "b", "c2lnbmVk",
     "fail: the ARC-Message-Signature of set 2 does not fit"},
    // bh=
    {"4.1.2", kSignature, 1, "bh", kDropped, "fail: tag bh= is missing"},
    {"4.1.2", kSignature, 1, "bh", "", "fail: tag bh= is missing"},
    {"RFC 6376 3.5", kSignature, 1, "bh", "%%", "fail: tag bh= is no SHA-256"},
    {"RFC 6376 3.5", kSignature, 1, "bh", "c2hvcnQ=", "fail: tag bh= is no SHA-256"},
    {"5.2 step 4", kSignature, 1, "bh",
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "fail: the body was changed"},
    {"4.1.3", kSeal, 1, "bh", "ignored", "pass"},
    // d=
    {"4.1.3", kSeal, 1, "d", kDropped, "fail: tag d= is missing"},
    {"4.1.2", kSignature, 1, "d", kDropped, "fail: tag d= is missing"},
    {"4.1.3", kSeal, 1, "d", "", "fail: tag d= is missing"},
    {"4.1.2", kSignature, 1, "d", "", "fail: tag d= is missing"},
    {"RFC 6376 3.5", kSeal, 1, "d", "example", "fail: no name"},
    {"RFC 6376 3.5", kSignature, 1, "d", "sealer1..example", "fail: no name"},
    {"RFC 6376 3.5", kSeal, 1, "d", "sealer1.example.", "fail: no name"},
    {"RFC 6376 3.5", kSeal, 1, "d", "sealer1 .example", "fail: no name"},
    {"RFC 6376 3.5", kSeal, 1, "d", "[192.0.2.1]", "fail: no name"},
    {"RFC 6376 3.5", kSeal, 1, "d", "mx@sealer1.example", "fail: no name"},
    {"RFC 6376 3.5", kSeal, 1, "d", "SEALER1.Example", "pass"},
    {"4.1.4", kSeal, 1, "d",
     "b\xc3\xbc"
     "cher.example",
     "pass"},
    {"4.1.4", kSignature, 1, "d",
     "b\xc3\xbc"
     "cher.example",
     "pass"},
    {"RFC 6376 6.1.2", kSeal, 1, "d", "other.example", "fail: there is no key in DNS"},
    // s=
    {"4.1.3", kSeal, 1, "s", kDropped, "fail: tag s= is missing"},
    {"4.1.2", kSignature, 1, "s", kDropped, "fail: tag s= is missing"},
    {"4.1.3", kSeal, 1, "s", "", "fail: tag s= is missing"},
    {"4.1.2", kSignature, 1, "s", "", "fail: tag s= is missing"},
    {"RFC 6376 3.1", kSeal, 1, "s", ".s1", "fail: no name"},
    {"RFC 6376 3.1", kSignature, 1, "s", "s1.", "fail: no name"},
    {"RFC 6376 3.1", kSeal, 1, "s", "s 1", "fail: no name"},
    {"RFC 6376 3.1", kSeal, 1, "s", "S1", "pass"},
    {"RFC 6376 3.1", kSeal, 1, "s", "a_b.c-1", "pass"},
    {"4.1.4", kSignature, 1, "s",
     "b\xc3\xbc"
     "cher",
     "pass"},
    {"RFC 6376 6.1.2", kSignature, 1, "s", "s2", "fail: there is no key in DNS"},
    // t=, x=
    {"4.1.3", kSeal, 1, "t", kDropped, "pass"},
    {"4.1.2", kSignature, 1, "t", kDropped, "pass"},
    {"RFC 6376 3.5", kSeal, 1, "t", "", "fail: tag t= is no number"},
    {"RFC 6376 3.5", kSignature, 1, "t", "noon", "fail: tag t= is no number"},
    {"RFC 6376 3.5", kSeal, 1, "t", "-1", "fail: tag t= is no number"},
    {"RFC 6376 3.5", kSeal, 1, "t", "1234567890123", "fail: tag t= is no number"},
    {"RFC 6376 3.5", kSignature, 1, "x", "99999999999", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "x", "1769860801", "fail: it has expired"},
    {"RFC 6376 3.5", kSignature, 1, "x", "1769860800", "fail: it expires before it was made"},
    {"RFC 6376 3.5", kSignature, 1, "x", "soon", "fail: tag x= is no number"},
    {"4.1.3", kSeal, 1, "x", "1", "pass"},
    // h=
    {"4.1.3", kSeal, 1, "h", "from:to", "fail: it has a tag h="},
    {"4.1.3", kSeal, 2, "h", "", "fail: it has a tag h="},
    {"4.1.2", kSignature, 1, "h", kDropped, "fail: tag h= is missing"},
    {"RFC 6376 3.5", kSignature, 1, "h", "", "fail: tag h= is missing"},
    {"RFC 6376 3.5", kSignature, 1, "h", "from::to", "fail: tag h= is malformed"},
    {"RFC 6376 3.5", kSignature, 1, "h", "from:to:", "fail: tag h= is malformed"},
    {"RFC 6376 5.4", kSignature, 1, "h", "to:subject", "fail: it does not cover the From field"},
    {"RFC 6376 5.4", kSignature, 1, "h", "x-from:fromm", "fail: it does not cover the From field"},
    {"RFC 6376 3.5", kSignature, 1, "h", "FROM:Subject", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "h", "from \r\n\t: to:\tsubject ", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "h", "from:x-none:x-none:to", "pass"},
    {"RFC 6376 5.4.2", kSignature, 1, "h", "from:from:to:to:to", "pass"},
    {"4.1.2", kSignature, 1, "h", "from:arc-seal", "fail: it covers an ARC-Seal"},
    {"4.1.2", kSignature, 2, "h", "ARC-Seal:from", "fail: it covers an ARC-Seal"},
    {"4.1.2", kSignature, 2, "h", "from:arc-authentication-results", "pass"},
    {"4.1.2", kSignature, 3, "h", "from:arc-message-signature:arc-message-signature", "pass"},
    {"RFC 6376 3.7", kSignature, 2, "h",
     "from:arc-message-signature:arc-message-signature:arc-message-signature", "pass"},
    // c=, l=, q=, v=, z= and tags that mean nothing
    {"RFC 6376 3.5", kSignature, 1, "c", "nowsp", "fail: its canonicalisation is unknown"},
    {"RFC 6376 3.5", kSignature, 1, "c", "relaxed/", "fail: its canonicalisation is unknown"},
    {"RFC 6376 3.5", kSignature, 1, "c", "", "fail: its canonicalisation is unknown"},
    {"RFC 6376 3.5", kSignature, 1, "c", "simple/simple/simple",
     "fail: its canonicalisation is unknown"},
    {"4.1.3", kSeal, 1, "c", "simple/simple", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "l", "0", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "l", "10", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "l", "1000", "fail: the body is shorter than what"},
    {"RFC 6376 3.5", kSignature, 1, "l", "99999999999999999999999999",
     "fail: the body is shorter than what"},
    {"RFC 6376 3.5", kSignature, 1, "l", "ten", "fail: tag l= is no number"},
    {"RFC 6376 3.5", kSignature, 1, "l", "", "fail: tag l= is no number"},
    {"4.1.3", kSeal, 1, "l", "0", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "q", "dns/txt", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "q", "http/x : DNS/TXT", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "q", "http/x", "fail: its key is not in DNS"},
    {"4.1.2", kSignature, 1, "v", "1", "pass"},
    {"4.1.2", kSignature, 1, "v", "7", "pass"},
    {"RFC 6376 3.5", kSignature, 1, "z", "From:x@y.example|To:z", "pass"},
    {"RFC 6376 3.2", kSeal, 1, "zz", "unknown", "pass"},
    {"RFC 6376 3.2", kSignature, 1, "w", "", "pass"},
    // The tag list itself
    {"RFC 6376 3.2", kSeal, 1, "_", "x", "fail: an ARC-Seal is malformed"},
    {"RFC 6376 3.2", kSignature, 1, "1a", "x", "fail: an ARC-Message-Signature is malformed"},
    {"RFC 6376 3.2", kSeal, 1, "y", "x; s=s1", "fail: an ARC-Seal is malformed"},
    {"RFC 6376 3.2", kSignature, 1, "y", "x; s=s1", "fail: an ARC-Message-Signature is malformed"},
    {"RFC 6376 3.2", kSeal, 1, "y", "x;", "pass"},
    {"RFC 6376 3.2", kSignature, 1, "y", "x;", "pass"},
    {"RFC 6376 3.2", kSeal, 1, "y", "x;;", "fail: an ARC-Seal is malformed"},
    {"RFC 6376 3.2", kSeal, 1, "y", "x; word", "fail: an ARC-Seal is malformed"},
    {"RFC 6376 3.2", kSeal, 1, "y", "x\x01", "fail: an ARC-Seal is malformed"},
    {"RFC 6376 3.2", kSeal, 1, "S", "s2", "pass"},
    {"RFC 6376 3.2", kSignature, 1, "H", "arc-seal", "pass"},
};
INSTANTIATE_TEST_SUITE_P(Rfc8617, ArcTag, testing::ValuesIn(kTagCases));

TEST(Arc, TagNamesHaveACase) {  // RFC 6376 3.2
  for (const char* name : {"i", "a", "cv", "d", "s", "b"}) {
    Set one = usual_set(1);
    for (auto& [tag, value] : one.seal) {
      if (tag == name) tag = base::ascii_upper(tag);
    }
    Chain chain;
    chain.seal(one);
    EXPECT_EQ(verify(chain.message, usual_zone(1)).verdict.result, ArcResult::kFail) << name;
  }
}

TEST(Arc, SignaturesInTheMiddleOfTheTags) {  // RFC 6376 3.7: only the value of b= is left out
  Chain chain;
  for (int i = 1; i <= 2; ++i) {
    Set one = usual_set(i);
    one.signature = {{"b", "*"}};
    for (const auto& tag : usual_set(i).signature)
      arc_sealer::set(one.signature, tag.first, tag.second);
    one.seal = {{"b ", ""}, {"cv", i == 1 ? "none" : "pass"}};
    arc_sealer::drop(one.seal, "b ");
    arc_sealer::set(one.seal, "b", "*");
    for (const auto& tag : usual_set(i).seal) arc_sealer::set(one.seal, tag.first, tag.second);
    one.tail = "; \r\n\t";
    chain.seal(one);
  }
  EXPECT_EQ(verify(chain.message, usual_zone(2)).result(), "pass");
}

TEST(Arc, OnlyTheNewestSignatureOfTheMessageIsVerified) {  // RFC 8617 5.2 steps 4 and 5
  for (const auto& [tag, value] :
       std::vector<std::pair<std::string, std::string>>{{"a", "rsa-sha1"},
                                                        {"b", "c2lnbmVk"},
                                                        {"d", "nowhere.example"},
                                                        {"bh", ""},
                                                        {"x", "1769860801"},
                                                        {"h", "to"},
                                                        {"c", "odd"}}) {
    Chain chain;
    Set first = usual_set(1);
    arc_sealer::set(first.signature, tag, value);
    chain.seal(first);
    EXPECT_NE(verify(chain.message, usual_zone(1)).result(), "pass") << tag;
    chain.seal(usual_set(2));
    EXPECT_EQ(verify(chain.message, usual_zone(2)).result(), "pass") << tag;
  }
}

TEST(Arc, EverySealIsVerified) {  // RFC 8617 5.2 step 6
  for (const auto& [tag, value, reason] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"a", "rsa-sha1", "its algorithm is unknown"},
           {"b", "c2lnbmVk", "does not fit"},
           {"d", "nowhere.example", "there is no key in DNS"},
           {"h", "from", "it has a tag h="},
           {"t", "noon", "tag t= is no number"},
           {"cv", "pass", "does not say cv=none"},
           {"cv", "fail", "does not say cv=none"}}) {
    Chain chain;
    Set first = usual_set(1);
    arc_sealer::set(first.seal, tag, value);
    chain.seal(first);
    chain.seal(usual_set(2));
    chain.seal(usual_set(3));
    const Outcome outcome = verify(chain.message, usual_zone(3));
    expect("fail: " + reason, outcome);
    EXPECT_THAT(outcome.result(), testing::HasSubstr("of set 1")) << tag;
  }
}

TEST(Arc, UnsignedRestOfTheBodyIsShown) {  // RFC 6376 8.2
  Chain chain;
  Set one = usual_set(1);
  arc_sealer::set(one.signature, "l", "11");
  chain.seal(one);
  const std::uint64_t canonical = arc_sealer::canonical_body(chain.message.body, true).size();
  EXPECT_EQ(verify(chain.message, usual_zone(1)).verdict.unsigned_octets, canonical - 11);
  chain.message.body += "added\r\n";
  EXPECT_EQ(verify(chain.message, usual_zone(1)).result(), "pass");
  chain.message.body = "Goodbye" + chain.message.body;
  expect("fail: the body was changed", verify(chain.message, usual_zone(1)));
  EXPECT_EQ(verify(sealed(1), usual_zone(1)).verdict.unsigned_octets, 0U);
}

// ---- ARC-Authentication-Results ----------------------------------------------------------------

struct ResultsCase {
  const char* body;
  const char* result;
  const char* results;
};

TEST(Arc, InstanceOfTheResults) {  // RFC 8617 3.9, 4.1.1
  const std::vector<ResultsCase> cases = {
      {" i=1; mx.example; spf=pass", "pass", "mx.example; spf=pass"},
      {"i=1;mx.example", "pass", "mx.example"},
      {" i=1;", "pass", ""},
      {" i=1; spf=\xc3\xa4;;;=(", "pass", "spf=\xc3\xa4;;;=("},  // 3.4: not ours to judge
      {" i=01; mx", "pass", "mx"},
      {" i = 1 ; mx", "pass", "mx"},
      {"\r\n\ti\r\n =\r\n 1\r\n ;\r\n mx\r\n x", "pass", "mx x"},
      {" (a) i (b) = (c) 1 (d;) ; mx", "pass", "mx"},
      {" mx.example; i=1; spf=pass", "fail: has no instance", ""},
      {" spf=pass", "fail: has no instance", ""},
      {"", "fail: has no instance", ""},
      {" i=; mx", "fail: has no instance", ""},
      {" i=0; mx", "fail: has no instance", ""},
      {" i=001; mx", "fail: has no instance", ""},
      {" i=-1; mx", "fail: has no instance", ""},
      {" i=one; mx", "fail: has no instance", ""},
      {" I=1; mx", "fail: has no instance", ""},
      {" i=1 mx; spf=pass", "fail: has no instance", ""},
      {" i=1", "fail: has no instance", ""},
      {" i:1; mx", "fail: has no instance", ""},
      {" (i=1; mx", "fail: has no instance", ""},
      {" i=2; mx", "fail: set 1 has no ARC-Authentication-Results", ""},
      {" i=51; mx", "fail: there are more than 50 sets", ""},
  };
  for (const ResultsCase& one : cases) {
    SCOPED_TRACE(one.body);
    Chain chain;
    Set made = usual_set(1);
    made.results = one.body;
    chain.seal(made);
    const Outcome outcome = verify(chain.message, usual_zone(1));
    expect(one.result, outcome);
    if (outcome.result() == "pass") {
      EXPECT_EQ(outcome.verdict.sets[0].results, one.results);
    } else {
      EXPECT_TRUE(outcome.questions.empty());
    }
  }
}

// ---- what happens to a chain on the way --------------------------------------------------------

struct TamperCase {
  const char* name;
  const char* section;
  int sets;
  std::function<void(Message&)> change;
  const char* result;
};

void PrintTo(const TamperCase& one, std::ostream* out) { *out << one.section << " " << one.name; }

class ArcTamper : public testing::TestWithParam<TamperCase> {};

TEST_P(ArcTamper, Verdict) {
  const TamperCase& one = GetParam();
  Message message = sealed(one.sets);
  one.change(message);
  expect(one.result, verify(message, usual_zone(one.sets)));
}

constexpr const char* kResults = "ARC-Authentication-Results";
constexpr const char* kMessageSignature = "ARC-Message-Signature";
constexpr const char* kArcSeal = "ARC-Seal";

void again(Message& message, const char* name, std::size_t n) {
  message.header = std::string(field(message, name, n)) + message.header;
}

const std::vector<TamperCase> kTamperCases = {
    {"nothing", "5.2 step 7", 3, [](Message&) {}, "pass"},
    // The message.
    {"body", "5.2 step 4", 2, [](Message& m) { replace(m.body, "Hello", "Hullo"); },
     "fail: the body was changed behind the ARC-Message-Signature of set 2"},
    {"more body", "5.2 step 4", 1, [](Message& m) { m.body += "x"; }, "fail: the body was changed"},
    {"less body", "5.2 step 4", 1, [](Message& m) { m.body.clear(); },
     "fail: the body was changed"},
    {"blanks in the body", "RFC 6376 3.4.4", 1,
     [](Message& m) { replace(m.body, " two \t", " two"); }, "pass"},
    {"signed field", "5.2 step 4", 2,
     [](Message& m) { replace(m.header, "An  order", "No order"); },
     "fail: the ARC-Message-Signature of set 2 does not fit"},
    {"signed field gone", "5.2 step 4", 1, [](Message& m) { remove(m, "Subject"); },
     "fail: the ARC-Message-Signature of set 1 does not fit"},
    {"unsigned field", "5.2 step 4", 1, [](Message& m) { replace(m.header, "yes", "no"); }, "pass"},
    {"field on top", "5.2 step 4", 2, [](Message& m) { m.header = "Received: x\r\n" + m.header; },
     "pass"},
    {"second To at the end", "RFC 6376 5.4.2", 1, [](Message& m) { m.header += "To: x@y\r\n"; },
     "fail: does not fit"},
    {"second To on top", "RFC 6376 5.4.2", 1,
     [](Message& m) { m.header = "To: x@y\r\n" + m.header; }, "pass"},
    // The sets.
    {"results of the newest", "5.2 step 6", 2,
     [](Message& m) { replace(m.header, "mx.sealer2.example;", "mx.sealer3.example;"); },
     "fail: the ARC-Seal of set 2 does not fit"},
    {"results of the oldest", "5.2 step 6", 3,
     [](Message& m) { replace(m.header, "mx.sealer1.example;", "mx.sealer3.example;"); },
     "fail: the ARC-Seal of set 3 does not fit"},
    {"newest signature", "5.2 step 4", 2,
     [](Message& m) { replace(m.header, "t=1769860800", "t=1769860799"); },
     "fail: the ARC-Message-Signature of set 2 does not fit"},
    {"oldest signature", "5.2 step 6", 2,
     [](Message& m) {
       const std::string raw(field(m, kMessageSignature, 2));
       std::string changed = raw;
       replace(changed, "t=1769860800", "t=1769860799");
       replace(m.header, raw, changed);
     },
     "fail: the ARC-Seal of set 2 does not fit"},
    {"newest seal", "5.2 step 6", 2,
     [](Message& m) { replace(m.header, "t=1769860801", "t=1769860802"); },
     "fail: the ARC-Seal of set 2 does not fit"},
    {"oldest seal", "5.2 step 6", 2,
     [](Message& m) {
       const std::string raw(field(m, kArcSeal, 2));
       std::string changed = raw;
       replace(changed, "t=1769860801", "t=1769860802");
       replace(m.header, raw, changed);
     },
     "fail: the ARC-Seal of set 2 does not fit"},
    {"selector of the newest seal", "5.2 step 6", 1,
     [](Message& m) { replace(m.header, "s=s1; b=", "s=s2; b="); }, "fail: no key in DNS"},
    {"seals swapped", "5.2 step 6", 2,
     [](Message& m) {
       const std::string second(field(m, kArcSeal, 1));
       const std::string first(field(m, kArcSeal, 2));
       std::string changed = first;
       replace(changed, "i=1", "i=2");
       replace(changed, "cv=none", "cv=pass");
       replace(m.header, second, changed);
     },
     "fail: the ARC-Seal of set 2 does not fit"},
    // Canonical forms of the seal's input: always relaxed.
    {"results folded anew", "4.1.3", 2,
     [](Message& m) { replace(m.header, ";\r\n\tspf=pass", "; \r\n   spf=pass"); }, "pass"},
    {"blanks at the end of an older seal", "4.1.3", 2,
     [](Message& m) {
       const std::string raw(field(m, kArcSeal, 2));
       replace(m.header, raw, raw.substr(0, raw.size() - 2) + " \t\r\n");
     },
     "pass"},
    {"seal's own b= folded anew", "RFC 6376 3.7", 1,
     [](Message& m) { replace(m.header, "\r\n\t ", "\r\n      "); }, "pass"},
    {"names in another case", "4.1.3", 2,
     [](Message& m) {
       replace(m.header, "ARC-Seal:", "arc-seal:");
       replace(m.header, "ARC-Message-Signature:", "Arc-message-signature:");
       replace(m.header, "ARC-Authentication-Results:", "ARC-AUTHENTICATION-RESULTS:");
     },
     "pass"},
    {"blanks before the colon", "RFC 6376 3.4.2", 1,
     [](Message& m) { replace(m.header, "ARC-Seal:", "ARC-Seal  :"); }, "pass"},
    // Order in the header means nothing, the instance does.
    {"sets at the end", "4.2.1", 3,
     [](Message& m) {
       for (std::size_t n = 1; n <= 3; ++n) {
         for (const char* name : {kResults, kArcSeal, kMessageSignature}) {
           const std::string raw(field(m, name));
           remove(m, name);
           m.header += raw;
         }
       }
     },
     "pass"},
    {"sets in reverse order", "4.2.1", 3,
     [](Message& m) {
       for (std::size_t n = 2; n <= 3; ++n) {
         for (const char* name : {kResults, kArcSeal, kMessageSignature}) {
           const std::string raw(field(m, name, n));
           remove(m, name, n);
           m.header = raw + m.header;
         }
       }
     },
     "pass"},
    {"other fields between", "4.2.1", 2,
     [](Message& m) {
       const std::string raw(field(m, kMessageSignature));
       replace(m.header, raw, "Received: a\r\n" + raw + "Received: b\r\n");
     },
     "pass"},
    // Fields that are missing or stand twice.
    {"newest set gone", "5.2", 3, [](Message& m) { remove_set(m, 1); }, "pass"},
    {"all sets gone", "5.2 step 1", 1, [](Message& m) { remove_set(m, 1); }, "none"},
    {"middle set gone", "5.2 step 3B", 3, [](Message& m) { remove_set(m, 2); },
     "fail: set 2 has no ARC-Authentication-Results"},
    {"oldest set gone", "5.2 step 3B", 2, [](Message& m) { remove_set(m, 2); },
     "fail: set 1 has no ARC-Authentication-Results"},
    {"only the seal", "5.2 step 3A", 1,
     [](Message& m) {
       remove(m, kResults);
       remove(m, kMessageSignature);
     },
     "fail: set 1 has no ARC-Authentication-Results"},
    {"only the results", "5.2 step 3A", 1,
     [](Message& m) {
       remove(m, kArcSeal);
       remove(m, kMessageSignature);
     },
     "fail: set 1 has no ARC-Message-Signature"},
    {"no results in the newest", "5.2 step 3A", 2, [](Message& m) { remove(m, kResults); },
     "fail: set 2 has no ARC-Authentication-Results"},
    {"no signature in the newest", "5.2 step 3A", 2,
     [](Message& m) { remove(m, kMessageSignature); }, "fail: set 2 has no ARC-Message-Signature"},
    {"no seal in the newest", "5.2 step 3A", 2, [](Message& m) { remove(m, kArcSeal); },
     "fail: set 2 has no ARC-Seal"},
    {"no results in the oldest", "5.2 step 3A", 2, [](Message& m) { remove(m, kResults, 2); },
     "fail: set 1 has no ARC-Authentication-Results"},
    {"no signature in the oldest", "5.2 step 3A", 2,
     [](Message& m) { remove(m, kMessageSignature, 2); },
     "fail: set 1 has no ARC-Message-Signature"},
    {"no seal in the oldest", "5.2 step 3A", 2, [](Message& m) { remove(m, kArcSeal, 2); },
     "fail: set 1 has no ARC-Seal"},
    {"results twice", "4.2.1", 1, [](Message& m) { again(m, kResults, 1); },
     "fail: set 1 has two ARC-Authentication-Results"},
    {"signature twice", "4.2.1", 2, [](Message& m) { again(m, kMessageSignature, 1); },
     "fail: set 2 has two ARC-Message-Signature"},
    {"older seal twice", "4.2.1", 2, [](Message& m) { again(m, kArcSeal, 2); },
     "fail: set 1 has two ARC-Seal"},
    {"a whole set twice", "5.2 step 3B", 1,
     [](Message& m) {
       again(m, kResults, 1);
       again(m, kMessageSignature, 1);
       again(m, kArcSeal, 1);
     },
     "fail: set 1 has two"},
    {"a field without instance", "4.2.1", 1,
     [](Message& m) { m.header = "ARC-Seal: a=rsa-sha256; cv=none\r\n" + m.header; },
     "fail: an ARC-Seal has no instance"},
    {"an empty field", "4.1.2", 1,
     [](Message& m) { m.header = "ARC-Message-Signature:\r\n" + m.header; },
     "fail: an ARC-Message-Signature is malformed"},
    {"broken, but marked so", "5.2 step 2", 2,
     [](Message& m) {
       remove(m, kResults, 2);
       replace(m.header, "cv=pass", "cv=fail");
     },
     "fail: found the chain broken (cv=fail in set 2)"},
};
INSTANTIATE_TEST_SUITE_P(Rfc8617, ArcTamper, testing::ValuesIn(kTamperCases));

TEST(Arc, OversignedFromKeepsASecondAuthorOut) {  // RFC 6376 8.15
  Chain chain;
  Set one = usual_set(1);
  arc_sealer::set(one.signature, "h", "from:from:subject");
  chain.seal(one);
  EXPECT_EQ(verify(chain.message, usual_zone(1)).result(), "pass");
  chain.message.header = "From: other@other.example\r\n" + chain.message.header;
  expect("fail: does not fit", verify(chain.message, usual_zone(1)));
}

TEST(Arc, AMarkedFailureIsNotMended) {  // RFC 8617 5.1.3
  Chain chain;
  chain.seal(usual_set(1));
  Set marked = usual_set(2);
  arc_sealer::set(marked.seal, "cv", "fail");
  chain.seal(marked);
  expect("fail: cv=fail in set 2", verify(chain.message, usual_zone(2)));
  chain.seal(usual_set(3));
  expect("fail: the seal of set 2 does not say cv=pass", verify(chain.message, usual_zone(3)));
}

TEST(Arc, NoOctetOfAChainCanBeChanged) {  // RFC 8617 5.1.1
  const Message message = sealed(2, Algorithm::kEd25519Sha256);
  const Zone zone = usual_zone(2, Algorithm::kEd25519Sha256);
  const std::size_t end = message.header.find("From:");
  int changed = 0;
  for (std::size_t at = 0; at < end; ++at) {
    Message other = message;
    other.header[at] = static_cast<char>(other.header[at] ^ 0x02);
    if (!mail::Headers::scan(other.header, 100).ok()) continue;
    ++changed;
    EXPECT_NE(verify(other, zone).result(), "pass") << other.header.substr(0, at + 1);
  }
  EXPECT_GT(changed, 1000);
}

// ---- keys --------------------------------------------------------------------------------------

TEST(Arc, AnswersOfDns) {  // RFC 8617 5.2.1: a failure for good; ours says when it may pass later
  struct Case {
    const char* name;
    std::function<void(Zone&)> change;
    const char* result;
    bool temporary;
  };
  const auto status = [](dns::Status is) {
    dns::Answer answer;
    answer.status = is;
    return answer;
  };
  const std::vector<Case> cases = {
      {"NXDOMAIN", [&](Zone& z) { z[key_name(1)] = status(dns::Status::kNxDomain); },
       "fail: the ARC-Seal of set 1 has no usable key: there is no key in DNS", false},
      {"no data", [&](Zone& z) { z[key_name(3)] = status(dns::Status::kNoData); },
       "fail: the ARC-Message-Signature of set 3 has no usable key", false},
      {"SERVFAIL", [&](Zone& z) { z[key_name(2)] = status(dns::Status::kServFail); },
       "fail: DNS did not answer for the key of the ARC-Seal of set 2", true},
      {"timeout", [&](Zone& z) { z[key_name(3)] = status(dns::Status::kTimeout); },
       "fail: DNS did not answer for the key of the ARC-Message-Signature of set 3", true},
      {"SERVFAIL and NXDOMAIN",
       [&](Zone& z) {
         z[key_name(3)] = status(dns::Status::kServFail);
         z[key_name(1)] = status(dns::Status::kNxDomain);
       },
       "fail: the ARC-Seal of set 1 has no usable key", false},
      {"another key",
       [&](Zone& z) {
         z[key_name(2)] = txt((*dkim::SigningKey::generate(Algorithm::kRsaSha256))->dns_record());
       },
       "fail: the ARC-Seal of set 2 does not fit", false},
      {"revoked", [&](Zone& z) { z[key_name(1)] = txt("v=DKIM1; p="); },
       "fail: the ARC-Seal of set 1 has no usable key: the key was revoked", false},
      {"another record beside",
       [&](Zone& z) {
         z[key_name(1)].records.insert(z[key_name(1)].records.begin(), "v=spf1 -all");
       },
       "pass", false},
      {"two keys", [&](Zone& z) { z[key_name(1)].records.push_back(z[key_name(1)].records[0]); },
       "fail: there are several keys in DNS", false},
  };
  const Message message = sealed(3);
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Zone zone = usual_zone(3);
    one.change(zone);
    const Outcome outcome = verify(message, zone);
    expect(one.result, outcome);
    EXPECT_EQ(outcome.verdict.temporary, one.temporary);
    EXPECT_EQ(outcome.verdict.sets.size(), 3U);
  }
  // What can never pass is not temporary.
  Zone zone = usual_zone(3);
  zone[key_name(3)] = status(dns::Status::kServFail);
  Message changed = message;
  changed.body += "x";
  EXPECT_FALSE(verify(changed, zone).verdict.temporary);
  changed = message;
  replace(changed.header, "mx.sealer1", "mx.sealer9");
  EXPECT_FALSE(verify(changed, zone).verdict.temporary);
}

TEST(Arc, AnAnswerThatWasNotGivenIsTemporary) {
  const Message message = sealed(1);
  const auto headers = mail::Headers::scan(message.header, 100);
  dkim::ArcVerifier verifier{base::Limits()};
  EXPECT_EQ(verifier.headers(*headers).size(), 1U);
  verifier.body(message.body);
  const auto verdict = verifier.finish({});
  EXPECT_EQ(verdict.result, ArcResult::kFail);
  EXPECT_TRUE(verdict.temporary);
}

TEST(Arc, KeysOnTrialAreShown) {  // RFC 6376 3.6.1 t=y
  Zone zone = usual_zone(2);
  EXPECT_FALSE(verify(sealed(2), zone).verdict.testing);
  zone[key_name(1)].records[0] += "; t=y:s";
  const Outcome outcome = verify(sealed(2), zone);
  EXPECT_EQ(outcome.result(), "pass");
  EXPECT_TRUE(outcome.verdict.testing);
}

TEST(Arc, HostileHeadersCostLittle) {
  // Names by the thousand in h=, and as many fields: work must not be their product.
  Message message;
  for (int i = 0; i < 2000; ++i) message.header += "X-" + std::to_string(i) + ": x\r\n";
  std::string names = "from";
  for (int i = 0; i < 40000; ++i) names += ":x-1";
  Set one = usual_set(1);
  arc_sealer::set(one.signature, "h", names);
  arc_sealer::set(one.signature, "b", "c2lnbmVk");
  Chain chain(message);
  chain.seal(one);
  const std::clock_t start = std::clock();
  expect("fail: does not fit", verify(chain.message, usual_zone(1)));
  EXPECT_LT(std::clock() - start, CLOCKS_PER_SEC);
}

}  // namespace
