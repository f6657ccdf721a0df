// DKIM verification by the RFCs: one row a case, with what it shows and the section it is read
// from. Sections without a number in front are those of RFC 6376.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/mail/headers.h"
#include "dkim/verifier.h"
#include "support/dkim_test_signer.h"

namespace {

using dkim::Result;
using dkim_test::Key;

const Key& rsa() {
  static const Key key = Key::rsa(2048);
  return key;
}
const Key& ed25519() {
  static const Key key = Key::ed25519();
  return key;
}
const Key& rsa_1024() {
  static const Key key = Key::rsa(1024);
  return key;
}
const Key& rsa_768() {
  static const Key key = Key::rsa(768);
  return key;
}
const Key& rsa_4096() {
  static const Key key = Key::rsa(4096);
  return key;
}
const Key& ec() {
  static const Key key = Key::ec();
  return key;
}

const std::string kHeader =
    "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello  there\r\n";
const std::string kBody = "First line\r\nSecond  line \r\n";
constexpr const char* kKeyName = "s1._domainkey.example.com";

// The tags of an ordinary signature. `with` sets some, `without` takes some out.
using Tags = std::vector<std::pair<std::string, std::string>>;

Tags ordinary() {
  return {{"v", "1"},           {"a", "rsa-sha256"}, {"c", "relaxed/relaxed"},
          {"d", "example.com"}, {"s", "s1"},         {"h", "From:To:Subject"},
          {"bh", "$BH"},        {"b", "$B"}};
}

std::string joined(const Tags& tags) {
  std::string text;
  for (const auto& [name, value] : tags) {
    text.append(text.empty() ? " " : "; ").append(name).append("=").append(value);
  }
  return text;
}

std::string with(const Tags& changes) {
  Tags tags = ordinary();
  for (const auto& change : changes) {
    const auto at = std::find_if(tags.begin(), tags.end(),
                                 [&](const auto& tag) { return tag.first == change.first; });
    if (at == tags.end()) {
      tags.insert(tags.end() - 2, change);
    } else {
      at->second = change.second;
    }
  }
  return joined(tags);
}

std::string without(const std::string& name) {
  Tags tags = ordinary();
  std::erase_if(tags, [&](const auto& tag) { return tag.first == name; });
  return joined(tags);
}

std::string in_seconds(std::int64_t s) { return std::to_string(std::time(nullptr) + s); }

struct Case {
  std::string shows;
  std::string section;
  std::string tags = joined(ordinary());
  std::string header = kHeader;  // what is signed
  std::string body = kBody;
  // What arrives, where it differs; `$S` is where the signature stands, at the start by default.
  std::optional<std::string> sent_header = std::nullopt;
  std::optional<std::string> sent_body = std::nullopt;
  const Key& key = rsa();
  const EVP_MD* method = EVP_sha256();
  std::optional<std::vector<std::string>> names = std::nullopt;
  std::optional<bool> relaxed_header = std::nullopt;
  // In the field once it is signed: what, by what.
  std::pair<std::string, std::string> forge = {};
  dns::Status status = dns::Status::kOk;
  std::optional<std::vector<std::string>> records = std::nullopt;  // default: that of `key`
  std::string key_name = kKeyName;
  Result expected = Result::kPass;
  std::string reason = "";  // part of it
  std::uint64_t unsigned_octets = 0;
  bool testing = false;
};

std::shared_ptr<dkim::Library> library() {
  static const std::shared_ptr<dkim::Library> one = *dkim::Library::open();
  return one;
}

std::vector<dkim::SignatureVerdict> verify(const std::string& header, const std::string& body,
                                           const dns::Answers& answers) {
  dkim::Verifier verifier(library(), base::Limits());
  {
    const auto copy = std::make_unique<std::string>(header);  // gone before the body comes
    const auto scanned = mail::Headers::scan(*copy, 5000);
    EXPECT_TRUE(scanned.ok()) << (scanned.ok() ? "" : scanned.message()) << "\n" << header;
    if (!scanned.ok()) return {};
    verifier.headers(*scanned);
  }
  for (const char& octet : body) verifier.body({&octet, 1});
  return verifier.finish(answers);
}

void run(const std::vector<Case>& cases) {
  for (const Case& row : cases) {
    SCOPED_TRACE(row.section + ": " + row.shows);
    dkim_test::Signing signing{.key = row.key, .tags = row.tags};
    signing.method = row.method;
    signing.names = row.names;
    signing.relaxed_header = row.relaxed_header;
    std::string field = dkim_test::sign(signing, row.header, row.body);
    if (!row.forge.first.empty()) {
      ASSERT_NE(field.find(row.forge.first), std::string::npos);
      field = dkim_test::replaced(field, row.forge.first, row.forge.second);
    }
    std::string header = row.sent_header.value_or(row.header);
    if (header.find("$S") == std::string::npos) header.insert(0, "$S");
    header = dkim_test::replaced(header, "$S", field);
    dns::Answers answers;
    const auto records = row.records.value_or(std::vector<std::string>{row.key.record()});
    answers.put({row.key_name, dns::Type::kTxt}, {row.status, records, false});
    const auto verdicts = verify(header, row.sent_body.value_or(row.body), answers);
    ASSERT_FALSE(verdicts.empty());
    const auto verdict = std::find_if(verdicts.begin(), verdicts.end(), [&](const auto& one) {
      return field.find(one.signature_start.substr(0, 4)) != std::string::npos;
    });
    ASSERT_NE(verdict, verdicts.end());
    EXPECT_EQ(dkim::name(verdict->result), dkim::name(row.expected)) << verdict->reason << "\n"
                                                                     << header;
    EXPECT_NE(verdict->reason.find(row.reason), std::string::npos) << verdict->reason;
    EXPECT_TRUE(row.expected == Result::kPass || !verdict->reason.empty());
    EXPECT_EQ(verdict->unsigned_octets, row.unsigned_octets);
    EXPECT_EQ(verdict->testing, row.testing);
  }
  testing::Test::RecordProperty("cases", static_cast<int>(cases.size()));
}

constexpr auto kNeutral = Result::kNeutral;
constexpr auto kFail = Result::kFail;
constexpr auto kPermError = Result::kPermError;
constexpr auto kTempError = Result::kTempError;
constexpr auto kPolicy = Result::kPolicy;

TEST(DkimTable, TagLists) {
  const std::string ordinary_tags = joined(ordinary());
  std::string many = ordinary_tags;
  for (int i = 0; i < 60; ++i) many += "; x" + std::to_string(i) + "=1";
  run({
      {.shows = "an ordinary signature", .section = "3.5"},
      {.shows = "a semicolon may stand at the end", .section = "3.2", .tags = ordinary_tags + ";"},
      {.shows = "a semicolon, then folding", .section = "3.2", .tags = ordinary_tags + "; \r\n\t"},
      {.shows = "white space around names and values",
       .section = "3.2",
       .tags = " v\t= 1 ; a =\r\n\trsa-sha256\r\n ;c= relaxed/relaxed;d =example.com ;\r\n s=s1 ; "
               "h= From:To:Subject ; bh = $BH ;b= $B "},
      {.shows = "white space before the = of b",
       .section = "3.2",
       .tags = dkim_test::replaced(ordinary_tags, "b=$B", "b\r\n = $B")},
      {.shows = "simple: white space around b is deleted with its value",
       .section = "3.5 b=",
       .tags = dkim_test::replaced(with({{"c", "simple"}}), "b=$B", "b=  $B \r\n ") + "; t=1"},
      {.shows = "the order of tags says nothing",
       .section = "3.2",
       .tags = " b=$B; bh=$BH; h=From; s=s1; d=example.com; c=relaxed/simple; a=rsa-sha256; v=1"},
      {.shows = "unknown tags are ignored", .section = "3.2", .tags = with({{"foo", "bar"}})},
      {.shows = "an unknown tag may be empty", .section = "3.2", .tags = with({{"zz", ""}})},
      {.shows = "an unknown tag whose name ends in b is signed like all others",
       .section = "3.5 b=",
       .tags = with({{"xb", "yes"}})},
      {.shows = "and cannot be changed",
       .section = "3.5 b=",
       .tags = with({{"xb", "yes"}}),
       .forge = {"xb=yes", "xb=no"},
       .expected = kFail},
      {.shows = "names of tags are case-sensitive: D is unknown",
       .section = "3.2",
       .tags = with({{"D", "evil.example"}, {"BH", "AAAA"}, {"H", "From"}, {"L", "0"}})},
      {.shows = "names of tags are case-sensitive: no v",
       .section = "3.2",
       .tags = dkim_test::replaced(ordinary_tags, " v=1", " V=1"),
       .expected = kNeutral},
      {.shows = "a tag twice",
       .section = "3.2",
       .tags = ordinary_tags + "; s=s1",
       .expected = kNeutral,
       .reason = "twice"},
      {.shows = "an unknown tag twice",
       .section = "3.2",
       .tags = with({{"foo", "1"}}) + "; foo=2",
       .expected = kNeutral},
      {.shows = "an empty tag between others",
       .section = "3.2",
       .tags = dkim_test::replaced(ordinary_tags, "; d=", ";; d="),
       .expected = kNeutral},
      {.shows = "two semicolons at the end",
       .section = "3.2",
       .tags = ordinary_tags + ";;",
       .expected = kNeutral},
      {.shows = "a tag without =",
       .section = "3.2",
       .tags = ordinary_tags + "; flag",
       .expected = kNeutral},
      {.shows = "a name starts with a letter",
       .section = "3.2",
       .tags = with({{"1a", "x"}}),
       .expected = kNeutral},
      {.shows = "a name has no hyphen",
       .section = "3.2",
       .tags = with({{"a-b", "x"}}),
       .expected = kNeutral},
      {.shows = "a blank inside a name",
       .section = "3.2",
       .tags = with({{"a b", "x"}}),
       .expected = kNeutral},
      {.shows = "a control character in a value",
       .section = "3.2",
       .tags = with({{"foo", "a\x01z"}}),
       .expected = kNeutral},
      {.shows = "neither ASCII nor UTF-8",
       .section = "RFC 8616 5",
       .tags = with({{"foo", "a\xff"}}),
       .expected = kNeutral},
      {.shows = "more tags than any signature has",
       .section = "6.1.1",
       .tags = many,
       .expected = kNeutral},
  });
}

TEST(DkimTable, VersionAlgorithmAndOctets) {
  run({
      {.shows = "no v", .section = "6.1.1", .tags = without("v"), .expected = kNeutral},
      {.shows = "another version",
       .section = "6.1.1",
       .tags = with({{"v", "2"}}),
       .expected = kNeutral,
       .reason = "version"},
      {.shows = "versions are compared as text",
       .section = "3.5 v=",
       .tags = with({{"v", "1.0"}}),
       .expected = kNeutral},
      {.shows = "no a", .section = "6.1.1", .tags = without("a"), .expected = kNeutral},
      {.shows = "an unknown algorithm",
       .section = "3.3",
       .tags = with({{"a", "rsa-md5"}}),
       .expected = kNeutral,
       .reason = "algorithm"},
      {.shows = "a hash that Ed25519 is not used with",
       .section = "RFC 8463 3",
       .tags = with({{"a", "ed25519-sha1"}}),
       .key = ed25519(),
       .expected = kNeutral},
      {.shows = "a blank inside an algorithm",
       .section = "3.5 a=",
       .tags = with({{"a", "rsa- sha256"}}),
       .expected = kNeutral},
      {.shows = "the grammar's words are not case-sensitive (RFC 5234 2.3)",
       .section = "3.5 a=, c=",
       .tags = with({{"a", "RSA-SHA256"}, {"c", "Relaxed/RELAXED"}})},
      {.shows = "rsa-sha1 is not valid any more, however good",
       .section = "RFC 8301 3.1",
       .tags = with({{"a", "rsa-sha1"}}),
       .method = EVP_sha1(),
       .expected = kPolicy,
       .reason = "rsa-sha1"},
      {.shows = "Ed25519",
       .section = "RFC 8463 3",
       .tags = with({{"a", "ed25519-sha256"}}),
       .key = ed25519()},
      {.shows = "Ed25519 with simple forms",
       .section = "RFC 8463 3",
       .tags = with({{"a", "ed25519-sha256"}, {"c", "simple/simple"}}),
       .key = ed25519()},
      {.shows = "no b", .section = "6.1.1", .tags = without("b"), .expected = kNeutral},
      {.shows = "an empty b", .section = "6.1.1", .tags = with({{"b", ""}}), .expected = kNeutral},
      {.shows = "b is no base64",
       .section = "3.5 b=",
       .tags = with({{"b", "@@@@"}}),
       .expected = kNeutral},
      {.shows = "another b",
       .section = "6.1.3",
       .tags = with({{"b", "QUJDRA=="}}),
       .expected = kFail,
       .reason = "signature"},
      {.shows = "b folded and blanked", .section = "2.10", .forge = {"; b=", "; b=\r\n\t "}},
      {.shows = "no bh", .section = "6.1.1", .tags = without("bh"), .expected = kNeutral},
      {.shows = "an empty bh",
       .section = "6.1.1",
       .tags = with({{"bh", ""}}),
       .expected = kNeutral},
      {.shows = "bh is no base64",
       .section = "3.5 bh=",
       .tags = with({{"bh", "a*b"}}),
       .expected = kNeutral},
      {.shows = "a bh of another length",
       .section = "6.1.3",
       .tags = with({{"bh", "YWJj"}}),
       .expected = kFail,
       .reason = "body"},
      {.shows = "a bh with blanks inside",
       .section = "2.10",
       .tags = with(
           {{"c", "relaxed/simple"}, {"bh", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/\r\n\tXKdLCPjaYaY="}}),
       .body = ""},
      {.shows = "a bh without its padding",
       .section = "2.10",
       .tags =
           with({{"c", "relaxed/simple"}, {"bh", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY"}}),
       .body = ""},
  });
}

TEST(DkimTable, Domains) {
  const std::string label(63, 'a');
  run({
      {.shows = "no d", .section = "6.1.1", .tags = without("d"), .expected = kNeutral},
      {.shows = "an empty d", .section = "6.1.1", .tags = with({{"d", ""}}), .expected = kNeutral},
      {.shows = "a domain of one label",
       .section = "3.5 d=",
       .tags = with({{"d", "localhost"}}),
       .expected = kNeutral},
      {.shows = "a dot at the end",
       .section = "3.5 d=",
       .tags = with({{"d", "example.com."}}),
       .expected = kNeutral},
      {.shows = "an empty label",
       .section = "3.5 d=",
       .tags = with({{"d", "example..com"}}),
       .expected = kNeutral},
      {.shows = "a blank in the domain",
       .section = "3.5 d=",
       .tags = with({{"d", "exam ple.com"}}),
       .expected = kNeutral},
      {.shows = "a hyphen at the start of a label",
       .section = "3.5 d=",
       .tags = with({{"d", "-a.example.com"}}),
       .expected = kNeutral},
      {.shows = "an address literal",
       .section = "3.5 d=",
       .tags = with({{"d", "[192.0.2.1]"}}),
       .expected = kNeutral},
      {.shows = "a label of 64 letters",
       .section = "3.5 d=",
       .tags = with({{"d", label + "a.example.com"}}),
       .expected = kNeutral},
      {.shows = "too long for a name in DNS",
       .section = "3.6.2.1",
       .tags = with({{"d", label + "." + label + "." + label + ".example.com"}, {"s", label}}),
       .expected = kNeutral},
      {.shows = "case says nothing in domains",
       .section = "3.5 d=",
       .tags = with({{"d", "EXAMPLE.com"}})},
      {.shows = "an A-label",
       .section = "3.5 d=",
       .tags = with({{"d", "xn--bcher-kva.example"}}),
       .key_name = "s1._domainkey.xn--bcher-kva.example"},
      {.shows = "a U-label",
       .section = "RFC 8616 5",
       .tags = with({{"d", "b\u00fccher.example"}}),
       .key_name = "s1._domainkey.xn--bcher-kva.example"},
      {.shows = "a U-label in i= and its A-label in d=",
       .section = "RFC 8616 5",
       .tags = with({{"d", "xn--bcher-kva.example"}, {"i", "\u00fc@b\u00fccher.example"}}),
       .key_name = "s1._domainkey.xn--bcher-kva.example"},
      {.shows = "no s", .section = "6.1.1", .tags = without("s"), .expected = kNeutral},
      {.shows = "an empty s", .section = "6.1.1", .tags = with({{"s", ""}}), .expected = kNeutral},
      {.shows = "a blank in the selector",
       .section = "3.5 s=",
       .tags = with({{"s", "s 1"}}),
       .expected = kNeutral},
      {.shows = "a selector with a slash",
       .section = "3.5 s=",
       .tags = with({{"s", "s/1"}}),
       .expected = kNeutral},
      {.shows = "a selector of several labels",
       .section = "3.1",
       .tags = with({{"s", "March2026.Hamburg"}}),
       .key_name = "march2026.hamburg._domainkey.example.com"},
      {.shows = "an underscore, as real hosts have it",
       .section = "3.5 s=",
       .tags = with({{"s", "mail_1"}}),
       .key_name = "mail_1._domainkey.example.com"},
      {.shows = "the identity is that of the domain",
       .section = "3.5 i=",
       .tags = with({{"i", "@example.com"}})},
      {.shows = "an identity with a local part",
       .section = "3.5 i=",
       .tags = with({{"i", "ann@Example.COM"}})},
      {.shows = "an identity in a subdomain",
       .section = "3.5 i=",
       .tags = with({{"i", "ann@a.b.example.com"}})},
      {.shows = "an identity outside the domain",
       .section = "6.1.1",
       .tags = with({{"i", "@example.org"}}),
       .expected = kNeutral,
       .reason = "outside"},
      {.shows = "an identity that only ends alike",
       .section = "6.1.1",
       .tags = with({{"i", "@notexample.com"}}),
       .expected = kNeutral},
      {.shows = "an identity above the domain",
       .section = "6.1.1",
       .tags = with({{"d", "mail.example.com"}, {"i", "@example.com"}}),
       .expected = kNeutral},
      {.shows = "an identity without @",
       .section = "3.5 i=",
       .tags = with({{"i", "example.com"}}),
       .expected = kNeutral},
      {.shows = "an empty identity",
       .section = "3.5 i=",
       .tags = with({{"i", ""}}),
       .expected = kNeutral},
      {.shows = "an identity in quoted-printable",
       .section = "2.11",
       .tags = with({{"i", "ann=3Dbob=3Bx@example=2Ecom"}}),
       .expected = kNeutral,  // `;` needs quotes in a local part
       .reason = "identity"},
      {.shows = "an = in the local part, encoded",
       .section = "2.11",
       .tags = with({{"i", "ann=3Dbob@example.com"}})},
      {.shows = "white space in quoted-printable says nothing",
       .section = "2.11",
       .tags = with({{"i", "ann\r\n @example.com"}})},
      {.shows = "broken quoted-printable",
       .section = "2.11",
       .tags = with({{"i", "ann=3@example.com"}}),
       .expected = kNeutral},
      {.shows = "an @ in a quoted local part",
       .section = "3.5 i=",
       .tags = with({{"i", "\"a@example.org\"@example.com"}})},
      {.shows = "two dots in the local part",
       .section = "3.5 i=",
       .tags = with({{"i", "a..b@example.com"}}),
       .expected = kNeutral},
  });
}

TEST(DkimTable, SignedFields) {
  std::string names = "From";
  for (int i = 0; i < 700; ++i) names += ":X-Absent" + std::to_string(i);
  run({
      {.shows = "no h", .section = "6.1.1", .tags = without("h"), .expected = kNeutral},
      {.shows = "an empty h", .section = "3.5 h=", .tags = with({{"h", ""}}), .expected = kNeutral},
      {.shows = "a colon alone",
       .section = "3.5 h=",
       .tags = with({{"h", ":"}}),
       .expected = kNeutral},
      {.shows = "a colon at the end",
       .section = "3.5 h=",
       .tags = with({{"h", "From:"}}),
       .expected = kNeutral},
      {.shows = "two colons",
       .section = "3.5 h=",
       .tags = with({{"h", "From::To"}}),
       .expected = kNeutral},
      {.shows = "a blank inside a name",
       .section = "3.5 h=",
       .tags = with({{"h", "From:Sub ject"}}),
       .expected = kNeutral},
      {.shows = "From is not signed",
       .section = "6.1.1",
       .tags = with({{"h", "To:Subject"}}),
       .expected = kNeutral,
       .reason = "From"},
      {.shows = "a name that only starts like From",
       .section = "6.1.1",
       .tags = with({{"h", "From-Where:To"}}),
       .expected = kNeutral},
      {.shows = "names without case, blanks and folding around colons",
       .section = "3.5 h=",
       .tags = with({{"h", "fROM :\r\n\tto\t: SUBJECT"}})},
      {.shows = "a field that is not there", .section = "3.5 h=", .tags = with({{"h", "From:Cc"}})},
      {.shows = "which cannot be added later",
       .section = "5.4.2",
       .tags = with({{"h", "From:Cc"}}),
       .sent_header = "$SCc: eve@example.org\r\n" + kHeader,
       .expected = kFail,
       .reason = "signature"},
      {.shows = "a field that is not signed can be added",
       .section = "5.4",
       .sent_header = "$SX-Spam: no\r\n" + kHeader + "Cc: eve@example.org\r\n"},
      {.shows = "a signed field is gone",
       .section = "6.1.3",
       .sent_header = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\n",
       .expected = kFail},
      {.shows = "a signed field was changed",
       .section = "6.1.3",
       .sent_header = dkim_test::replaced(kHeader, "Hello", "Hallo"),
       .expected = kFail},
      {.shows = "fields may change places",
       .section = "3.7",
       .sent_header =
           "Subject: Hello  there\r\n$STo: bob@example.net\r\nFrom: Ann <ann@example.com>\r\n"},
      {.shows = "the signature may stand anywhere",
       .section = "3.5",
       .sent_header = kHeader + "$S"},
      {.shows = "of several fields the lowest is signed: one on top is another's",
       .section = "5.4.2",
       .tags = with({{"h", "From:Received"}}),
       .header = "Received: one\r\n" + kHeader,
       .sent_header = "Received: two\r\n$SReceived: one\r\n" + kHeader},
      {.shows = "of several fields the lowest is signed: one below comes between",
       .section = "5.4.2",
       .tags = with({{"h", "From:Received"}}),
       .header = "Received: one\r\n" + kHeader,
       .sent_header = "$SReceived: one\r\n" + kHeader + "Received: two\r\n",
       .expected = kFail},
      {.shows = "two of three, from the bottom up",
       .section = "5.4.2",
       .tags = with({{"h", "Received:From:Received"}}),
       .header = "Received: one\r\nReceived: two\r\nReceived: three\r\n" + kHeader,
       .sent_header = "$SReceived: other\r\nReceived: two\r\nReceived: three\r\n" + kHeader},
      {.shows = "two of three in the wrong order",
       .section = "5.4.2",
       .tags = with({{"h", "Received:From:Received"}}),
       .header = "Received: two\r\nReceived: three\r\n" + kHeader,
       .sent_header = "$SReceived: three\r\nReceived: two\r\n" + kHeader,
       .expected = kFail},
      {.shows = "a second From where From was signed once",
       .section = "8.15",
       .sent_header = "From: eve@example.org\r\n$S" + kHeader},
      {.shows = "a second From where From was signed twice",
       .section = "8.15",
       .tags = with({{"h", "From:From:To"}}),
       .sent_header = "From: eve@example.org\r\n$S" + kHeader,
       .expected = kFail},
      {.shows = "every field and one more that is not there",
       .section = "5.4.2",
       .tags = with({{"h", "From:To:Subject:From:To:Subject"}})},
      {.shows = "another signature can be signed",
       .section = "3.5 h=",
       .tags = with({{"h", "From:DKIM-Signature"}}),
       .header = "DKIM-Signature: v=1; b=zzzzzzzz\r\n" + kHeader},
      {.shows = "and then not be changed",
       .section = "3.5 h=",
       .tags = with({{"h", "From:DKIM-Signature"}}),
       .header = "DKIM-Signature: v=1; b=zzzzzzzz\r\n" + kHeader,
       .sent_header = "$SDKIM-Signature: v=1; b=yyyyyyyy\r\n" + kHeader,
       .expected = kFail},
      {.shows = "the signature itself is never among the signed fields",
       .section = "3.5 h=",
       .tags = with({{"h", "From:To:Subject:DKIM-Signature:DKIM-Signature"}})},
      {.shows = "nor when it stands below the other",
       .section = "3.5 h=",
       .tags = with({{"h", "From:DKIM-Signature"}}),
       .header = "DKIM-Signature: v=1; b=zzzzzzzz\r\n" + kHeader,
       .sent_header = "DKIM-Signature: v=1; b=zzzzzzzz\r\n" + kHeader + "$S"},
      {.shows = "a long list", .section = "3.5 h=", .tags = with({{"h", names}})},
      {.shows = "a long list is read to its end",
       .section = "3.5 h=",
       .tags = with({{"h", names + ":Subject"}})},
      {.shows = "and what stands there is proven",
       .section = "3.5 h=",
       .tags = with({{"h", names + ":Subject"}}),
       .sent_header = dkim_test::replaced(kHeader, "Hello", "Hallo"),
       .expected = kFail},
      {.shows = "a message of fields only", .section = "3.4.4", .body = ""},
      {.shows = "a message without From has nothing to sign there",
       .section = "3.5 h=",
       .header = "To: bob@example.net\r\n"},
  });
}

TEST(DkimTable, BodyLength) {
  // The relaxed body has 12 + 13 octets.
  run({
      {.shows = "all of the body", .section = "3.5 l=", .tags = with({{"l", "25"}})},
      {.shows = "a part of the body",
       .section = "8.2",
       .tags = with({{"l", "12"}}),
       .reason = "13 octets",
       .unsigned_octets = 13},
      {.shows = "text that was appended",
       .section = "8.2",
       .tags = with({{"l", "25"}}),
       .sent_body = kBody + "buy this\r\n",
       .reason = "l=",
       .unsigned_octets = 10},
      {.shows = "nothing of the body",
       .section = "3.5 l=",
       .tags = with({{"l", "0"}}),
       .sent_body = "anything",
       .unsigned_octets = 10},
      {.shows = "nothing of nothing", .section = "3.5 l=", .tags = with({{"l", "0"}}), .body = ""},
      {.shows = "the simple form",
       .section = "3.4.3",
       .tags = with({{"c", "simple/simple"}, {"l", "12"}}),
       .unsigned_octets = 15},
      {.shows = "the form without an empty line at the end is what is counted",
       .section = "3.7",
       .tags = with({{"l", "25"}}),
       .sent_body = kBody + "\r\n\r\n"},
      {.shows = "an end inside a line",
       .section = "3.7",
       .tags = with({{"l", "5"}}),
       .unsigned_octets = 20},
      {.shows = "an end inside a CRLF",
       .section = "3.7",
       .tags = with({{"l", "11"}}),
       .unsigned_octets = 14},
      {.shows = "a change in the covered part",
       .section = "6.1.3",
       .tags = with({{"l", "12"}}),
       .sent_body = "First lime\r\nSecond  line \r\n",
       .expected = kFail,
       .reason = "body"},
      {.shows = "more than the body has",
       .section = "3.5 l=",
       .tags = with({{"l", "26"}}),
       .expected = kFail,
       .reason = "shorter"},
      {.shows = "a number of 76 digits",
       .section = "3.5 l=",
       .tags = with({{"l", std::string(76, '9')}}),
       .expected = kFail,
       .reason = "shorter"},
      {.shows = "a number of 77 digits",
       .section = "3.5 l=",
       .tags = with({{"l", std::string(77, '0')}}),
       .expected = kNeutral},
      {.shows = "leading zeros", .section = "3.5 l=", .tags = with({{"l", "00025"}})},
      {.shows = "a sign", .section = "3.5 l=", .tags = with({{"l", "-1"}}), .expected = kNeutral},
      {.shows = "no digits",
       .section = "3.5 l=",
       .tags = with({{"l", "all"}}),
       .expected = kNeutral},
      {.shows = "empty", .section = "3.5 l=", .tags = with({{"l", ""}}), .expected = kNeutral},
      {.shows = "a blank inside",
       .section = "3.5 l=",
       .tags = with({{"l", "1 2"}}),
       .expected = kNeutral},
  });
}

TEST(DkimTable, QueriesTimesAndCopies) {
  run({
      {.shows = "dns/txt", .section = "3.5 q=", .tags = with({{"q", "dns/txt"}})},
      {.shows = "one method of several is enough",
       .section = "3.5 q=",
       .tags = with({{"q", "http/well-known : dns/txt"}})},
      {.shows = "no method that is known",
       .section = "3.5 q=",
       .tags = with({{"q", "http/well-known"}}),
       .expected = kNeutral,
       .reason = "query"},
      {.shows = "dns of another kind",
       .section = "3.5 q=",
       .tags = with({{"q", "dns/dkk"}}),
       .expected = kNeutral},
      {.shows = "dns of no kind",
       .section = "3.5 q=",
       .tags = with({{"q", "dns"}}),
       .expected = kNeutral},
      {.shows = "an empty list of methods",
       .section = "3.5 q=",
       .tags = with({{"q", ""}}),
       .expected = kNeutral},
      {.shows = "made now", .section = "3.5 t=", .tags = with({{"t", in_seconds(0)}})},
      {.shows = "made in 1970", .section = "3.5 t=", .tags = with({{"t", "0"}})},
      {.shows = "made five minutes later", .section = "3.5 t=", .tags = with({{"t", "299"}})},
      {.shows = "made in the future",
       .section = "3.5 t=",
       .tags = with({{"t", in_seconds(7200)}}),
       .reason = "future"},
      {.shows = "the year 10000 and later",
       .section = "3.5 t=",
       .tags = with({{"t", "999999999999"}}),
       .reason = "future"},
      {.shows = "13 digits",
       .section = "3.5 t=",
       .tags = with({{"t", "1000000000000"}}),
       .expected = kNeutral},
      {.shows = "no time",
       .section = "3.5 t=",
       .tags = with({{"t", "yesterday"}}),
       .expected = kNeutral},
      {.shows = "an empty time",
       .section = "3.5 t=",
       .tags = with({{"t", ""}}),
       .expected = kNeutral},
      {.shows = "not yet expired",
       .section = "3.5 x=",
       .tags = with({{"t", in_seconds(-60)}, {"x", in_seconds(600)}})},
      {.shows = "expired",
       .section = "3.5 x=",
       .tags = with({{"t", in_seconds(-600)}, {"x", in_seconds(-10)}}),
       .expected = kPermError,
       .reason = "expired"},
      {.shows = "expired, without t",
       .section = "3.5 x=",
       .tags = with({{"x", "1"}}),
       .expected = kPermError,
       .reason = "expired"},
      {.shows = "expired before it was made",
       .section = "3.5 x=",
       .tags = with({{"t", in_seconds(600)}, {"x", in_seconds(300)}}),
       .expected = kNeutral},
      {.shows = "expired as it was made",
       .section = "3.5 x=",
       .tags = with({{"t", "2000000000"}, {"x", "2000000000"}}),
       .expected = kNeutral},
      {.shows = "no time",
       .section = "3.5 x=",
       .tags = with({{"x", "+600"}}),
       .expected = kNeutral},
      {.shows = "copied fields say nothing",
       .section = "3.5 z=",
       .tags = with({{"z", "From:eve@example.org|Subject:b=20=3D"}})},
      {.shows = "copied fields are signed",
       .section = "3.5 z=",
       .tags = with({{"z", "From:ann@example.com"}}),
       .forge = {"z=From:ann", "z=From:eve"},
       .expected = kFail},
  });
}

TEST(DkimTable, HeaderForms) {
  const std::string nul("Subject: a\0b\r\n", 14);
  run({
      {.shows = "no c is simple/simple", .section = "3.5 c=", .tags = without("c")},
      {.shows = "no c: the body is simple",
       .section = "3.5 c=",
       .tags = without("c"),
       .sent_body = "First line\r\nSecond line\r\n",
       .expected = kFail},
      {.shows = "one method is the header's",
       .section = "3.5 c=",
       .tags = with({{"c", "relaxed"}}),
       .sent_header = dkim_test::replaced(kHeader, "Hello  there", "Hello there")},
      {.shows = "one method leaves the body simple",
       .section = "3.5 c=",
       .tags = with({{"c", "relaxed"}}),
       .sent_body = "First line\r\nSecond line\r\n",
       .expected = kFail},
      {.shows = "simple/relaxed", .section = "3.5 c=", .tags = with({{"c", "simple/relaxed"}})},
      {.shows = "an unknown method",
       .section = "3.5 c=",
       .tags = with({{"c", "nowsp/relaxed"}}),
       .expected = kNeutral,
       .reason = "canonicalisation"},
      {.shows = "an unknown method of the body",
       .section = "3.5 c=",
       .tags = with({{"c", "relaxed/nofws"}}),
       .expected = kNeutral},
      {.shows = "half a pair",
       .section = "3.5 c=",
       .tags = with({{"c", "relaxed/"}}),
       .expected = kNeutral},
      {.shows = "three methods",
       .section = "3.5 c=",
       .tags = with({{"c", "relaxed/relaxed/relaxed"}}),
       .expected = kNeutral},
      {.shows = "an empty c", .section = "3.5 c=", .tags = with({{"c", ""}}), .expected = kNeutral},
      {.shows = "a blank around the slash",
       .section = "3.5 c=",
       .tags = with({{"c", "relaxed / relaxed"}}),
       .expected = kNeutral},
      {.shows = "simple: the case of a name counts",
       .section = "3.4.1",
       .tags = with({{"c", "simple"}}),
       .sent_header = dkim_test::replaced(kHeader, "Subject:", "SUBJECT:"),
       .expected = kFail},
      {.shows = "simple: a blank counts",
       .section = "3.4.1",
       .tags = with({{"c", "simple"}}),
       .sent_header = dkim_test::replaced(kHeader, "Hello  there", "Hello there"),
       .expected = kFail},
      {.shows = "simple: folding counts",
       .section = "3.4.1",
       .tags = with({{"c", "simple"}}),
       .sent_header = dkim_test::replaced(kHeader, "Hello  there", "Hello\r\n  there"),
       .expected = kFail},
      {.shows = "simple: folding as it was signed",
       .section = "3.4.1",
       .tags = with({{"c", "simple"}}),
       .header = kHeader + "Cc: a@example.com,\r\n\t b@example.com \r\n"},
      {.shows = "simple: blanks before the colon",
       .section = "3.4.1",
       .tags = with({{"c", "simple"}}),
       .header = "From \t: ann@example.com\r\n"},
      {.shows = "simple: octets above 127",
       .section = "3.4.1",
       .tags = with({{"c", "simple"}}),
       .header = "From: \xc3\xa4\xff <ann@example.com>\r\n"},
      {.shows = "relaxed: the case of names says nothing",
       .section = "3.4.2",
       .sent_header = dkim_test::replaced(kHeader, "Subject:", "sUBJECT:")},
      {.shows = "relaxed: runs of blanks are one",
       .section = "3.4.2",
       .sent_header = dkim_test::replaced(kHeader, "Hello  there", "\t Hello \t there \t")},
      {.shows = "relaxed: folding says nothing",
       .section = "3.4.2",
       .sent_header = dkim_test::replaced(kHeader, "Hello  there", "\r\n Hello\r\n\tthere")},
      {.shows = "relaxed: no blank is not one blank",
       .section = "3.4.2",
       .sent_header = dkim_test::replaced(kHeader, "Hello  there", "Hellothere"),
       .expected = kFail},
      {.shows = "relaxed: the case of a value counts",
       .section = "3.4.2",
       .sent_header = dkim_test::replaced(kHeader, "Hello", "hello"),
       .expected = kFail},
      {.shows = "relaxed: blanks around the colon",
       .section = "3.4.2",
       .sent_header = "$SFrom:Ann <ann@example.com>\r\nTo \t:  bob@example.net\r\nSubject : Hello "
                      "there\r\n"},
      {.shows = "relaxed: an empty value",
       .section = "3.4.2",
       .header = "From:\r\nSubject: \t\r\n"},
      {.shows = "relaxed: octets above 127",
       .section = "3.4.2",
       .header = "From: \xc3\xa4\xff  \xc2\xa0<ann@example.com>\r\n"},
      {.shows = "relaxed: a vertical tab and a form feed are no white space",
       .section = "2.8",
       .header = "From: ann@example.com\r\nSubject: a\vb\f c\r\n"},
      {.shows = "relaxed: so none can be put in the place of a blank",
       .section = "2.8",
       .header = "From: ann@example.com\r\nSubject: a b\r\n",
       .sent_header = "From: ann@example.com\r\nSubject: a\vb\r\n",
       .expected = kFail},
      {.shows = "relaxed: nothing can be put behind a NUL",
       .section = "3.7",
       .header = "From: ann@example.com\r\nSubject: a\r\n",
       .sent_header = "From: ann@example.com\r\n" + nul,
       .expected = kFail},
      {.shows = "relaxed: a NUL is an octet",
       .section = "3.7",
       .header = "From: ann@example.com\r\n" + nul},
      {.shows = "a long field",
       .section = "3.4.2",
       .header = kHeader + "Subject: " + std::string(70000, 'x') + "\r\n"},
      {.shows = "a long folded field",
       .section = "3.4.2",
       .header = kHeader + "References:" +
                 dkim_test::replaced(std::string(2000, 'x'), "x", "\r\n <1@a.example>") + "\r\n"},
      {.shows = "signed simple, but told as relaxed",
       .section = "3.7",
       .header = "From:   ann@example.com\r\n",
       .relaxed_header = false,
       .expected = kFail},
  });
}

TEST(DkimTable, BodyForms) {
  const std::string simple = with({{"c", "simple/simple"}});
  run({
      {.shows = "simple: an empty body", .section = "3.4.3", .tags = simple, .body = ""},
      {.shows = "simple: no body is one CRLF",
       .section = "3.4.3",
       .tags = simple,
       .body = "",
       .sent_body = "\r\n"},
      {.shows = "simple: the empty body's known hash",
       .section = "3.4.3",
       .tags =
           with({{"c", "simple/simple"}, {"bh", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="}}),
       .body = "\r\n\r\n"},
      {.shows = "simple: empty lines at the end say nothing",
       .section = "3.4.3",
       .tags = simple,
       .sent_body = kBody + "\r\n\r\n\r\n"},
      {.shows = "simple: empty lines inside count",
       .section = "3.4.3",
       .tags = simple,
       .body = "a\r\n\r\nb\r\n",
       .sent_body = "a\r\nb\r\n",
       .expected = kFail},
      {.shows = "simple: a line of blanks at the end counts",
       .section = "3.4.3",
       .tags = simple,
       .sent_body = kBody + " \r\n",
       .expected = kFail},
      {.shows = "simple: the last CRLF may be missing",
       .section = "3.4.3",
       .tags = simple,
       .sent_body = kBody.substr(0, kBody.size() - 2)},
      {.shows = "simple: blanks at the end of a line count",
       .section = "3.4.3",
       .tags = simple,
       .sent_body = "First line\r\nSecond  line\r\n",
       .expected = kFail},
      {.shows = "relaxed: an empty body", .section = "3.4.4", .body = ""},
      {.shows = "relaxed: the empty body's known hash",
       .section = "3.4.4",
       .tags = with({{"bh", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}),
       .body = "",
       .sent_body = "\r\n"},
      {.shows = "relaxed: lines of blanks are empty lines",
       .section = "3.4.4",
       .body = "",
       .sent_body = " \r\n\t\r\n"},
      {.shows = "relaxed: blanks at the end of lines say nothing",
       .section = "3.4.4",
       .sent_body = "First line \t \r\nSecond  line\r\n"},
      {.shows = "relaxed: runs of blanks are one",
       .section = "3.4.4",
       .sent_body = "First\t line\r\nSecond \t line \r\n"},
      {.shows = "relaxed: no blank is not one blank",
       .section = "3.4.4",
       .sent_body = "Firstline\r\nSecond  line \r\n",
       .expected = kFail},
      {.shows = "relaxed: a blank at the start of a line counts",
       .section = "3.4.4",
       .sent_body = " First line\r\nSecond  line \r\n",
       .expected = kFail},
      {.shows = "relaxed: the last CRLF may be missing",
       .section = "3.4.4",
       .sent_body = "First line\r\nSecond  line"},
      {.shows = "relaxed: the last CRLF may be missing behind blanks",
       .section = "3.4.4",
       .sent_body = "First line\r\nSecond  line \t"},
      {.shows = "relaxed: empty lines at the end say nothing",
       .section = "3.4.4",
       .sent_body = kBody + "\r\n \r\n\r\n"},
      {.shows = "relaxed: a CR alone is text", .section = "3.4.4", .body = "a\rb\r \r\nc\r\n"},
      {.shows = "relaxed: and cannot be taken away",
       .section = "3.4.4",
       .body = "a\rb\r\n",
       .sent_body = "ab\r\n",
       .expected = kFail},
      {.shows = "simple: an LF alone is text",
       .section = "3.4.3",
       .tags = simple,
       .body = "a\nb\r\n\n\r\nc\r\n"},
      {.shows = "simple: and cannot be taken away",
       .section = "3.4.3",
       .tags = simple,
       .body = "a\nb\r\n",
       .sent_body = "ab\r\n",
       .expected = kFail},
      {.shows = "a NUL is an octet",
       .section = "3.7",
       .body = std::string("a\0b\r\n", 5),
       .sent_body = std::string("a\0c\r\n", 5),
       .expected = kFail,
       .reason = "body"},
      {.shows = "octets above 127", .section = "3.7", .body = "\xff\xfe \xc3\xa4\r\n"},
      {.shows = "a changed body",
       .section = "6.1.3",
       .sent_body = "Last line\r\nSecond  line \r\n",
       .expected = kFail,
       .reason = "body"},
      {.shows = "no body where there was one",
       .section = "6.1.3",
       .sent_body = "",
       .expected = kFail,
       .reason = "body"},
  });
}

TEST(DkimTable, KeyRecords) {
  const std::string p = rsa().info();
  const std::string e = with({{"a", "ed25519-sha256"}});
  const std::string sub = with({{"i", "ann@sub.example.com"}});
  std::string spaced = p;
  spaced.insert(70, " \t");
  run({
      {.shows = "p alone", .section = "3.6.1", .records = {{"p=" + p}}},
      {.shows = "no version", .section = "3.6.1 v=", .records = {{"k=rsa; p=" + p}}},
      {.shows = "the version does not come first",
       .section = "3.6.1 v=",
       .records = {{"k=rsa; v=DKIM1; p=" + p}},
       .expected = kPermError,
       .reason = "version"},
      {.shows = "another version",
       .section = "3.6.1 v=",
       .records = {{"v=DKIM2; p=" + p}},
       .expected = kPermError},
      {.shows = "versions are case-sensitive",
       .section = "3.2",
       .records = {{"v=dkim1; p=" + p}},
       .expected = kPermError},
      {.shows = "semicolons and white space",
       .section = "3.2",
       .records = {{" v = DKIM1 ;\tk = rsa ; p = " + spaced + " ; "}}},
      {.shows = "notes and unknown tags",
       .section = "3.6.1 n=",
       .records = {{"v=DKIM1; n=ask=20us; zz=1; g=nobody; p=" + p}}},
      {.shows = "a tag twice",
       .section = "3.2",
       .records = {{"v=DKIM1; p=" + p + "; p=" + p}},
       .expected = kPermError},
      {.shows = "no tag list",
       .section = "6.1.2",
       .records = {{"complete nonsense"}},
       .expected = kPermError},
      {.shows = "an empty record", .section = "6.1.2", .records = {{""}}, .expected = kPermError},
      {.shows = "no key in the record",
       .section = "6.1.2",
       .records = {{"v=DKIM1; k=rsa"}},
       .expected = kPermError},
      {.shows = "a revoked key",
       .section = "3.6.1 p=",
       .records = {{"v=DKIM1; p="}},
       .expected = kPermError,
       .reason = "revoked"},
      {.shows = "a key that is no base64",
       .section = "6.1.2",
       .records = {{"v=DKIM1; p=***"}},
       .expected = kPermError},
      {.shows = "a key that is none",
       .section = "6.1.2",
       .records = {{"v=DKIM1; p=AAAA"}},
       .expected = kPermError},
      {.shows = "half a key",
       .section = "6.1.2",
       .records = {{"v=DKIM1; p=" + p.substr(0, 200)}},
       .expected = kPermError},
      {.shows = "another's key",
       .section = "6.1.3",
       .records = {{rsa_1024().record()}},
       .expected = kFail,
       .reason = "signature"},
      {.shows = "k=rsa says what a= says",
       .section = "3.6.1 k=",
       .records = {{"v=DKIM1; k=RSA; p=" + p}}},
      {.shows = "an unknown type of key",
       .section = "3.6.1 k=",
       .records = {{"v=DKIM1; k=dsa; p=" + p}},
       .expected = kPermError,
       .reason = "type"},
      {.shows = "an Ed25519 key for an RSA signature",
       .section = "6.1.2",
       .records = {{ed25519().record()}},
       .expected = kPermError,
       .reason = "type"},
      {.shows = "an RSA key for an Ed25519 signature",
       .section = "6.1.2",
       .tags = e,
       .key = ed25519(),
       .records = {{rsa().record()}},
       .expected = kPermError,
       .reason = "type"},
      {.shows = "an Ed25519 key that says it is RSA",
       .section = "RFC 8463 4",
       .tags = e,
       .key = ed25519(),
       .records = {{"v=DKIM1; p=" + ed25519().raw()}},
       .expected = kPermError},
      {.shows = "an Ed25519 key of 31 octets",
       .section = "RFC 8463 4",
       .tags = e,
       .key = ed25519(),
       .records = {{"v=DKIM1; k=ed25519; p=" + base::base64_encode(std::string(31, 'k'))}},
       .expected = kPermError},
      {.shows = "an Ed25519 key with its algorithm around it",
       .section = "RFC 8463 4",
       .tags = e,
       .key = ed25519(),
       .records = {{"v=DKIM1; k=ed25519; p=" + ed25519().info()}},
       .expected = kPermError},
      {.shows = "a key of elliptic curves",
       .section = "6.1.2",
       .records = {{"v=DKIM1; k=rsa; p=" + ec().info()}},
       .expected = kPermError},
      {.shows = "a bare RSAPublicKey",
       .section = "3.6.1 p=",
       .records = {{"v=DKIM1; k=rsa; p=" + rsa().bare()}}},
      {.shows = "a bare RSAPublicKey of another",
       .section = "6.1.3",
       .records = {{"v=DKIM1; k=rsa; p=" + rsa_1024().bare()}},
       .expected = kFail},
      {.shows = "1024 bits", .section = "RFC 8301 3.2", .key = rsa_1024()},
      {.shows = "4096 bits", .section = "RFC 8301 3.2", .key = rsa_4096()},
      {.shows = "768 bits",
       .section = "RFC 8301 3.2",
       .key = rsa_768(),
       .expected = kPolicy,
       .reason = "1024"},
      {.shows = "768 bits, bare",
       .section = "RFC 8301 3.2",
       .key = rsa_768(),
       .records = {{"p=" + rsa_768().bare()}},
       .expected = kPolicy},
      {.shows = "a key for SHA-1 only",
       .section = "3.6.1 h=",
       .records = {{"v=DKIM1; h=sha1; p=" + p}},
       .expected = kPermError,
       .reason = "SHA-256"},
      {.shows = "h= has sha256", .section = "3.6.1 h=", .records = {{"h=sha1 : SHA256; p=" + p}}},
      {.shows = "an empty h=",
       .section = "3.6.1 h=",
       .records = {{"h=; p=" + p}},
       .expected = kPermError},
      {.shows = "s=email", .section = "3.6.1 s=", .records = {{"s=email; p=" + p}}},
      {.shows = "s=*", .section = "3.6.1 s=", .records = {{"s=tlsrpt:*; p=" + p}}},
      {.shows = "another service",
       .section = "3.6.1 s=",
       .records = {{"s=tlsrpt; p=" + p}},
       .expected = kPermError,
       .reason = "mail"},
      {.shows = "t=y",
       .section = "3.6.1 t=",
       .records = {{"t=y; p=" + p}},
       .reason = "testing",
       .testing = true},
      {.shows = "t=y does not change a failure",
       .section = "3.6.1 t=",
       .sent_body = "other",
       .records = {{"t=y; p=" + p}},
       .expected = kFail,
       .reason = "testing",
       .testing = true},
      {.shows = "unknown flags", .section = "3.6.1 t=", .records = {{"t=q:yes; p=" + p}}},
      {.shows = "t=s with no i=", .section = "3.6.1 t=", .records = {{"t=s; p=" + p}}},
      {.shows = "t=s with the same domain",
       .section = "3.6.1 t=",
       .tags = with({{"i", "ann@EXAMPLE.com"}}),
       .records = {{"t=s; p=" + p}}},
      {.shows = "t=s with a subdomain",
       .section = "3.6.1 t=",
       .tags = sub,
       .records = {{"t=s; p=" + p}},
       .expected = kPermError,
       .reason = "subdomain"},
      {.shows = "t=s among others",
       .section = "3.6.1 t=",
       .tags = sub,
       .records = {{"t=y : s; p=" + p}},
       .expected = kPermError,
       .testing = true},
      {.shows = "a subdomain without t=s", .section = "3.5 i=", .tags = sub},
  });
}

TEST(DkimTable, KeyAnswers) {
  const std::string record = rsa().record();
  run({
      {.shows = "SERVFAIL",
       .section = "6.1.2",
       .status = dns::Status::kServFail,
       .records = std::vector<std::string>{},
       .expected = kTempError},
      {.shows = "no answer in time",
       .section = "6.1.2",
       .status = dns::Status::kTimeout,
       .records = std::vector<std::string>{},
       .expected = kTempError},
      {.shows = "nobody answered at all",
       .section = "6.1.2",
       .key_name = "elsewhere._domainkey.example.com",
       .expected = kTempError},
      {.shows = "no such name",
       .section = "6.1.2",
       .status = dns::Status::kNxDomain,
       .records = std::vector<std::string>{},
       .expected = kPermError,
       .reason = "no key"},
      {.shows = "no TXT there",
       .section = "6.1.2",
       .status = dns::Status::kNoData,
       .records = std::vector<std::string>{},
       .expected = kPermError,
       .reason = "no key"},
      {.shows = "another TXT beside the key",
       .section = "3.6.2.2",
       .records = std::vector<std::string>{"owned by Ann", record}},
      {.shows = "two keys",
       .section = "3.6.2.2",
       .records = std::vector<std::string>{record, rsa_1024().record()},
       .expected = kPermError,
       .reason = "several"},
      {.shows = "a key in pieces is one key", .section = "3.6.2.2"},
  });
}

// RFC 8463 appendix A: a message that others signed, with their keys.
TEST(DkimTable, PublishedExample) {
  const std::string header =
      "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
      " d=football.example.com; i=@football.example.com;\r\n"
      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
      " subject : date : message-id : from : subject : date;\r\n"
      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
      " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
      " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
      "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
      " d=football.example.com; i=@football.example.com;\r\n"
      " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
      " date : message-id : from : subject : date;\r\n"
      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
      " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
      " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
      " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
      "From: Joe SixPack <joe@football.example.com>\r\n"
      "To: Suzie Q <suzie@shopping.example.net>\r\n"
      "Subject: Is dinner ready?\r\n"
      "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
      "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";
  const std::string body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
  dns::Answers answers;
  answers.put({"brisbane._domainkey.football.example.com", dns::Type::kTxt},
              {dns::Status::kOk,
               {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
               false});
  answers.put({"test._domainkey.football.example.com", dns::Type::kTxt},
              {dns::Status::kOk,
               {"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
                "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
                "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
                "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"},
               false});
  const auto verdicts = verify(header, body, answers);
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_EQ(dkim::name(verdicts[0].result), "pass") << verdicts[0].reason;
  EXPECT_EQ(dkim::name(verdicts[1].result), "pass") << verdicts[1].reason;
  EXPECT_EQ(verdicts[0].algorithm, "ed25519-sha256");
  EXPECT_EQ(verdicts[0].signature_start, "/gCrinpc");
  EXPECT_EQ(verdicts[1].selector, "test");
  const auto changed = verify(dkim_test::replaced(header, "dinner", "supper"), body, answers);
  EXPECT_EQ(dkim::name(changed[0].result), "fail");
  EXPECT_EQ(dkim::name(changed[1].result), "fail");
}

}  // namespace
