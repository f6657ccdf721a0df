// DMARC with every answer cached, what one message costs once DNS has spoken, and cold: all replays
// until nothing is missing. DKIM and ARC have one round of questions, which their benches include.
#include <memory>
#include <string>
#include <vector>

#include "operation.h"
#include "policy/dmarc.h"
#include "policy/dmarc_discovery.h"

namespace bench {
namespace {

void answer(dns::Answers& answers, const std::string& domain, const char* record) {
  dns::Answer found{dns::Status::kNxDomain, {}, false};
  if (*record != '\0') found = {dns::Status::kOk, {record}, false};
  answers.put(policy::dmarc_question(domain), found);
}

void walk_of(dns::Answers& answers, const std::string& domain) {
  for (const std::string& name : policy::walk_names(domain)) answer(answers, name, "");
}

std::vector<dkim::SignatureVerdict> signatures(const std::vector<std::string>& domains) {
  std::vector<dkim::SignatureVerdict> list;
  for (const std::string& domain : domains) {
    list.emplace_back();
    list.back().domain = domain;
    list.back().result = dkim::Result::kPass;
  }
  return list;
}

// The From field of `author`; its views stay where they are.
std::shared_ptr<const mail::Headers> from(const std::string& author) {
  struct Message {
    std::string bytes;
    mail::Headers headers;
  };
  const auto message = std::make_shared<Message>();
  message->bytes = "From: Anna <anna@" + author + ">\r\nSubject: order\r\n";
  message->headers = mail::Headers::scan(message->bytes, 100).take();
  return {message, &message->headers};
}

Run evaluate(const std::string& author, const spf::Verdict& spf,
             const std::vector<std::string>& signers, const dns::Answers& answers,
             policy::DmarcProfile profile = policy::DmarcProfile::kRfc9989) {
  return [=, headers = from(author), dkim = signatures(signers)] {
    const auto outcome = policy::evaluate_dmarc(*headers, spf, dkim, answers, profile);
    require(outcome.verdict && outcome.verdict->result == policy::DmarcResult::kPass, "DMARC pass");
  };
}

constexpr const char* kRecord = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com; adkim=r";

Run own_record() {
  dns::Answers answers;
  walk_of(answers, "example.com");
  answer(answers, "example.com", kRecord);
  return evaluate("example.com", {}, {"example.com"}, answers);
}

Run walk_of_five_labels() {
  dns::Answers answers;
  walk_of(answers, "a.b.c.example.com");
  answer(answers, "example.com", kRecord);
  return evaluate("a.b.c.example.com", {}, {"a.b.c.example.com"}, answers);
}

Run relaxed_over_three() {
  dns::Answers answers;
  for (const char* domain :
       {"news.example.com", "bounce.example.com", "other.example.com", "mail.example.com"}) {
    walk_of(answers, domain);
  }
  answer(answers, "example.com", kRecord);
  answer(answers, "other.example.com", "v=DMARC1; p=none; psd=n");
  spf::Verdict spf;
  spf.result = spf::Result::kPass;
  spf.domain = "bounce.example.com";
  return evaluate("news.example.com", spf, {"other.example.com", "mail.example.com"}, answers);
}

Run cold_walk_of_five_labels() {
  dns::Answers world;
  walk_of(world, "a.b.c.example.com");
  answer(world, "example.com", kRecord);
  return [world, headers = from("a.b.c.example.com"), dkim = signatures({"a.b.c.example.com"})] {
    dns::Answers answers;
    for (;;) {
      const auto outcome = policy::evaluate_dmarc(*headers, {}, dkim, answers);
      if (outcome.verdict) break;
      for (const dns::Question& question : outcome.missing) {
        answers.put(question, *world.find(question));
      }
    }
  };
}

Run rfc7489_relaxed() {
  dns::Answers answers;
  walk_of(answers, "news.example.com");
  answer(answers, "example.com", kRecord);
  return evaluate("news.example.com", {}, {"mail.example.com"}, answers,
                  policy::DmarcProfile::kRfc7489);
}

}  // namespace

Operations dmarc_operations() {
  return {{"dmarc/own_record", own_record},
          {"dmarc/walk_of_five_labels", walk_of_five_labels},
          {"dmarc/relaxed_over_three", relaxed_over_three},
          {"dmarc/cold/walk_of_five_labels", cold_walk_of_five_labels},
          {"dmarc/rfc7489/relaxed", rfc7489_relaxed}};
}

}  // namespace bench
