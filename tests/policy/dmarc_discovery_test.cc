// Tree walks, and a cross-check of organizational domains against the public suffix list.
#include "policy/dmarc_discovery.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/mail/address.h"
#include "policy/public_suffix.h"

namespace {

using Names = std::vector<std::string>;

TEST(WalkNames, AtMostEight) {
  // RFC 9989 4.10: names of eight labels and more continue at seven
  EXPECT_EQ(policy::walk_names("example.com"), (Names{"example.com", "com"}));
  EXPECT_EQ(policy::walk_names("com"), (Names{"com"}));
  EXPECT_EQ(policy::walk_names("1.2.3.4.5.6.7").size(), 7U);
  const Names eight = {"1.2.3.4.5.6.7.8", "2.3.4.5.6.7.8", "3.4.5.6.7.8", "4.5.6.7.8",
                       "5.6.7.8",         "6.7.8",         "7.8",         "8"};
  EXPECT_EQ(policy::walk_names("1.2.3.4.5.6.7.8"), eight);
  Names nine = eight;
  nine[0] = "0.1.2.3.4.5.6.7.8";
  EXPECT_EQ(policy::walk_names("0.1.2.3.4.5.6.7.8"), nine);
  const Names example = {"a.b.c.d.e.f.g.h.i.j.mail.example.com",
                         "g.h.i.j.mail.example.com",
                         "h.i.j.mail.example.com",
                         "i.j.mail.example.com",
                         "j.mail.example.com",
                         "mail.example.com",
                         "example.com",
                         "com"};
  EXPECT_EQ(policy::walk_names(example[0]), example);
}

// All names of a walk get an answer: a record where `text` gives one.
policy::TreeWalk walk(const std::string& domain,
                      const std::function<std::string(const std::string&)>& text) {
  dns::Answers answers;
  for (const std::string& name : policy::walk_names(domain)) {
    dns::Answer answer{dns::Status::kNxDomain, {}, false};
    if (const std::string record = text(name); !record.empty()) {
      answer = {dns::Status::kOk, {record}, false};
    }
    answers.put(policy::dmarc_question(name), std::move(answer));
  }
  return policy::walk_tree(domain, answers);
}

TEST(WalkTree, AsksForAllThatMayBeNeeded) {
  dns::Answers answers;
  EXPECT_EQ(policy::walk_tree("a.example.com", answers).missing.size(), 3U);
  // 4.10 steps 2 and 6: what lies behind a psd tag is not asked for once that is known
  answers.put(policy::dmarc_question("a.example.com"),
              {dns::Status::kOk, {"v=DMARC1; p=none; psd=n"}, false});
  const auto stopped = policy::walk_tree("a.example.com", answers);
  EXPECT_TRUE(stopped.missing.empty());
  EXPECT_EQ(stopped.organizational, "a.example.com");
  // a hole in front of it is asked for alone
  dns::Answers above;
  above.put(policy::dmarc_question("example.com"), {dns::Status::kNxDomain, {}, false});
  EXPECT_EQ(policy::walk_tree("a.example.com", above).missing.size(), 2U);
}

TEST(WalkTree, ExamplesOfRfc9989Section4102) {
  const std::string start = "a.mail.example.com";
  EXPECT_EQ(walk(start,
                 [](const std::string& name) {
                   return name == "mail.example.com" || name == "example.com" ? "v=DMARC1; p=none"
                                                                              : "";
                 })
                .organizational,
            "example.com");
  EXPECT_EQ(walk(start,
                 [](const std::string& name) {
                   return name == "mail.example.com" ? "v=DMARC1; p=none; psd=n" : "";
                 })
                .organizational,
            "mail.example.com");
  EXPECT_EQ(
      walk(start,
           [](const std::string& name) { return name == "com" ? "v=DMARC1; p=none; psd=y" : ""; })
          .organizational,
      "example.com");
  EXPECT_EQ(walk(start, [](const std::string&) { return ""; }).organizational, start);
}

// ---- Cross-check against the list --------------------------------------------------------------

bool is_public_suffix(const std::string& name) {
  return policy::registrable_domain(name) == name &&
         policy::registrable_domain("x." + name) == "x." + name;
}

// About a thousand names at, and one to three labels below, suffixes taken evenly from the
// installed list: plain rules, wildcards and exceptions, ICANN's and private ones.
Names names_of_list() {
  std::ifstream list("/usr/share/publicsuffix/public_suffix_list.dat");
  EXPECT_TRUE(list.is_open()) << "the package publicsuffix is not installed";
  Names names;
  std::string line;
  for (int rule = 0; std::getline(list, line);) {
    if (line.empty() || line.starts_with("//")) continue;
    const bool plain = !line.starts_with("*.") && !line.starts_with('!');
    if (plain && ++rule % 60 != 0) continue;
    if (line.starts_with('!')) line.erase(0, 1);
    if (line.starts_with("*.")) line.replace(0, 1, "wild");
    const auto suffix = mail::normalize_domain(line);
    EXPECT_TRUE(suffix.ok()) << line;
    if (!suffix.ok()) continue;
    for (const char* below : {"", "acme.", "mail.acme.", "a.mail.acme."}) {
      names.push_back(below + *suffix);
    }
  }
  return names;
}

TEST(CrossCheck, WherePublicSuffixesSayPsdBothAgree) {
  std::size_t compared = 0;
  for (const std::string& name : names_of_list()) {
    const auto found = walk(name, [](const std::string& at) {
      return is_public_suffix(at) ? "v=DMARC1; p=reject; psd=y" : "";
    });
    EXPECT_EQ(found.organizational, policy::registrable_domain(name)) << name;
    ++compared;
  }
  EXPECT_GE(compared, 600U);
}

TEST(CrossCheck, WhereOrganizationsAloneHaveRecordsBothAgree) {
  for (const std::string& name : names_of_list()) {
    const std::string organization = policy::registrable_domain(name);
    const auto found = walk(name, [&](const std::string& at) {
      return at == organization && !is_public_suffix(at) ? "v=DMARC1; p=reject" : "";
    });
    EXPECT_EQ(found.organizational, organization) << name;
  }
}

TEST(CrossCheck, TheOneDifferenceIsASuffixThatForgotPsd) {
  // RFC 9989 11.8: a public suffix with a record but no psd=y is taken for the organization. Every
  // disagreement is of this kind, and psd=n at the organization mends each.
  std::size_t disagreements = 0;
  for (const std::string& name : names_of_list()) {
    const std::string organization = policy::registrable_domain(name);
    const auto zone = [&](const char* at_organization) {
      return [&organization, at_organization](const std::string& at) -> std::string {
        if (is_public_suffix(at)) return "v=DMARC1; p=reject";
        return at == organization ? at_organization : "";
      };
    };
    const auto found = walk(name, zone("v=DMARC1; p=reject"));
    if (found.organizational != organization) {
      ++disagreements;
      EXPECT_TRUE(is_public_suffix(found.organizational)) << name << ": " << found.organizational;
      EXPECT_TRUE(policy::is_at_or_below(name, found.organizational)) << name;
    }
    if (is_public_suffix(name)) continue;
    EXPECT_EQ(walk(name, zone("v=DMARC1; p=reject; psd=n")).organizational, organization) << name;
  }
  EXPECT_GE(disagreements, 400U);
}

TEST(CrossCheck, WithoutAnyRecordEveryNameIsItsOwn) {
  // RFC 9989 4.10.2, last step. It decides nothing: without a record there is no DMARC (4.10.1).
  for (const std::string& name : names_of_list()) {
    EXPECT_EQ(walk(name, [](const std::string&) { return ""; }).organizational, name);
  }
}

}  // namespace
