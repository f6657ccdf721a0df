// DMARC with every answer cached, what one message costs once DNS has spoken, and cold: all replays
// until nothing is missing. DKIM and ARC have one round of questions, which their benches include.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "policy/dmarc.h"
#include "policy/dmarc_discovery.h"

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

void evaluate(benchmark::State& state, const std::string& author, const spf::Verdict& spf,
              const std::vector<dkim::SignatureVerdict>& dkim, const dns::Answers& answers,
              policy::DmarcProfile profile = policy::DmarcProfile::kRfc9989) {
  const std::string header = "From: Anna <anna@" + author + ">\r\nSubject: order\r\n";
  const auto headers = mail::Headers::scan(header, 100).take();
  for (auto _ : state) {
    const auto outcome = policy::evaluate_dmarc(headers, spf, dkim, answers, profile);
    if (!outcome.verdict || outcome.verdict->result != policy::DmarcResult::kPass) {
      state.SkipWithError("no pass");
    }
  }
  state.SetItemsProcessed(state.iterations());
}

constexpr const char* kRecord = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com; adkim=r";

void dmarc_own_record(benchmark::State& state) {
  dns::Answers answers;
  walk_of(answers, "example.com");
  answer(answers, "example.com", kRecord);
  evaluate(state, "example.com", {}, signatures({"example.com"}), answers);
}
BENCHMARK(dmarc_own_record);

void dmarc_walk_of_five_labels(benchmark::State& state) {
  dns::Answers answers;
  walk_of(answers, "a.b.c.example.com");
  answer(answers, "example.com", kRecord);
  evaluate(state, "a.b.c.example.com", {}, signatures({"a.b.c.example.com"}), answers);
}
BENCHMARK(dmarc_walk_of_five_labels);

void dmarc_relaxed_over_three(benchmark::State& state) {
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
  evaluate(state, "news.example.com", spf, signatures({"other.example.com", "mail.example.com"}),
           answers);
}
BENCHMARK(dmarc_relaxed_over_three);

void dmarc_cold_walk_of_five_labels(benchmark::State& state) {
  dns::Answers world;
  walk_of(world, "a.b.c.example.com");
  answer(world, "example.com", kRecord);
  const std::string header = "From: Anna <anna@a.b.c.example.com>\r\n";
  const auto headers = mail::Headers::scan(header, 100).take();
  const auto dkim = signatures({"a.b.c.example.com"});
  for (auto _ : state) {
    dns::Answers answers;
    for (;;) {
      const auto outcome = policy::evaluate_dmarc(headers, {}, dkim, answers);
      if (outcome.verdict) break;
      for (const dns::Question& question : outcome.missing) {
        answers.put(question, *world.find(question));
      }
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(dmarc_cold_walk_of_five_labels);

void dmarc_rfc7489_relaxed(benchmark::State& state) {
  dns::Answers answers;
  walk_of(answers, "news.example.com");
  answer(answers, "example.com", kRecord);
  evaluate(state, "news.example.com", {}, signatures({"mail.example.com"}), answers,
           policy::DmarcProfile::kRfc7489);
}
BENCHMARK(dmarc_rfc7489_relaxed);

}  // namespace
