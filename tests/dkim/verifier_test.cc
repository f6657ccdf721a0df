// The verifier as a whole: what it asks for, what it costs, and that libopendkim and our own hash
// judge alike wherever the library is asked.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/mail/headers.h"
#include "dkim/header_hash.h"
#include "dkim/opendkim_message.h"
#include "dkim/public_key.h"
#include "dkim/signature_field.h"
#include "dkim/verifier.h"
#include "support/dkim_test_signer.h"

namespace {

using Answer = dkim::OpendkimMessage::Answer;
using dkim_test::Key;

constexpr const char* kKeyName = "s1._domainkey.example.com";
const std::string kFrom = "From: ann@example.com\r\n";

std::shared_ptr<dkim::Library> library() {
  static const std::shared_ptr<dkim::Library> one = *dkim::Library::open();
  return one;
}

mail::Headers scan(std::string_view block) {
  auto headers = mail::Headers::scan(block, 5000);
  EXPECT_TRUE(headers.ok()) << (headers.ok() ? "" : headers.message());
  return headers.ok() ? headers.take() : mail::Headers();
}

dns::Answers answers_of(const Key& key) {
  dns::Answers answers;
  answers.put({kKeyName, dns::Type::kTxt}, {dns::Status::kOk, {key.record()}, false});
  return answers;
}

std::vector<dkim::SignatureVerdict> verify(const std::string& header, const std::string& body,
                                           const dns::Answers& answers) {
  dkim::Verifier verifier(library(), base::Limits());
  verifier.headers(scan(header));
  verifier.body(body);
  return verifier.finish(answers);
}

// What the library says and what we say of the signature on top of `header`.
struct Opinions {
  Answer library = Answer::kUnknown;
  bool ours = false;
};

Opinions opinions(const std::string& header, const std::string& record) {
  const auto headers = scan(header);
  const mail::HeaderField& signature = headers.fields().front();
  const auto field = dkim::read_signature(signature.body, 1'700'000'000);
  EXPECT_TRUE(field.plain) << field.verdict.reason << header;
  dkim::OpendkimMessage message(library(), headers, {&signature});
  const dkim::FieldIndex index(headers);
  const auto key = dkim::PublicKey::parse(record);
  EXPECT_TRUE(key.ok());
  return {message.verify(0, record),
          key->verifies(index.hash(field.signed_names, signature, field.header_method),
                        field.signature)};
}

class Generator {
 public:
  unsigned below(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }
  std::string pick(const std::vector<std::string>& of) {
    return of[below(static_cast<unsigned>(of.size()))];
  }
  std::string value() {
    std::string text;
    for (unsigned i = below(40); i > 0; --i) {
      text += pick({" ", "\t", "a", "B", ":", ";", "=", "b=", "\r\n ", "\xc3\xa4", "\xff", ","});
    }
    return text + "z";
  }
  std::string header() {
    std::string text;
    const unsigned from_at = below(5);
    for (unsigned i = 0; i < 5; ++i) {
      if (i == from_at) text += pick({"From:", "FROM: "}) + value() + "\r\n";
      text +=
          pick({"To", "Subject", "X-One", "x-one", "Received", "Date"}) + ":" + value() + "\r\n";
    }
    return text;
  }
  // A plain signature, oddly blanked.
  std::string tags(const Key& key) {
    const auto blank = [this] { return pick({"", "", " ", "\t", "\r\n\t"}); };
    std::string list = "from";
    for (unsigned i = below(9); i > 0; --i) {
      list += blank() + ":" + blank() +
              pick({"to", "Subject", "X-ONE", "received", "From", "absent", "date"});
    }
    std::vector<std::string> tags = {
        "v =" + blank() + "1",
        "a=" + blank() + (key.is_ed25519() ? "ed25519-sha256" : "rsa-sha256"),
        "d" + blank() + "=example.com",
        "s=s1" + blank(),
        "h=" + list,
        blank() + "bh" + blank() + "=$BH",
        blank() + "b=" + blank() + "$B" + blank()};
    if (below(4) > 0) {
      tags.push_back("c=" + pick({"simple", "relaxed", "relaxed/relaxed", "simple/simple",
                                  "simple/relaxed", "relaxed/simple"}));
    }
    if (below(3) == 0) tags.push_back("t=1600000000");
    if (below(4) == 0) tags.push_back("q=dns/txt");
    if (below(4) == 0) tags.push_back("l=3");
    if (below(4) == 0) tags.push_back("z=From:b=3D|To:x");
    std::shuffle(tags.begin(), tags.end(), random_);
    std::string text = blank();
    for (const std::string& tag : tags) text += (text.find('=') == text.npos ? "" : ";") + tag;
    return text;
  }
  // One octet of one field that is no blank, changed into another letter.
  std::string changed(std::string header) {
    for (;;) {
      const std::size_t at = below(static_cast<unsigned>(header.size()));
      if (std::string_view("azBZ,").find(header[at]) == std::string_view::npos) continue;
      header[at] = header[at] == 'q' ? 'r' : 'q';
      return header;
    }
  }

 private:
  std::mt19937 random_{20260131};
};

// RFC 6376 3.4, 3.5, 5.4.2: selection, both forms, the deletion of b= and the arithmetic, in
// libopendkim and in our code. They never disagree where the library is asked.
TEST(Verifier, LibraryAndOursAgree) {
  const Key keys[] = {Key::rsa(1024), Key::ed25519()};
  Generator generator;
  int fits = 0;
  int misfits = 0;
  for (int i = 0; i < 500; ++i) {
    const Key& key = keys[i % 2];
    const std::string header = generator.header();
    const std::string tags = generator.tags(key);
    const std::string field = dkim_test::sign({.key = key, .tags = tags}, header, "abc\r\n");
    const Opinions good = opinions(field + header, key.record());
    ASSERT_TRUE(good.ours) << field << header;
    ASSERT_EQ(good.library, Answer::kFits) << field << header;
    ++fits;
    const Opinions other = opinions(field + generator.changed(header), key.record());
    ASSERT_NE(other.library, Answer::kUnknown) << field << header;
    ASSERT_EQ(other.library == Answer::kFits, other.ours) << field << header;
    misfits += other.ours ? 0 : 1;
  }
  EXPECT_EQ(fits, 500);
  EXPECT_GT(misfits, 100);
}

// Where libopendkim 2.11 alone comes to another answer than the RFCs, or to none, it is not asked.
TEST(Verifier, WhatTheLibraryIsNotAsked) {
  const Key key = Key::rsa(1024);
  const std::string tags =
      " v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=s1; h=From; bh=$BH; b=$B";
  const auto plain = [&](const std::string& what, const std::string& by) {
    const std::string field =
        dkim_test::sign({.key = key, .tags = dkim_test::replaced(tags, what, by)}, kFrom, "");
    return dkim::read_signature(field.substr(field.find(':') + 1), 1'700'000'000).plain;
  };
  EXPECT_TRUE(plain("h=From", "h=From:To"));
  EXPECT_FALSE(plain("; b=", "; b ="));                                        // b= is not deleted
  EXPECT_FALSE(plain("; bh=", "; sub=1; bh="));                                // sub= is deleted
  EXPECT_FALSE(plain("; bh=", "; H=To; bh="));                                 // takes H= for h=
  EXPECT_FALSE(plain("h=From", "h=From:DKIM-Signature"));                      // signs itself
  EXPECT_FALSE(plain("h=From", "h=From" + std::string(4000, 'x') + ":From"));  // cuts the list
  EXPECT_FALSE(plain("d=example.com", "d=b\u00fccher.example"));               // knows no UTF-8

  for (const std::string& odd :
       {std::string("a\0b", 3), std::string("a\vb"), std::string("a\fb")}) {
    std::string header = kFrom;
    header.append("Subject: ").append(odd).append("\r\n");
    const std::string field = dkim_test::sign({.key = key, .tags = tags}, header, "");
    EXPECT_EQ(opinions(field + header, key.record()).library, Answer::kUnknown);
  }
  const std::string header = "From \t: ann@example.com\r\n";
  const std::string field = dkim_test::sign({.key = key, .tags = tags}, header, "");
  EXPECT_EQ(opinions(field + header, key.record()).library, Answer::kUnknown);
  EXPECT_TRUE(opinions(field + header, key.record()).ours);
}

TEST(Verifier, CostsNothingWhereNothingCanPass) {
  // RFC 6376 6.1.1: a malformed signature needs neither key nor body.
  for (const std::string field : {"", "DKIM-Signature: nonsense\r\n",
                                  "DKIM-Signature: v=1; a=rsa-sha1; d=example.com; s=s1; h=From; "
                                  "bh=YWJj; b=YWJj\r\n"}) {
    dkim::Verifier verifier(library(), base::Limits());
    EXPECT_TRUE(verifier.headers(scan(field + kFrom)).empty());
    EXPECT_FALSE(verifier.wants_body());
    const std::string chunk(1U << 20, 'x');
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 10000; ++i) verifier.body(chunk);  // 10 GiB, if anybody looked at it
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
    EXPECT_EQ(verifier.finish(dns::Answers()).size(), field.empty() ? 0U : 1U);
  }
}

TEST(Verifier, AsksInTheNormalForm) {
  const Key key = Key::rsa(1024);
  const std::string tags =
      " v=1; a=rsa-sha256; d=EXAMPLE.com; s=S1; h=From; bh=$BH; b=$B; i=Ann@Sub.Example.COM";
  const std::string field = dkim_test::sign({.key = key, .tags = tags}, kFrom, "");
  dkim::Verifier verifier(library(), base::Limits());
  const auto questions = verifier.headers(scan(field + kFrom));
  ASSERT_EQ(questions.size(), 1U);
  EXPECT_EQ(questions[0].name, kKeyName);
  const auto verdicts = verifier.finish(answers_of(key));
  EXPECT_EQ(verdicts[0].domain, "example.com");
  EXPECT_EQ(verdicts[0].selector, "S1");
  EXPECT_EQ(verdicts[0].identity, "Ann@Sub.Example.COM");
  EXPECT_EQ(dkim::name(verdicts[0].result), "pass");
}

// RFC 8601 2.7: whatever is wrong with it, a signature is reported under its own names.
TEST(Verifier, NamesOfSignaturesThatAreNoGood) {
  const auto verdicts = verify(
      "DKIM-Signature: v=3; a=RSA-MD5; d=Example.Org; s=x; i=@a.example.org; b=abcd efghij\r\n" +
          kFrom,
      "", dns::Answers());
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].domain, "example.org");
  EXPECT_EQ(verdicts[0].selector, "x");
  EXPECT_EQ(verdicts[0].identity, "@a.example.org");
  EXPECT_EQ(verdicts[0].algorithm, "rsa-md5");
  EXPECT_EQ(verdicts[0].signature_start, "abcdefgh");
  EXPECT_EQ(dkim::name(verdicts[0].result), "neutral");
}

