// What becomes of judged mail (product rules A2, A3), and what trusted servers recorded about it.
#include "policy/disposition.h"

#include <gtest/gtest.h>

#include "policy/recorded.h"

namespace {

using policy::Disposition;
using policy::DmarcResult;
using policy::InboundMode;
using policy::Judgement;

dkim::SignatureVerdict signature(const std::string& domain, dkim::Result result,
                                 std::uint64_t unsigned_octets = 0) {
  dkim::SignatureVerdict verdict;
  verdict.domain = domain;
  verdict.result = result;
  verdict.unsigned_octets = unsigned_octets;
  return verdict;
}

Judgement judged(DmarcResult result, const std::string& policy_word = "reject") {
  Judgement judgement;
  judgement.spf = spf::Verdict{spf::Result::kNone, "bank.example", "", ""};
  judgement.dmarc.result = result;
  judgement.dmarc.from_domain = judgement.dmarc.organizational_domain = "bank.example";
  judgement.dmarc.policy = policy_word;
  judgement.dmarc.reason = "why";
  if (result == DmarcResult::kPass || result == DmarcResult::kFail) {
    judgement.dmarc.policy_domain = "bank.example";
    judgement.dmarc.aligned_signers = {"bank.example"};
  }
  return judgement;
}

struct Row {
  const char* what;
  Judgement judgement;
  bool failed;
  const char* words;  // in one of the reasons; "" where there is none
};

std::vector<Row> rows() {
  std::vector<Row> rows;
  rows.push_back({"pass", judged(DmarcResult::kPass), false, ""});
  rows.push_back({"fail, p=reject", judged(DmarcResult::kFail), true, "asks to reject"});
  rows.push_back(
      {"fail, p=quarantine", judged(DmarcResult::kFail, "quarantine"), true, "suspicious"});
  rows.push_back({"fail, p=none", judged(DmarcResult::kFail, "none"), true, "no action"});
  rows.push_back({"temperror", judged(DmarcResult::kTempError), true, "could not be checked"});
  rows.push_back({"permerror", judged(DmarcResult::kPermError), true, "cannot be checked"});

  Judgement no_author = judged(DmarcResult::kNone);
  no_author.dmarc.from_domain.clear();
  rows.push_back({"no author", no_author, true, "cannot be checked"});

  rows.push_back({"no policy, no proof", judged(DmarcResult::kNone), false, "Nothing proves"});
  Judgement relayed_none = judged(DmarcResult::kNone);
  relayed_none.authenticated_user = "u";
  rows.push_back({"no policy, behind the relay", relayed_none, false, ""});
  Judgement spf_fail = judged(DmarcResult::kNone);
  spf_fail.spf = spf::Verdict{spf::Result::kFail, "bank.example", "go away", ""};
  rows.push_back({"no policy, SPF fail", spf_fail, true, "that domain says: go away"});
  Judgement softfail = judged(DmarcResult::kNone);
  softfail.spf->result = spf::Result::kSoftFail;
  rows.push_back({"no policy, softfail", softfail, false, "Nothing proves"});
  Judgement spf_pass = judged(DmarcResult::kNone);
  spf_pass.spf = spf::Verdict{spf::Result::kPass, "bounce.bank.example", "", ""};
  rows.push_back({"no policy, SPF pass below the author", spf_pass, false, ""});
  Judgement foreign_pass = judged(DmarcResult::kNone);
  foreign_pass.spf = spf::Verdict{spf::Result::kPass, "evil.example", "", ""};
  rows.push_back({"no policy, SPF pass of another", foreign_pass, false, "Nothing proves"});
  Judgement signed_fail = spf_fail;
  signed_fail.dkim = {signature("bank.example", dkim::Result::kPass)};
  rows.push_back({"no policy, SPF fail, signed by the author", signed_fail, false, ""});
  Judgement foreign_signed = spf_fail;
  foreign_signed.dkim = {signature("notbank.example", dkim::Result::kPass)};
  rows.push_back({"no policy, SPF fail, signed by another", foreign_signed, true, "SPF failed"});

  Judgement partial = judged(DmarcResult::kPass);
  partial.dmarc.dkim_aligned = true;
  partial.dkim = {signature("bank.example", dkim::Result::kPass, 10)};
  rows.push_back({"only l= of the author", partial, true, "only the beginning"});
  Judgement two = partial;
  two.dkim.push_back(signature("mail.bank.example", dkim::Result::kPass));
  two.dmarc.aligned_signers.emplace_back("mail.bank.example");
  rows.push_back({"l=, and a whole one", two, false, ""});
  Judgement other_whole = partial;
  other_whole.dkim.push_back(signature("list.example", dkim::Result::kPass));
  rows.push_back({"l=, and a whole one of another", other_whole, true, "only the beginning"});
  Judgement below = two;  // psd=n makes a name below the author another organisation
  below.dmarc.aligned_signers = {"bank.example"};
  rows.push_back({"l=, and a whole one that does not align", below, true, "only the beginning"});
  Judgement relayed_partial = partial;
  relayed_partial.authenticated_user = "u";
  relayed_partial.recorded = policy::Recorded{{"mx.acme.example"}, {}, {}, "pass", "bank.example"};
  relayed_partial.recorded->dkim = {signature("bank.example", dkim::Result::kPass)};
  rows.push_back({"l=, and the same recorded", relayed_partial, true, "only the beginning"});
  Judgement with_spf = partial;
  with_spf.dmarc.spf_aligned = true;
  rows.push_back({"l=, and SPF", with_spf, false, ""});

  Judgement sealed = judged(DmarcResult::kFail);
  sealed.arc_record = policy::Recorded{{"list.example"}, {}, {}, "pass", "bank.example"};
  rows.push_back({"sealers trusted, but no proof in their records", sealed, true, "Nothing"});
  sealed.stand_in = Judgement::StandIn::kSealers;
  rows.push_back({"trusted sealers stand in", sealed, false, "list.example"});
  Judgement relayed = judged(DmarcResult::kFail);
  relayed.authenticated_user = "u";
  relayed.spf.reset();
  rows.push_back({"behind the relay, nothing known", relayed, true, "trusted_authserv_ids"});
  relayed.recorded = policy::Recorded{{"mx.acme.example"}, {}, {}, "fail", "bank.example"};
  rows.push_back({"behind the relay, it saw nothing either", relayed, true, "no proof either"});
  relayed.stand_in = Judgement::StandIn::kOrganisation;
  rows.push_back({"behind the relay, it stands in", relayed, false, "mx.acme.example"});
  return rows;
}

TEST(Disposition, OfEveryJudgementInEveryMode) {
  for (const Row& row : rows()) {
    for (const auto mode : {InboundMode::kStandard, InboundMode::kEnhanced, InboundMode::kStrict}) {
      Judgement judgement = row.judgement;
      policy::decide_disposition(judgement, mode);
      const bool suspended = judgement.disposition == Disposition::kSuspended;
      EXPECT_EQ(suspended, row.failed && mode != InboundMode::kStandard) << row.what;
      std::string reasons;
      for (const std::string& one : judgement.reasons) reasons += one + "\n";
      EXPECT_EQ(reasons.empty(), std::string(row.words).empty()) << row.what << ": " << reasons;
      EXPECT_NE(reasons.find(row.words), std::string::npos) << row.what << ": " << reasons;
    }
  }
}

std::string recorded(const std::string& block, bool null_sender = false) {
  const auto headers = mail::Headers::scan(block, 100);
  EXPECT_TRUE(headers.ok());
  const auto found = policy::recorded_by_organisation(
      *headers, {"mx.acme.example", "in.acme.example"}, null_sender);
  if (!found) return "nothing";
  std::string text = found->spf ? "spf " + found->spf->domain : "";
  for (const auto& one : found->dkim) text += " dkim " + one.domain;
  if (!found->dmarc.empty()) text += " dmarc " + found->dmarc + " " + found->dmarc_from;
  return text;
}

struct RecordedRow {
  const char* what;
  const char* block;
  const char* expected;
  bool null_sender = false;
};

TEST(Recorded, WhatCountsOfTheOrganisationsServers) {
  const RecordedRow rows[] = {
      {"nothing there", "Subject: x\r\n", "nothing"},
      {"of another server", "Authentication-Results: acme.example; spf=pass smtp.helo=a.test\r\n",
       "nothing"},
      {"malformed", "Authentication-Results: mx.acme.example; (spf=pass\r\n", "nothing"},
      {"case, dots, folding",
       "Authentication-Results: MX.acme.example.; spf=pass smtp.mailfrom=u@Bank.example;\r\n"
       " dkim=fail header.d=x.test; dkim=pass header.i=@mail.bank.example\r\n",
       "spf bank.example dkim mail.bank.example"},
      {"one field a method",
       "Authentication-Results: mx.acme.example; dmarc=pass header.from=BANK.example\r\n"
       "Authentication-Results: mx.acme.example; dkim=pass header.d=bank.example\r\n",
       " dkim bank.example dmarc pass bank.example"},
      {"the topmost of a method counts",
       "Authentication-Results: mx.acme.example; dmarc=fail header.from=bank.example\r\n"
       "Authentication-Results: mx.acme.example; dmarc=pass header.from=bank.example\r\n",
       " dmarc fail bank.example"},
      {"so a stranger's below adds nothing",
       "Authentication-Results: mx.acme.example; spf=fail smtp.mailfrom=bank.example\r\n"
       "Authentication-Results: mx.acme.example; spf=pass smtp.mailfrom=bank.example\r\n",
       ""},
      {"two servers",
       "Authentication-Results: in.acme.example; dmarc=fail header.from=a.test\r\n"
       "Authentication-Results: mx.acme.example; dmarc=pass header.from=a.test\r\n",
       " dmarc pass a.test"},
      {"where DMARC failed, its parts prove nothing",
       "Authentication-Results: mx.acme.example; dmarc=fail header.from=bank.example;\r\n"
       " spf=pass smtp.mailfrom=bank.example; dkim=pass header.d=bank.example\r\n",
       " dmarc fail bank.example"},
      {"two DMARC results of one server",
       "Authentication-Results: mx.acme.example; dmarc=pass header.from=a.test;\r\n"
       " dmarc=fail header.from=bank.example; dkim=pass header.d=bank.example\r\n",
       ""},
      {"HELO beside a sender",
       "Authentication-Results: mx.acme.example; spf=pass smtp.helo=bank.example;\r\n"
       " spf=fail smtp.mailfrom=x@evil.test\r\n",
       "", true},
      {"HELO with a sender in our envelope",
       "Authentication-Results: mx.acme.example; spf=pass smtp.helo=bank.example\r\n", ""},
      {"HELO of the null sender",
       "Authentication-Results: mx.acme.example; spf=pass smtp.helo=bank.example\r\n",
       "spf bank.example", true},
      {"two addresses in one value",
       "Authentication-Results: mx.acme.example; spf=pass "
       "smtp.mailfrom=\"a@evil.test,b@c.test\"\r\n",
       ""},
      {"an address behind an address",
       "Authentication-Results: mx.acme.example; spf=pass smtp.mailfrom=a@b.test@c.test\r\n", ""},
  };
  for (const RecordedRow& row : rows) {
    EXPECT_EQ(recorded(row.block, row.null_sender), row.expected) << row.what;
  }
  policy::Recorded pass;
  pass.dmarc = "pass";
  pass.dmarc_from = "bank.example";
  EXPECT_TRUE(policy::says_dmarc_pass(pass, "bank.example"));
  EXPECT_FALSE(policy::says_dmarc_pass(pass, "evil.example"));
  EXPECT_FALSE(policy::says_dmarc_pass(pass, ""));
}

TEST(Recorded, SealersFromTheNewestBackToTheFirstStranger) {
  dkim::ArcVerdict arc;
  arc.result = dkim::ArcResult::kPass;
  arc.sets = {{1, "first.example", "s", "none", "first.example",
               "first.example; dmarc=pass header.from=bank.example"},
              {2, "second.example", "s", "pass", "second.example", "second.example; spf=none"},
              {3, "third.example", "s", "pass", "third.example", "third.example; dmarc=fail"}};
  const auto by = [&](const std::vector<std::string>& trusted) {
    const auto recorded = policy::recorded_by_sealers(arc, trusted, false);
    return recorded ? std::optional(recorded->dmarc + " " + std::to_string(recorded->by.size()))
                    : std::nullopt;
  };
  EXPECT_EQ(by({}), std::nullopt);
  EXPECT_EQ(by({"first.example"}), std::nullopt);  // two strangers could have changed it since
  EXPECT_EQ(by({"first.example", "third.example"}), "fail 1");
  EXPECT_EQ(by({"first.example", "second.example", "third.example"}), "pass 3");
  arc.unsigned_octets = 1;
  EXPECT_EQ(by({"first.example", "second.example", "third.example"}), std::nullopt);
  arc.unsigned_octets = 0;
  arc.result = dkim::ArcResult::kFail;
  EXPECT_EQ(by({"first.example", "second.example", "third.example"}), std::nullopt);
}

}  // namespace
