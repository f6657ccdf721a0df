// The reader of DNS messages against hostile bytes, and the judgement of names.
#include "core/dns/packet.h"

#include <gtest/gtest.h>

#include <random>

namespace {

using dns::Answer;
using dns::Question;
using dns::Status;
using dns::Type;

std::string u16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}
std::string wire(const std::string& name) {
  std::string out;
  std::size_t at = 0;
  while (at < name.size()) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    out += static_cast<char>(dot - at);
    out += name.substr(at, dot - at);
    at = dot + 1;
  }
  return out + '\0';
}
std::string record(const std::string& owner, unsigned type, const std::string& data,
                   unsigned record_class = 1) {
  return owner + u16(type) + u16(record_class) + std::string(4, '\0') +
         u16(static_cast<unsigned>(data.size())) + data;
}
std::string message(unsigned rcode, const std::string& name, unsigned type,
                    const std::vector<std::string>& answers) {
  std::string text = u16(7) + u16(0x8180 | rcode) + u16(1) +
                     u16(static_cast<unsigned>(answers.size())) + std::string(4, '\0');
  text += wire(name) + u16(type) + u16(1);
  for (const auto& answer : answers) text += answer;
  return text;
}
const std::string kPointerToQuestion = "\xc0\x0c";

TEST(Packet, ReadsEachType) {
  const std::string q = kPointerToQuestion;
  struct Case {
    Type type;
    std::string data, expected;
  };
  for (const auto& c : std::vector<Case>{
           {Type::kA, "\x7f\x01\x02\x03", "127.1.2.3"},
           {Type::kAaaa, std::string(15, '\0') + '\x01', "::1"},
           {Type::kTxt, std::string("\x03one\x00\x04 two", 10), "one two"},
           {Type::kTxt,
            "\x01"
            "\xff",
            "\xff"},
           {Type::kMx, u16(10) + "\x04MAIL" + q, "10 mail.example.org"},
           {Type::kMx, u16(0) + std::string(1, '\0'), "0 ."},
           {Type::kPtr, wire("Host.Example.ORG"), "host.example.org"},
           {Type::kNs, q, "example.org"},
           {Type::kCname, wire("a.b"), "a.b"},
           {Type::kPtr, std::string("\x03") + "a.b" + "\x03" + "\\\x01 " + '\0',
            "a\\.b.\\\\\\001\\032"},
       }) {
    const auto type = static_cast<unsigned>(c.type);
    const Answer answer = dns::read_answer(
        message(0, "example.org", type, {record(q, type, c.data)}), {"example.org", c.type});
    EXPECT_EQ(answer.status, Status::kOk) << c.expected;
    EXPECT_EQ(answer.records, std::vector<std::string>{c.expected});
  }
}

TEST(Packet, TellsTheStatesApart) {
  const Question question{"example.org", Type::kA};
  EXPECT_EQ(dns::read_answer(message(0, "example.org", 1, {}), question).status, Status::kNoData);
  EXPECT_EQ(dns::read_answer(message(3, "example.org", 1, {}), question).status, Status::kNxDomain);
  for (const unsigned rcode : {1U, 2U, 4U, 5U, 9U, 15U}) {
    EXPECT_EQ(dns::read_answer(message(rcode, "example.org", 1, {}), question).status,
              Status::kServFail);
  }
}

TEST(Packet, FollowsTheAliasesAndTakesNothingElse) {
  const std::string address = "\x01\x02\x03\x04";
  const auto alias = [](const std::string& from, const std::string& to) {
    return record(wire(from), 5, wire(to));
  };
  const Question question{"www.example.org", Type::kA};
  const auto ask = [&](const std::vector<std::string>& records) {
    return dns::read_answer(message(0, "www.example.org", 1, records), question);
  };
  // In any order, in any case.
  EXPECT_EQ(ask({record(wire("C.example"), 1, address), alias("b.example", "c.EXAMPLE"),
                 alias("WWW.example.org", "b.example")})
                .records,
            std::vector<std::string>{"1.2.3.4"});
  // Records of others: somebody slips in what was not asked.
  EXPECT_EQ(ask({record(wire("evil.example"), 1, address)}).status, Status::kNoData);
  EXPECT_EQ(
      ask({alias("www.example.org", "b.example"), record(wire("www.example.org"), 1, address)})
          .status,
      Status::kNoData);
  EXPECT_EQ(ask({record(wire("www.example.org"), 16, "\x01x")}).status, Status::kNoData);
  EXPECT_EQ(ask({record(wire("www.example.org"), 1, address, 3)}).status, Status::kNoData)
      << "class";
  // Round and round.
  EXPECT_EQ(
      ask({alias("www.example.org", "b.example"), alias("b.example", "www.example.org")}).status,
      Status::kServFail);
  // A question for the alias itself follows nothing.
  EXPECT_EQ(dns::read_answer(
                message(0, "www.example.org", 5,
                        {alias("www.example.org", "b.example"), alias("b.example", "c.example")}),
                {"www.example.org", Type::kCname})
                .records,
            std::vector<std::string>{"b.example"});
}

