// One connection to a smarthost (product rules O1, O2): connects, logs in, sends what its lane
// gives it, quits. Outcomes go to the queue. Owned by its lane; loop's thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/net/stream.h"
#include "core/smtp/client_machine.h"
#include "policy/accounts.h"
#include "relayd/egress/outcome.h"
#include "relayd/egress/outgoing.h"
#include "relayd/egress/settings.h"

namespace egress {

class SmtpDelivery final : public net::StreamHandler {
 public:
  struct Hooks {
    std::function<std::optional<Item>()> take;          // the next due delivery, nullopt: quit
    std::function<void(const Item&)> put_back;          // not tried: the connection ended before
    std::function<void(const Item&)> let_go;            // nothing of it waits any more
    std::function<void(queue::DeliveryUpdate)> settle;  // write it down
    // Once, from the loop or from inside start(). `refused` says why nothing at all could be sent
    // (connect, TLS, login); empty where the connection had been of use. The object may be
    // destroyed from here on, though not inside the call.
    std::function<void(const std::string& refused)> ended;
  };

  SmtpDelivery(const Workplace& workplace, std::shared_ptr<const Settings> settings,
               std::string lane, policy::Smarthost smarthost, std::string password, Hooks hooks);
  ~SmtpDelivery() override;

  void start();
  // No further message: quits after the one in hand, at once where there is none.
  void stop();
  [[nodiscard]] const policy::Smarthost& smarthost() const { return smarthost_; }

  // net::StreamHandler
  void on_connected() override;
  void on_tls() override;
  std::size_t on_input(std::span<char> bytes) override;
  void on_output_empty() override;
  void on_closed(std::string_view reason) override;

 private:
  enum class Next { kContinue, kWait };

  void connect_next();
  void pump();
  Next act(smtp::Action& action);
  Next next_message();
  Next send_more();
  void message_done(const smtp::MessageDone& done);
  void hold(const std::string& why, bool alarm);
  bool flush();
  void end(const std::string& refused);
  void restart_timer();

  const Workplace& workplace_;
  const std::shared_ptr<const Settings> settings_;
  const std::string lane_;
  const policy::Smarthost smarthost_;
  const Hooks hooks_;
  smtp::ClientMachine machine_;
  std::unique_ptr<net::Stream> stream_;
  net::Timer timer_;
  std::vector<std::string> addresses_;  // still to be tried
  std::string last_error_;
  std::string output_;  // what the stream had no room for
  std::optional<Item> item_;
  std::unique_ptr<Outgoing> outgoing_;
  std::vector<mail::Recipient> recipients_;
  bool connected_ = false;
  bool was_of_use_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  bool content_sent_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace egress
