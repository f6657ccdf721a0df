// SPF evaluations a second: with all answers there (a verdict in one call), and cold, from no
// answer to the verdict through all rounds of replay. Both engines.
#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

#include "spf/spf.h"

namespace {

using World = std::map<dns::Question, std::vector<std::string>>;

World simple() {
  return {{{"example.com", dns::Type::kTxt}, {"v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/24 -all"}}};
}

World five_includes() {
  World world;
  std::string record = "v=spf1";
  for (int i = 0; i < 5; ++i) {
    const std::string domain = "_spf" + std::to_string(i) + ".example.net";
    record += " include:" + domain;
    std::string included = "v=spf1";
    for (int j = 0; j < 10; ++j) {
      included += " ip4:198.51." + std::to_string(10 * i + j) + ".0/24";
    }
    world[{domain, dns::Type::kTxt}] = {included + " ~all"};
  }
  world[{"example.com", dns::Type::kTxt}] = {record + " ip4:192.0.2.1 -all"};
  return world;
}

World exchangers() {
  World world;
  world[{"example.com", dns::Type::kTxt}] = {"v=spf1 mx -all"};
  for (int i = 0; i < 5; ++i) {
    const std::string host = "mx" + std::to_string(i) + ".example.com";
    world[{"example.com", dns::Type::kMx}].push_back(std::to_string(i) + " " + host);
    world[{host, dns::Type::kA}] = {i == 4 ? "192.0.2.1" : "203.0.113.1"};
  }
  return world;
}

dns::Answer answer(const World& world, const dns::Question& question) {
  const auto at = world.find(question);
  if (at == world.end()) return {dns::Status::kNxDomain, {}, false};
  return {dns::Status::kOk, at->second, false};
}

const spf::Request kRequest = {"192.0.2.1", "mail.example.com", "user@example.com", "relay.test"};

void replay(const World& world, spf::Engine engine, dns::Answers& answers) {
  const base::Limits limits;
  for (;;) {
    const spf::Outcome outcome = spf::evaluate(kRequest, answers, limits, engine);
    benchmark::DoNotOptimize(outcome.verdict);
    if (outcome.verdict) return;
    for (const dns::Question& question : outcome.missing) {
      answers.put(question, answer(world, question));
    }
  }
}

void spf_cached(benchmark::State& state, const World& world, spf::Engine engine) {
  dns::Answers answers;
  replay(world, engine, answers);
  for (auto _ : state) replay(world, engine, answers);
  state.SetItemsProcessed(state.iterations());
}

void spf_cold(benchmark::State& state, const World& world, spf::Engine engine) {
  for (auto _ : state) {
    dns::Answers answers;
    replay(world, engine, answers);
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(spf_cached, simple_native, simple(), spf::Engine::kNative);
BENCHMARK_CAPTURE(spf_cached, simple_libspf2, simple(), spf::Engine::kLibspf2);
BENCHMARK_CAPTURE(spf_cached, five_includes_native, five_includes(), spf::Engine::kNative);
BENCHMARK_CAPTURE(spf_cached, five_includes_libspf2, five_includes(), spf::Engine::kLibspf2);
BENCHMARK_CAPTURE(spf_cached, exchangers_native, exchangers(), spf::Engine::kNative);
BENCHMARK_CAPTURE(spf_cached, exchangers_libspf2, exchangers(), spf::Engine::kLibspf2);
BENCHMARK_CAPTURE(spf_cold, simple_native, simple(), spf::Engine::kNative);
BENCHMARK_CAPTURE(spf_cold, simple_libspf2, simple(), spf::Engine::kLibspf2);
BENCHMARK_CAPTURE(spf_cold, five_includes_native, five_includes(), spf::Engine::kNative);
BENCHMARK_CAPTURE(spf_cold, five_includes_libspf2, five_includes(), spf::Engine::kLibspf2);
BENCHMARK_CAPTURE(spf_cold, exchangers_native, exchangers(), spf::Engine::kNative);
BENCHMARK_CAPTURE(spf_cold, exchangers_libspf2, exchangers(), spf::Engine::kLibspf2);

}  // namespace
