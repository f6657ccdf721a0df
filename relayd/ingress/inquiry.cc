#include "relayd/ingress/inquiry.h"

#include <algorithm>

#include "core/base/log.h"
#include "policy/disposition.h"
#include "policy/recorded.h"

namespace ingress {
namespace {

// The HELO name is a second identity of the same sender; it may cost a third of all questions.
base::Limits for_helo(base::Limits limits) {
  limits.dns_queries = std::max<std::int64_t>(1, limits.dns_queries / 3);
  return limits;
}

}  // namespace

Inquiry::Inquiry(InquiryTools tools, const base::Limits& limits,
                 const policy::JudgementRules& rules, InquiryFacts facts,
                 const mail::Headers& headers, InquirySteps* steps)
    : tools_(std::move(tools)),
      limits_(limits),
      rules_(rules),
      facts_(std::move(facts)),
      headers_(headers),
      steps_(steps),
      verifier_(tools_.dkim, limits),
      arc_(limits),
      deadline_(*tools_.loop, [this] { give_up_waiting(); }) {
  judgement_.mail_from = facts_.mail_from;
  judgement_.helo_name = facts_.helo;
  judgement_.authenticated_user = facts_.authenticated_user;
}

Inquiry::~Inquiry() = default;

void Inquiry::start() {
  key_questions_ = verifier_.headers(headers_);
  for (dns::Question& question : arc_.headers(headers_)) {
    key_questions_.push_back(std::move(question));
  }
  ask(key_questions_);
  // Where a policy may stand is known from the From field alone.
  ask(policy::evaluate_dmarc(headers_, {}, {}, answers_, rules_.dmarc_profile).missing);
  advance();
}

void Inquiry::body(std::string_view bytes) {
  verifier_.body(bytes);
  arc_.body(bytes);
}

void Inquiry::finish(std::function<void(policy::Judgement)> on_done) {
  on_done_ = std::move(on_done);
  deadline_.start_ms(limits_.judgement_timeout);
  advance();
}

void Inquiry::ask(const Questions& questions) {
  for (const dns::Question& question : questions) {
    if (answers_.find(question) != nullptr) continue;
    if (out_of_patience_ || asked_ >= limits_.dns_queries) {
      answers_.put(question, dns::Answer{dns::Status::kTimeout, {}, false});
      continue;
    }
    ++asked_;
    ++open_questions_;
    tools_.resolver->query(
        question, [self = weak_from_this()](const dns::Question& asked, const dns::Answer& answer) {
          if (const auto inquiry = self.lock()) inquiry->answered(asked, answer);
        });
  }
}

void Inquiry::answered(const dns::Question& question, const dns::Answer& answer) {
  --open_questions_;
  if (steps_ != nullptr) steps_->questions.emplace_back(question, answer);
  if (!out_of_patience_) answers_.put(question, answer);
  if (open_questions_ == 0 && !out_of_patience_) advance();
}

// One replay: every check that has no verdict yet looks at the answers and names what is missing;
// all of it goes out together. Ends when nothing is missing and the body is complete.
void Inquiry::advance() {
  while (open_questions_ == 0 || out_of_patience_) {
    if (++rounds_ > limits_.dns_rounds) out_of_patience_ = true;
    Questions missing = check_spf();
    if (missing.empty()) {
      if (!on_done_) return;  // the body is still coming
      check_signatures();
      missing = check_dmarc();
      if (missing.empty()) missing = check_stand_in();
      if (missing.empty()) {
        conclude();
        return;
      }
    }
    ask(missing);
  }
}

// Both identities of RFC 7208 2.3 and 2.4; the null sender has only the HELO name.
Inquiry::Questions Inquiry::check_spf() {
  if (!facts_.authenticated_user.empty()) return {};
  Questions missing;
  const auto check = [&](std::optional<spf::Verdict>& verdict, const std::string& mail_from,
                         const base::Limits& limits, std::vector<std::string>* steps) {
    if (verdict) return;
    spf::Outcome outcome =
        spf::evaluate({facts_.ip, facts_.helo, mail_from, facts_.receiver, facts_.wall_s}, answers_,
                      limits, rules_.spf_engine, steps);
    verdict = std::move(outcome.verdict);
    missing.insert(missing.end(), outcome.missing.begin(), outcome.missing.end());
  };
  if (!facts_.mail_from.empty() && facts_.check_helo) {
    check(judgement_.helo, "", for_helo(limits_), steps_ == nullptr ? nullptr : &steps_->helo);
  }
  check(judgement_.spf, facts_.mail_from, limits_, steps_ == nullptr ? nullptr : &steps_->spf);
  return missing;
}

void Inquiry::check_signatures() {
  if (signatures_done_) return;
  signatures_done_ = true;
  // The verifiers want an answer for each question they named; what never came timed out.
  for (const dns::Question& question : key_questions_) {
    if (answers_.find(question) == nullptr) {
      answers_.put(question, dns::Answer{dns::Status::kTimeout, {}, false});
    }
  }
  judgement_.dkim = verifier_.finish(answers_);
  judgement_.arc = arc_.finish(answers_);
  judgement_.arc_record = policy::recorded_by_sealers(judgement_.arc, rules_.trusted_sealers);
  if (!facts_.authenticated_user.empty()) {
    judgement_.recorded = policy::recorded_by_organisation(headers_, facts_.trusted_authserv_ids);
  }
}

// Behind the organisation's relay what its own server recorded counts like our own checks (rule
// A3): it stood where we stand for other mail.
Inquiry::Questions Inquiry::check_dmarc() {
  if (dmarc_done_) return {};
  spf::Verdict spf = judgement_.spf.value_or(spf::Verdict{});
  std::vector<dkim::SignatureVerdict> signatures = judgement_.dkim;
  if (const auto& recorded = judgement_.recorded) {
    if (recorded->spf) spf = *recorded->spf;
    signatures.insert(signatures.end(), recorded->dkim.begin(), recorded->dkim.end());
  }
  policy::DmarcOutcome outcome =
      policy::evaluate_dmarc(headers_, spf, signatures, answers_, rules_.dmarc_profile,
                             steps_ == nullptr ? nullptr : &steps_->dmarc);
  if (!outcome.verdict) return std::move(outcome.missing);
  judgement_.dmarc = std::move(*outcome.verdict);
  dmarc_done_ = true;
  return {};
}

// Where DMARC failed: would it have passed where somebody trusted saw the message?
Inquiry::Questions Inquiry::check_stand_in() {
  if (judgement_.dmarc.result != policy::DmarcResult::kFail) return {};
  const std::string& author = judgement_.dmarc.from_domain;
  using StandIn = policy::Judgement::StandIn;
  if (judgement_.recorded && policy::says_dmarc_pass(*judgement_.recorded, author)) {
    judgement_.stand_in = StandIn::kOrganisation;
    return {};
  }
  if (!judgement_.arc_record) return {};
  if (policy::says_dmarc_pass(*judgement_.arc_record, author)) {
    judgement_.stand_in = StandIn::kSealers;
    return {};
  }
  policy::DmarcOutcome outcome =
      policy::evaluate_dmarc(headers_, judgement_.arc_record->spf.value_or(spf::Verdict{}),
                             judgement_.arc_record->dkim, answers_, rules_.dmarc_profile);
  if (!outcome.verdict) return std::move(outcome.missing);
  if (outcome.verdict->result == policy::DmarcResult::kPass) {
    judgement_.stand_in = StandIn::kSealers;
  }
  return {};
}

void Inquiry::conclude() {
  policy::decide_disposition(judgement_, facts_.mode);
  deadline_.stop();
  const auto done = std::move(on_done_);
  on_done_ = nullptr;
  done(std::move(judgement_));
}

void Inquiry::give_up_waiting() {
  base::log_warning("judgement out of time", {{"mail_from", facts_.mail_from}});
  out_of_patience_ = true;
  advance();
}

}  // namespace ingress