// RFC 6376 6.1: one signature says nothing about another. The same key, several bodies and forms.
TEST(Verifier, SignaturesOfOneMessageAreJudgedApart) {
  const Key rsa = Key::rsa(1024);
  const Key other = Key::rsa(1024);
  const std::string body = "one\r\ntwo \r\n";
  const std::string start = " v=1; a=rsa-sha256; d=example.com; s=s1; h=From; bh=$BH; b=$B";
  std::string header = kFrom;
  std::vector<std::string> expected;
  const auto add = [&](const Key& key, const std::string& more, const std::string& result) {
    header = dkim_test::sign({.key = key, .tags = start + more}, kFrom, body) + header;
    expected.insert(expected.begin(), result);
  };
  add(rsa, "", "pass");
  add(other, "", "fail");
  add(rsa, "; c=relaxed/relaxed", "pass");
  add(rsa, "; c=relaxed/relaxed; l=5", "pass");
  add(rsa, "; l=5", "pass");
  add(rsa, "; l=500", "fail");
  add(rsa, "; l=many", "neutral");
  add(rsa, "; sub=1", "pass");
  add(rsa, "; x=1", "permerror");
  const auto verdicts = verify(header, body, answers_of(rsa));
  ASSERT_EQ(verdicts.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(dkim::name(verdicts[i].result), expected[i]) << i << ": " << verdicts[i].reason;
  }
  EXPECT_EQ(verdicts[4].unsigned_octets, 6U);
  EXPECT_EQ(verdicts[5].unsigned_octets, 5U);
}

