// A server machine with an owner that answers always the same, for the tests of this folder:
//   login        user acme.example with password secret; user temporary is a temporary failure
//   recipients   support@acme.example and sales@acme.example; busy@acme.example is 451, others 550
//   senders      all; blocked@client.example is 550
//   DATA, BDAT   unless the sender is nodata@client.example
//   content      250, unless the sender is full@client.example: 452
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/mail/envelope.h"
#include "core/smtp/server_machine.h"

namespace smtp_test {

struct Delivered {
  std::string envelope;  // "from=<a@b> to=<c@d> NOTIFY=NEVER", in words that compare
  std::string content;
  bool operator==(const Delivered&) const = default;
};

class FixedOwner {
 public:
  explicit FixedOwner(smtp::ServerOptions options, const base::Limits& limits = {});

  // Gives the machine `bytes` as one read and answers all it asks.
  void feed(std::string_view bytes);
  void tls_started();
  // All the machine said since the last call.
  std::string take_output();

  smtp::ServerMachine& machine() { return *machine_; }
  [[nodiscard]] bool closed() const { return close_reason_.has_value(); }
  [[nodiscard]] std::string close_reason() const { return close_reason_.value_or(""); }
  [[nodiscard]] bool tls_wanted() const { return tls_wanted_; }
  // What happened, in words: "hello name", "mail <a@b>", "reset", ...
  [[nodiscard]] const std::vector<std::string>& trail() const { return trail_; }
  [[nodiscard]] const std::vector<Delivered>& delivered() const { return delivered_; }

 private:
  void handle(const smtp::Event& event);

  base::Limits limits_;
  std::unique_ptr<smtp::ServerMachine> machine_;
  std::string output_;
  std::optional<std::string> close_reason_;
  bool tls_wanted_ = false;
  std::vector<std::string> trail_;
  std::vector<Delivered> delivered_;
  mail::Envelope envelope_;
  std::string content_;
  bool in_transaction_ = false;
  bool in_content_ = false;
};

// `from=<a@b> BODY=8BITMIME to=<c@d> NOTIFY=NEVER`.
std::string describe(const mail::Envelope& envelope);

}  // namespace smtp_test
