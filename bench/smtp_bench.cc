// The server machine: messages a second through a whole transaction, and content in bytes a second.
#include <benchmark/benchmark.h>

#include <string>

#include "core/mail/headers.h"
#include "core/smtp/server_machine.h"

namespace {

// Answers every question with yes and counts content.
std::size_t run(smtp::ServerMachine& machine, std::string& input) {
  std::size_t content = 0;
  std::span<char> rest(input);
  for (;;) {
    smtp::Step step = machine.next(rest);
    rest = rest.subspan(step.used);
    if (std::holds_alternative<smtp::NeedInput>(step.event)) return content;
    if (const auto* bytes = std::get_if<smtp::Content>(&step.event)) {
      content += bytes->bytes.size();
    } else if (std::holds_alternative<smtp::Mail>(step.event) ||
               std::holds_alternative<smtp::Rcpt>(step.event) ||
               std::holds_alternative<smtp::DataStart>(step.event) ||
               std::holds_alternative<smtp::ContentEnd>(step.event)) {
      machine.answer({250, "2.0.0", "ok"});
    }
    benchmark::DoNotOptimize(machine.take_output());
  }
}

void transaction(benchmark::State& state) {
  base::Limits limits;
  limits.messages_per_session = INT64_MAX;
  smtp::ServerMachine machine({"relay.example.net"}, limits);
  machine.greet();
  std::string hello = "EHLO client.example\r\n";
  run(machine, hello);
  std::string body;
  while (static_cast<std::int64_t>(body.size()) < state.range(0)) {
    body += "a line of an ordinary message, seventy octets long or thereabouts.\r\n";
  }
  const std::string message =
      "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + body + ".\r\n";
  std::string input;
  for (auto _ : state) {
    input = message;
    benchmark::DoNotOptimize(run(machine, input));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(message.size()));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(transaction)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20);

void header_scan(benchmark::State& state) {
  std::string block;
  for (int i = 0; i < 30; ++i) {
    block += "X-Field-" + std::to_string(i) +
             ": some text that is folded\r\n\tonce and goes on a little\r\n";
  }
  for (auto _ : state) benchmark::DoNotOptimize(mail::Headers::scan(block, 1000));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(block.size()));
}
BENCHMARK(header_scan);

}  // namespace