// Each l= costs a pass over the body: a few are hashed, and never at the cost of whole signatures.
TEST(Verifier, FewPartsOfABodyAreHashed) {
  const Key key = Key::ed25519();
  const std::string body(100, 'x');
  std::string header;
  for (const char* more : {"; l=1", "; l=2", "; l=3", "; l=4", "; l=5", "; l=1", ""}) {
    header += dkim_test::sign(
        {.key = key,
         .tags = std::string(" v=1; a=ed25519-sha256; d=example.com; s=s1; h=From; bh=$BH; b=$B") +
                 more},
        kFrom, body + "\r\n");
  }
  const auto verdicts = verify(header + kFrom, body + "\r\n", answers_of(key));
  ASSERT_EQ(verdicts.size(), 7U);
  for (const std::size_t i : {0U, 1U, 2U, 3U, 5U, 6U}) {
    EXPECT_EQ(dkim::name(verdicts[i].result), "pass") << i << ": " << verdicts[i].reason;
  }
  EXPECT_EQ(dkim::name(verdicts[4].result), "policy");
  EXPECT_EQ(verdicts[6].unsigned_octets, 0U);
}

// Lists of names and fields as long as limits allow take linear time, however they are combined.
TEST(Verifier, LongListsAndManyFields) {
  const Key key = Key::ed25519();
  std::string fields = kFrom;
  for (int i = 0; i < 1900; ++i) fields += "X: " + std::to_string(i) + "\r\n";
  std::string names = "From";
  for (int i = 0; i < 8000; ++i) names += ":X";
  const std::string tags = " v=1; a=ed25519-sha256; d=example.com; s=s1; bh=$BH; b=$B; h=";
  std::string header;
  for (int i = 0; i < 10; ++i) {
    dkim_test::Signing signing{.key = key, .tags = tags + names};
    signing.names = std::vector<std::string>{"From"};  // wrong, and made quickly
    header += dkim_test::sign(signing, kFrom, "");
  }
  const auto start = std::chrono::steady_clock::now();
  const auto verdicts = verify(header + fields, "", answers_of(key));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  ASSERT_EQ(verdicts.size(), 10U);
  for (const auto& verdict : verdicts) EXPECT_EQ(dkim::name(verdict.result), "fail");
}

TEST(Verifier, OneLibraryManyThreads) {
  const Key keys[] = {Key::rsa(1024), Key::ed25519()};
  std::vector<std::thread> threads;
  std::vector<int> passed(4, 0);
  for (std::size_t t = 0; t < passed.size(); ++t) {
    threads.emplace_back([&, t] {
      const Key& key = keys[t % 2];
      const std::string tags = std::string(" v=1; a=") +
                               (key.is_ed25519() ? "ed25519-sha256" : "rsa-sha256") +
                               "; d=example.com; s=s1; h=From; bh=$BH; b=$B";
      const std::string field = dkim_test::sign({.key = key, .tags = tags}, kFrom, "x\r\n");
      const auto answers = answers_of(key);
      for (int i = 0; i < 50; ++i) {
        const auto verdicts = verify(field + kFrom, "x\r\n", answers);
        passed[t] += verdicts[0].result == dkim::Result::kPass ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : passed) EXPECT_EQ(count, 50);
}

}  // namespace
