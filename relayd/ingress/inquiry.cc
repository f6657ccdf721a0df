#include "relayd/ingress/inquiry.h"

#include <algorithm>

#include "policy/disposition.h"
#include "policy/recorded.h"

namespace ingress {
namespace {

// So many are under way at once. An alias costs its query before it can be counted, so this bounds
// by how much a message can pass limits.dns_queries.
constexpr std::size_t kOpenMax = 16;
// What a failed question may have cost: the chain of aliases that the resolver follows.
constexpr std::int64_t kFailedCost = 5;
// Keys are the sender's to name, as many as it likes; what the checks of its envelope and its
// author need is kept for them.
constexpr std::int64_t kKeysShare = 3;  // this part of limits.dns_queries is not for keys

// With so many questions of a loop unanswered somebody sends names of silent servers: keys, of
// which a message may name dozens, are not asked for then (temperror of that message alone).
constexpr std::size_t kCrowded = 2000;

// What an identity of SPF may cost, in eighths of limits.dns_queries. Past it the record is to
// blame (permerror), so that the answer does not depend on what else the message made us ask. The
// HELO name is a second identity of the same sender.
constexpr std::int64_t kMailFromEighths = 5;
constexpr std::int64_t kHeloEighths = 2;
base::Limits with_share(base::Limits limits, std::int64_t eighths) {
  limits.dns_queries = std::max<std::int64_t>(1, limits.dns_queries * eighths / 8);
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
  const bool crowded = tools_.resolver->open_questions() > kCrowded;
  const auto keys_max = static_cast<std::size_t>(
      crowded ? 0
              : std::max<std::int64_t>(1, limits_.dns_queries - limits_.dns_queries / kKeysShare));
  // The policy first, so that nothing a sender adds can leave no question for it: where it may
  // stand is known from the From field alone.
  ask(policy::evaluate_dmarc(headers_, {}, {}, answers_, rules_.dmarc_profile).missing);
  ask(check_spf());
  ask({key_questions_.begin(), key_questions_.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                            keys_max, key_questions_.size()))});
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
    if (asked_for_.insert(question).second) {
      unsent_.push_back(question);
    } else if (out_of_patience_ && answers_.find(question) == nullptr) {
      answers_.put(question, dns::Answer{});  // sent, and its answer comes too late
    }
  }
  send();
}

void Inquiry::send() {
  while (!unsent_.empty() && (open_questions_ < kOpenMax || out_of_patience_)) {
    const dns::Question question = std::move(unsent_.front());
    unsent_.pop_front();
    if (out_of_patience_ || asked_ >= limits_.dns_queries) {
      answers_.put(question, dns::Answer{});  // timed out
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
  asked_ += answer.status == dns::Status::kServFail ? kFailedCost
                                                    : static_cast<std::int64_t>(answer.aliases);
  if (steps_ != nullptr) steps_->questions.emplace_back(question, answer);
  if (out_of_patience_) return;
  answers_.put(question, answer);
  send();
  if (open_questions_ == 0) advance();
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
    check(judgement_.helo, "", with_share(limits_, kHeloEighths),
          steps_ == nullptr ? nullptr : &steps_->helo);
  }
  check(judgement_.spf, facts_.mail_from, with_share(limits_, kMailFromEighths),
        steps_ == nullptr ? nullptr : &steps_->spf);
  return missing;
}

void Inquiry::check_signatures() {
  if (signatures_done_) return;
  signatures_done_ = true;
  // The verifiers want an answer for each question they named; what never came timed out.
  for (const dns::Question& question : key_questions_) {
    if (answers_.find(question) == nullptr) {
      answers_.put(question, dns::Answer{});
    }
  }
  judgement_.dkim = verifier_.finish(answers_);
  // What was not examined is counted, not named: a header full of them must not become ours.
  const auto examined_max = static_cast<std::size_t>(limits_.dkim_signatures);
  if (judgement_.dkim.size() > examined_max) {
    judgement_.signatures_not_examined = judgement_.dkim.size() - examined_max;
    judgement_.dkim.resize(examined_max);
  }
  judgement_.arc = arc_.finish(answers_);
  judgement_.arc_record =
      policy::recorded_by_sealers(judgement_.arc, rules_.trusted_sealers, facts_.mail_from.empty());
  if (!facts_.authenticated_user.empty()) {
    judgement_.recorded = policy::recorded_by_organisation(headers_, facts_.trusted_authserv_ids,
                                                           facts_.mail_from.empty());
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
  judgement_.out_of_time = out_of_patience_ = true;
  send();  // what was not sent has timed out, too
  advance();
}

}  // namespace ingress
