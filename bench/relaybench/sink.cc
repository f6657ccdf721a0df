#include "relaybench/sink.h"

#include <csignal>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_map>

#include "core/net/listener.h"
#include "relaybench/signals.h"
#include "relaybench/sink_session.h"
#include "relaybench/tls.h"

namespace relaybench {

// clang-format off
#define STAGES "greeting|ehlo|starttls|auth|mail|rcpt|data|dot|quit"
#define STAGES_FROM_MAIL "mail|greeting|ehlo|starttls|auth|rcpt|data|dot|quit"
const std::array<MisbehaviourRule, 22> kSinkRules = {{
  {"greet-421", MisbehaviourRule::Takes::kNothing, "", "421 in place of the greeting"},
  {"drop-at-greeting", MisbehaviourRule::Takes::kNothing, "", "closes without a word"},
  {"ehlo-garbage", MisbehaviourRule::Takes::kNothing, "", "answers EHLO with what is not SMTP"},
  {"no-starttls", MisbehaviourRule::Takes::kNothing, "", "does not offer STARTTLS"},
  {"tls-fails", MisbehaviourRule::Takes::kNothing, "", "breaks the TLS handshake"},
  {"auth-535", MisbehaviourRule::Takes::kNothing, "", "refuses every login"},
  {"auth-454", MisbehaviourRule::Takes::kNothing, "", "cannot check logins now"},
  {"mail-4xx", MisbehaviourRule::Takes::kNothing, "", "451 to MAIL"},
  {"rcpt-4xx", MisbehaviourRule::Takes::kNothing, "", "450 to RCPT"},
  {"rcpt-5xx", MisbehaviourRule::Takes::kNothing, "", "550 to RCPT"},
  {"rcpt-mixed", MisbehaviourRule::Takes::kNothing, "", "550 to every second RCPT of a message"},
  {"data-354-never", MisbehaviourRule::Takes::kNothing, "", "never answers DATA (or the first BDAT)"},
  {"drop-in-data", MisbehaviourRule::Takes::kNothing, "", "closes in the middle of the message"},
  {"drop-after-dot", MisbehaviourRule::Takes::kNothing, "", "closes in place of the reply to the dot"},
  {"dot-4xx", MisbehaviourRule::Takes::kNothing, "", "451 to the dot"},
  {"dot-5xx", MisbehaviourRule::Takes::kNothing, "", "554 to the dot"},
  {"dot-421", MisbehaviourRule::Takes::kNothing, "", "421 to the dot, and closes"},
  {"silent-at", MisbehaviourRule::Takes::kWord, STAGES, "says nothing from this stage on: " STAGES},
  {"malformed-multiline", MisbehaviourRule::Takes::kWordOrNot, STAGES_FROM_MAIL, "a reply whose lines have two codes (stage: mail)"},
  {"long-reply", MisbehaviourRule::Takes::kWordOrNot, STAGES_FROM_MAIL, "a reply line of 512 KiB (stage: mail)"},
  {"slow", MisbehaviourRule::Takes::kNumber, "", "so many milliseconds before each group of replies"},
  {"one-connection-only", MisbehaviourRule::Takes::kNothing, "", "421 4.7.0 too many connections to a second one at once"},
}};
// clang-format on

namespace {

class Sink {
 public:
  Sink(const SinkOptions& options, Misbehaviours misbehaviours)
      : place_(options, std::move(misbehaviours)), second_(place_.loop, [this] {
          place_.ids.flush();
          second_.start_ms(base::kSecond);
        }) {
    base::Limits& limits = place_.limits;
    limits.messages_per_session = INT64_MAX;
    limits.message_size = base::kGiB;
    limits.body_line = base::kGiB;
    limits.bad_commands = 1000;
    place_.on_enough = [this] { place_.loop.defer([this] { place_.loop.stop(); }); };
    if (options.tls != SinkTls::kNone) {
      auto context = server_context(options.certificate, options.key);
      if (!context) throw std::runtime_error(context.message());
      place_.tls = context.take();
    }
  }

  void run() {
    const Signals signals(place_.loop, {SIGINT, SIGTERM, SIGUSR1, SIGHUP}, [this](int number) {
      if (number == SIGHUP) return reread();
      if (number != SIGUSR1) return place_.loop.stop();
      place_.ids.flush();
      std::cerr << report() << std::flush;
    });
    for (const std::string& where : place_.options.listen) {
      const auto address = net::SocketAddress::parse(where);
      if (!address) throw std::runtime_error(address.message());
      auto listener = net::Listener::open(
          place_.loop, *address, [this](int fd, const net::SocketAddress&) { accept(fd); });
      if (!listener) throw std::runtime_error(listener.message());
      listeners_.push_back(listener.take());
      std::cerr << "relaybench sink: listening on " << listeners_.back()->address().str()
                << std::endl;
    }
    second_.start_ms(base::kSecond);
    place_.loop.run();
    place_.ids.finish();
    std::cout << report() << std::flush;
  }

 private:
  void reread() {
    const base::Status read = place_.misbehaviours.reread();
    std::cerr << "relaybench sink: "
              << (read ? "misbehaviours read anew" : "nothing changed: " + read.message())
              << std::endl;
  }

  void accept(int fd) {
    ++place_.counts.connections;
    ++place_.counts.open;
    auto session =
        std::make_unique<SinkSession>(place_, fd, [this](SinkSession* done) { ended(done); });
    SinkSession* raw = session.get();
    sessions_.emplace(raw, std::move(session));
    raw->start();
  }

  void ended(SinkSession* session) {
    // From inside the session's own call: it goes when that has returned.
    --place_.counts.open;
    const auto at = sessions_.find(session);
    place_.loop.defer([gone = std::shared_ptr<SinkSession>(std::move(at->second))] {});
    sessions_.erase(at);
  }

  [[nodiscard]] std::string report() const {
    const SinkCounts& c = place_.counts;
    nlohmann::ordered_json counts = {{"connections", c.connections}, {"open", c.open},
                                     {"logins", c.logins},           {"messages", c.messages},
                                     {"octets", c.octets},           {"refused", c.refused},
                                     {"altered", c.altered}};
    if (place_.options.json) {
      nlohmann::ordered_json happened = nlohmann::ordered_json::object();
      for (const Misbehaviour& one : place_.misbehaviours.all()) happened[one.text] = one.happened;
      counts["misbehaved"] = happened;
      return counts.dump() + "\n";
    }
    std::string out;
    for (const auto& [name, value] : counts.items()) {
      out += name + std::string(14 - name.size(), ' ') + value.dump() + "\n";
    }
    for (const Misbehaviour& one : place_.misbehaviours.all()) {
      out += "misbehaved    " + std::to_string(one.happened) + " times: " + one.text + "\n";
    }
    return out;
  }

  SinkPlace place_;
  net::Timer second_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::unordered_map<SinkSession*, std::unique_ptr<SinkSession>> sessions_;
};

}  // namespace

int run_sink(const SinkOptions& options) {
  auto misbehaviours = Misbehaviours::parse(kSinkRules, options.misbehave, options.misbehave_file);
  if (!misbehaviours) throw std::runtime_error(misbehaviours.message());
  Sink(options, misbehaviours.take()).run();
  return 0;
}

}  // namespace relaybench
