// Judges one inbound message (product rule A1): starts the DNS questions as soon as the header is
// known, hashes the body as it passes, and replays SPF, DKIM, DMARC and ARC over the answers until
// all have a verdict. Bounded in questions, rounds and time. Loop's thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/resolver.h"
#include "core/mail/headers.h"
#include "core/net/loop.h"
#include "dkim/arc.h"
#include "dkim/verifier.h"
#include "policy/accounts.h"
#include "policy/judgement.h"

namespace ingress {

// Whom an inquiry works with; they outlive it.
struct InquiryTools {
  net::Loop* loop = nullptr;
  dns::Resolver* resolver = nullptr;  // of this loop
  std::shared_ptr<dkim::Library> dkim;
};

struct InquiryFacts {
  std::string ip, helo, mail_from, receiver;
  std::string authenticated_user;  // set: the path is vouched for, SPF is not asked (rule A3)
  std::vector<std::string> trusted_authserv_ids;  // of the domain; count only behind its relay
  policy::InboundMode mode = policy::InboundMode::kStandard;
  std::int64_t wall_s = 0;  // when the client said it, for the macro %{t}
  bool check_helo = true;   // as a second identity, where there is a sender
};

// What was done to come to a judgement, a line a step, for `relayctl check`.
struct InquirySteps {
  std::vector<std::string> spf, helo, dmarc;
  std::vector<std::pair<dns::Question, dns::Answer>> questions;  // in the order of their answers
};

class Inquiry : public std::enable_shared_from_this<Inquiry> {
 public:
  // `headers` and the bytes behind it must live as long as the inquiry; so must `steps`, which is
  // filled where it is given.
  Inquiry(InquiryTools tools, const base::Limits& limits, const policy::JudgementRules& rules,
          InquiryFacts facts, const mail::Headers& headers, InquirySteps* steps = nullptr);
  ~Inquiry();

  void start();
  void body(std::string_view bytes);
  // The body is complete. `on_done` comes once, from the loop or from inside this call.
  void finish(std::function<void(policy::Judgement)> on_done);

 private:
  using Questions = std::vector<dns::Question>;
  void ask(const Questions& questions);
  void send();
  void answered(const dns::Question& question, const dns::Answer& answer);
  void advance();
  Questions check_spf();
  void check_signatures();
  Questions check_dmarc();
  Questions check_stand_in();
  void conclude();
  void give_up_waiting();

  const InquiryTools tools_;
  const base::Limits limits_;
  const policy::JudgementRules rules_;
  const InquiryFacts facts_;
  const mail::Headers& headers_;
  InquirySteps* const steps_;
  dkim::Verifier verifier_;
  dkim::ArcVerifier arc_;
  Questions key_questions_;
  net::Timer deadline_;
  dns::Answers answers_;
  std::set<dns::Question> asked_for_;
  std::deque<dns::Question> unsent_;
  std::size_t open_questions_ = 0;  // sent
  std::int64_t asked_ = 0;          // and the aliases on the way to their answers
  std::int64_t rounds_ = 0;
  bool out_of_patience_ = false;  // the deadline or a bound has passed: what is missing timed out
  bool signatures_done_ = false;
  bool dmarc_done_ = false;
  policy::Judgement judgement_;
  std::function<void(policy::Judgement)> on_done_;
};

}  // namespace ingress
