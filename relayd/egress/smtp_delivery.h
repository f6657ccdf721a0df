// One connection to a smarthost (product rules O1, O2): connects, logs in, sends what its lane
// gives it, rests for a moment in case more comes (docs/decisions/0030-resting-connections.md),
// quits. Outcomes go to the queue. Owned by its lane; loop's thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/net/stream.h"
#include "core/smtp/client_machine.h"
#include "policy/accounts.h"
#include "relayd/egress/connector.h"
#include "relayd/egress/outcome.h"
#include "relayd/egress/outgoing.h"
#include "relayd/egress/settings.h"

namespace egress {

// How a connection ended.
struct Ending {
  enum class Why {
    kOfUse,          // logged in; what is left is due as it was
    kHost,           // nothing could be sent (connect, TLS, greeting); another host may do
    kLoginRejected,  // the account is at fault: counts for the lock of O3
    kLoginWanted,    // the peer wants a login, and none is set
  } why = Why::kOfUse;
  std::string text;   // a sentence; "" for kOfUse
  smtp::Reply reply;  // what the peer said, code 0 if nothing
};

class SmtpDelivery final : public net::StreamHandler {
 public:
  struct Hooks {
    std::function<std::optional<Item>()> take;            // the next due delivery
    std::function<bool()> may_rest;                       // there was none: quit if false
    std::function<void(bool)> rests;                      // it does now; it does no longer
    std::function<void(const Item&)> put_back;            // not tried: the connection ended before
    std::function<void(const Item&)> let_go;              // nothing of it waits any more
    std::function<void(queue::DeliveryUpdate)> settle;    // write it down
    std::function<void()> logged_in;                      // once: the login is good for sending
    std::function<void(std::size_t recipients)> sending;  // a message begins
    std::function<void(const smtp::Reply&)> too_many_connections;  // the peer said so
    // Once, from the loop or from inside start(). The object may be destroyed from here on, though
    // not inside the call.
    std::function<void(const Ending&)> ended;
  };

  SmtpDelivery(const Workplace& workplace, std::shared_ptr<const Settings> settings,
               std::string lane, policy::Smarthost smarthost, std::string host,
               std::string password, Hooks hooks);
  ~SmtpDelivery() override;

  void start();
  // Something is due: to one that rests.
  void wake() { pump(); }
  // No further message: quits after the one in hand, at once where there is none.
  void stop();
  [[nodiscard]] const policy::Smarthost& smarthost() const { return smarthost_; }
  [[nodiscard]] bool logged_in() const { return was_of_use_; }
  [[nodiscard]] bool resting() const { return resting_; }

  // net::StreamHandler
  void on_tls() override;
  std::size_t on_input(std::span<char> bytes) override;
  void on_output_empty() override;
  void on_closed(std::string_view reason) override;

 private:
  enum class Next { kContinue, kWait };

  void connected(std::unique_ptr<Wire> wire);
  void pump();
  Next act(smtp::Action& action);
  void on_timer();
  Next next_message();
  void rest(bool rests);
  Next send_more();
  void message_done(const smtp::MessageDone& done);
  void hold(const std::string& why, bool alarm);
  bool login_is_wanted(const std::vector<smtp::Reply>& replies);
  void close_down(const smtp::Finished& finished);
  void note_login();
  bool flush();
  void end(const Ending& ending);
  void restart_timer();

  const Workplace& workplace_;
  const std::shared_ptr<const Settings> settings_;
  const std::string lane_;
  const policy::Smarthost smarthost_;
  const std::string host_;  // of those of the smarthost
  const Hooks hooks_;
  smtp::ClientMachine machine_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<Wire> wire_;
  net::Timer timer_;
  std::string output_;  // what the stream had no room for
  std::optional<Item> item_;
  std::unique_ptr<Outgoing> outgoing_;
  bool was_of_use_ = false;
  bool resting_ = false;
  bool has_sent_ = false;  // an earlier message
  bool heard_ = false;     // a word about the one in hand
  bool stopping_ = false;
  bool ended_ = false;
  bool content_sent_ = false;
  bool quitting_ = false;
  bool login_noted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace egress
