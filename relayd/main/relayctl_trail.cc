#include "relayd/main/relayctl_trail.h"

#include <iostream>
#include <memory>
#include <string>

#include "relayd/main/relayctl_print.h"

namespace relayctl {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
  return printable(object.at(key).get<std::string>());
}

void print_trail(const json& answer) {
  for (const json& message : answer.at("messages")) {
    std::cout << text_of(message, "id") << "  " << text_of(message, "state") << "\n";
    std::uint64_t expected = 0;
    for (const json& step : message.at("steps")) {
      const auto number = step.at("number").get<std::uint64_t>();
      if (number > expected) {
        std::cout << "  (" << number - expected << " steps between are not kept)\n";
      }
      expected = number + 1;
      std::cout << "  " << text_of(step, "time") << "  " << text_of(step, "sentence") << "\n";
    }
  }
  if (answer.at("more").get<bool>()) std::cout << "and older ones; ask more precisely\n";
}

void answer(Context& c, const json& document, void (*for_people)(const json&)) {
  if (!c.json) return for_people(document);
  std::cout << document.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
}

using Run = void (*)(Context&, const std::string&);

void verb(CLI::App& app, Action& chosen, const char* name, const char* help, const char* argument,
          const char* what, Run run) {
  CLI::App* command = app.add_subcommand(name, help);
  auto value = std::make_shared<std::string>();
  command->add_option(argument, *value, what)->required();
  command->callback(
      [&chosen, value, run] { chosen = [value, run](Context& context) { run(context, *value); }; });
}

}  // namespace

void add_trail_verbs(CLI::App& app, Action& chosen) {
  verb(app, chosen, "trail", "every step of a message, also of one that is gone", "QUERY",
       "queue id, Message-ID, address, remote queue id or ticket id",
       [](Context& c, const std::string& query) {
         answer(c, c.client.get({"v1", "trail"}, {{"q", query}}), print_trail);
       });
  verb(app, chosen, "explain", "what a message waits for, or what became of it", "ID", "queue id",
       [](Context& c, const std::string& id) {
         answer(c, c.client.get({"v1", "explain", id}),
                [](const json& document) { std::cout << text_of(document, "text") << "\n"; });
       });
}

}  // namespace relayctl
