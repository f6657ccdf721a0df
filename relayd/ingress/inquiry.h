// Judges one inbound message (product rule A1): starts the DNS questions as soon as the header is
// known, hashes the body as it passes, and replays SPF, DKIM and DMARC over the answers until all
// have a verdict. Bounded in questions, rounds and time. Loop's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/mail/headers.h"
#include "core/net/loop.h"
#include "policy/judgement.h"
#include "relayd/ingress/settings.h"

namespace ingress {

struct InquiryFacts {
  std::string ip, helo, mail_from, receiver;
  std::string authenticated_user;  // set: the path is vouched for, SPF is not asked (rule A3)
};

class Inquiry : public std::enable_shared_from_this<Inquiry> {
 public:
  // `headers` and the bytes behind it must live as long as the inquiry.
  Inquiry(const Workplace& workplace, const base::Limits& limits, InquiryFacts facts,
          const mail::Headers& headers);
  ~Inquiry();

  void start();
  void body(std::string_view bytes);
  // The body is complete. `on_done` comes once, from the loop or from inside this call.
  void finish(std::function<void(policy::Judgement)> on_done);

 private:
  void ask(const std::vector<dns::Question>& questions);
  void answered(const dns::Question& question, const dns::Answer& answer);
  void advance();
  void give_up_waiting();

  const Workplace& workplace_;
  const base::Limits limits_;
  const InquiryFacts facts_;
  const mail::Headers& headers_;
  dkim::Verifier verifier_;
  std::vector<dns::Question> dkim_questions_;
  net::Timer deadline_;
  dns::Answers answers_;
  std::size_t open_questions_ = 0;
  std::int64_t asked_ = 0;
  std::int64_t rounds_ = 0;
  bool out_of_patience_ = false;  // the deadline or a bound has passed: what is missing timed out
  bool dkim_done_ = false;
  std::optional<spf::Verdict> spf_;
  policy::Judgement judgement_;
  std::function<void(policy::Judgement)> on_done_;
};

}  // namespace ingress