TEST(Packet, RefusesBadLengthsAndPointers) {
  const std::string q = kPointerToQuestion;
  const auto status = [&](Type type, const std::string& data) {
    const auto number = static_cast<unsigned>(type);
    return dns::read_answer(message(0, "example.org", number, {record(q, number, data)}),
                            {"example.org", type})
        .status;
  };
  EXPECT_EQ(status(Type::kA, "\x7f\x01\x02"), Status::kServFail);
  EXPECT_EQ(status(Type::kA, "\x7f\x01\x02\x03\x04"), Status::kServFail);
  EXPECT_EQ(status(Type::kAaaa, std::string(4, 'x')), Status::kServFail);
  EXPECT_EQ(status(Type::kTxt,
                   "\x05"
                   "abc"),
            Status::kServFail);
  EXPECT_EQ(status(Type::kMx, "\x01"), Status::kServFail);
  EXPECT_EQ(status(Type::kMx, u16(1) + wire("a") + "x"), Status::kServFail);
  EXPECT_EQ(status(Type::kPtr, "\xc0\xff"), Status::kServFail) << "forwards";
  // The record data stands at 12 + 17 + 12 = 41: a pointer to itself.
  EXPECT_EQ(status(Type::kPtr, "\xc0\x29"), Status::kServFail);
  EXPECT_EQ(status(Type::kPtr,
                   "\x01"
                   "a\xc0\x29"),
            Status::kServFail)
      << "to its own beginning";
  EXPECT_EQ(status(Type::kPtr,
                   "\x40"
                   "abc"),
            Status::kServFail)
      << "label type 01";
  EXPECT_EQ(status(Type::kPtr,
                   "\x3f"
                   "abc"),
            Status::kServFail);
  std::string long_name;
  for (int i = 0; i < 5; ++i) long_name += "\x3f" + std::string(63, 'a');
  EXPECT_EQ(status(Type::kPtr, long_name + '\0'), Status::kServFail) << "256 octets and more";
}

TEST(Packet, OfVeryManyRecordsThoseAreKeptThatSomebodyLooksAt) {
  const std::string q = kPointerToQuestion;
  const auto txt = [](const std::string& text) { return static_cast<char>(text.size()) + text; };
  std::vector<std::string> texts;
  for (int i = 0; i < 150; ++i) texts.push_back(record(q, 16, txt(std::string(200, 'x'))));
  texts.push_back(record(q, 16, txt("V=spf1 -all")));
  const Question question{"example.org", Type::kTxt};
  const Answer answer = dns::read_answer(message(0, "example.org", 16, texts), question);
  EXPECT_EQ(answer.status, Status::kOk);
  EXPECT_LE(answer.records.size(), 101U);
  ASSERT_FALSE(answer.records.empty());
  EXPECT_EQ(answer.records.back(), "V=spf1 -all");

  std::vector<std::string> addresses(500, record(q, 1, "\x7f\x01\x02\x03"));
  EXPECT_EQ(dns::read_answer(message(0, "example.org", 1, addresses), {"example.org", Type::kA})
                .records.size(),
            100U);
}

TEST(Packet, AliasesAreCounted) {
  const std::vector<std::string> chain = {record(kPointerToQuestion, 5, wire("a.example.org")),
                                          record(wire("a.example.org"), 5, wire("b.example.org"))};
  const Question question{"example.org", Type::kA};
  EXPECT_EQ(dns::read_answer(message(0, "example.org", 1, chain), question).aliases, 2U);
  const Answer nothing = dns::read_answer(message(3, "example.org", 1, chain), question);
  EXPECT_EQ(nothing.status, Status::kNxDomain);
  EXPECT_EQ(nothing.aliases, 2U);
  EXPECT_EQ(dns::read_answer(message(0, "example.org", 1, {}), question).aliases, 0U);
}

TEST(Packet, EveryCutAndManyChangesAreSurvived) {
  const std::string good =
      message(0, "example.org", 15,
              {record(kPointerToQuestion, 15, u16(10) + "\x04mail" + kPointerToQuestion),
               record(kPointerToQuestion, 15, u16(20) + wire("other.example"))});
  const Question question{"example.org", Type::kMx};
  ASSERT_EQ(dns::read_answer(good, question).records.size(), 2U);
  for (std::size_t n = 0; n < good.size(); ++n) {
    // On the heap with its exact length, so that a sanitizer sees a step too far.
    const std::string cut(good.data(), n);
    EXPECT_NE(dns::read_answer(cut, question).status, Status::kOk) << n;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    std::string changed = good;
    for (int k = 0; k < 3; ++k) changed[random() % changed.size()] = static_cast<char>(random());
    for (const auto& text : dns::read_answer(changed, question).records) {
      ASSERT_LE(text.size(), 6U + 4 * 255);
    }
  }
}

TEST(Name, WhatDnsCanHold) {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
  for (const std::string& good :
       {std::string("a"), std::string("example.org"), std::string("_dmarc.example.org"), label,
        longest, std::string("a\\.b.c"), std::string("a\\000b"), std::string("s1._domainkey.x"),
        std::string("*.x"), std::string("\xc3\xa4.example")}) {
    EXPECT_TRUE(dns::is_valid_name(good)) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".a"), std::string("a."), std::string("a..b"),
        label + "a", longest + "a", std::string("a\\"), std::string("a\\25"), std::string("a\\256"),
        std::string("a\\0x1"), std::string("a\0b", 3), std::string("\\\0", 2)}) {
    EXPECT_FALSE(dns::is_valid_name(bad)) << bad;
  }
}

}  // namespace
