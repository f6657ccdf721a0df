// SPF evaluations a second: with all answers there (a verdict in one call), and cold, from no
// answer to the verdict through all rounds of replay. Both engines.
#include <map>
#include <string>
#include <vector>

#include "operation.h"
#include "spf/spf.h"

namespace bench {
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
    if (outcome.verdict) return;
    for (const dns::Question& question : outcome.missing) {
      answers.put(question, answer(world, question));
    }
  }
}

Run cached(const World& world, spf::Engine engine) {
  dns::Answers answers;
  replay(world, engine, answers);
  return [=]() mutable { replay(world, engine, answers); };
}

Run cold(const World& world, spf::Engine engine) {
  return [=] {
    dns::Answers answers;
    replay(world, engine, answers);
  };
}

}  // namespace

Operations spf_operations() {
  Operations list;
  for (const auto& [how, make] : {std::pair{"cached", &cached}, {"cold", &cold}}) {
    for (const auto& [name, world] : {std::pair{"simple", &simple},
                                      {"five_includes", &five_includes},
                                      {"exchangers", &exchangers}}) {
      for (const auto& [engine_name, engine] :
           {std::pair{"native", spf::Engine::kNative}, {"libspf2", spf::Engine::kLibspf2}}) {
        list.push_back({std::string("spf/") + how + "/" + name + "/" + engine_name,
                        [=] { return make(world(), engine); }});
      }
    }
  }
  return list;
}

}  // namespace bench
