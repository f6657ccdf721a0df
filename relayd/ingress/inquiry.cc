#include "relayd/ingress/inquiry.h"

#include "core/base/log.h"

namespace ingress {

Inquiry::Inquiry(const Workplace& workplace, const base::Limits& limits, InquiryFacts facts,
                 const mail::Headers& headers)
    : workplace_(workplace),
      limits_(limits),
      facts_(std::move(facts)),
      headers_(headers),
      verifier_(workplace.dkim, limits),
      deadline_(*workplace.loop, [this] { give_up_waiting(); }) {
  judgement_.mail_from = facts_.mail_from;
  judgement_.helo = facts_.helo;
  judgement_.authenticated_user = facts_.authenticated_user;
}

Inquiry::~Inquiry() = default;

void Inquiry::start() {
  dkim_questions_ = verifier_.headers(headers_);
  ask(dkim_questions_);
  advance();
}

void Inquiry::body(std::string_view bytes) { verifier_.body(bytes); }

void Inquiry::finish(std::function<void(policy::Judgement)> on_done) {
  on_done_ = std::move(on_done);
  deadline_.start_ms(limits_.judgement_timeout);
  advance();
}

void Inquiry::ask(const std::vector<dns::Question>& questions) {
  for (const dns::Question& question : questions) {
    if (answers_.find(question) != nullptr) continue;
    if (out_of_patience_ || asked_ >= limits_.dns_queries) {
      answers_.put(question, dns::Answer{dns::Status::kTimeout, {}, false});
      continue;
    }
    ++asked_;
    ++open_questions_;
    workplace_.resolver->query(
        question, [self = weak_from_this()](const dns::Question& asked, const dns::Answer& answer) {
          if (const auto inquiry = self.lock()) inquiry->answered(asked, answer);
        });
  }
}

void Inquiry::answered(const dns::Question& question, const dns::Answer& answer) {
  --open_questions_;
  if (!out_of_patience_) answers_.put(question, answer);
  if (open_questions_ == 0 && !out_of_patience_) advance();
}

// One replay: every check that has no verdict yet looks at the answers and names what is missing;
// all of it goes out together. Ends when nothing is missing and the body is complete.
void Inquiry::advance() {
  while (open_questions_ == 0 || out_of_patience_) {
    if (++rounds_ > limits_.dns_rounds) out_of_patience_ = true;
    std::vector<dns::Question> missing;
    if (facts_.authenticated_user.empty() && !spf_) {
      spf::Outcome outcome = spf::evaluate(
          {facts_.ip, facts_.helo, facts_.mail_from, facts_.receiver}, answers_, limits_);
      spf_ = std::move(outcome.verdict);
      missing = std::move(outcome.missing);
    }
    if (missing.empty() && on_done_) {
      if (!dkim_done_) {
        judgement_.dkim = verifier_.finish(answers_);
        dkim_done_ = true;
      }
      judgement_.spf = spf_;
      policy::DmarcOutcome dmarc = policy::evaluate_dmarc(headers_, spf_.value_or(spf::Verdict{}),
                                                          judgement_.dkim, answers_);
      if (dmarc.verdict) {
        judgement_.dmarc = std::move(*dmarc.verdict);
        deadline_.stop();
        const auto done = std::move(on_done_);
        on_done_ = nullptr;
        done(std::move(judgement_));
        return;
      }
      missing = std::move(dmarc.missing);
    }
    if (missing.empty()) return;  // the body is still coming
    ask(missing);
  }
}

void Inquiry::give_up_waiting() {
  base::log_warning("judgement out of time", {{"mail_from", facts_.mail_from}});
  out_of_patience_ = true;
  // Keys that never came: the verifier wants an answer for each question it named.
  ask(dkim_questions_);
  advance();
}

}  // namespace ingress
