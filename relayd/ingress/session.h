// One SMTP connection coming in: carries bytes between the stream and the protocol machine and
// answers the machine's questions. Owned by Ingress; loop's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/net/loop.h"
#include "core/net/stream.h"
#include "core/smtp/server_machine.h"
#include "relayd/ingress/settings.h"
#include "relayd/ingress/transaction.h"

namespace ingress {

class Session final : public net::StreamHandler {
 public:
  // `on_end` is called once, from the loop, when the session can be destroyed.
  Session(const Workplace& workplace, std::shared_ptr<const Settings> settings,
          const ListenerOptions& listener, int fd, const net::SocketAddress& peer,
          std::function<void(Session*)> on_end);
  ~Session() override;

  // Refuses with 421 (too many sessions, shutting down) or greets.
  void start(const smtp::Reply* refusal);
  // Ends at the next command boundary with this reply; a message in flight is answered first.
  void end_with(const smtp::Reply& reply);
  // The credential of this session has been revoked or removed: rule D3.
  void end_if_revoked(const policy::Accounts& accounts);

  // net::StreamHandler
  void on_tls() override;
  std::size_t on_input(std::span<char> bytes) override;
  void on_output_empty() override;
  void on_closed(std::string_view reason) override;

 private:
  enum class Next { kContinue, kWait };
  Next handle(smtp::Event& event);
  Next on_auth(const smtp::Auth& auth);
  Next on_mail(const smtp::Mail& mail);
  Next on_content_end();
  void resume();
  void answer(smtp::Reply reply);
  bool flush();
  void finish(std::string_view reason);
  void watch();
  void start_timer(std::int64_t delay_ms);
  void on_timer();
  [[nodiscard]] std::int64_t patience_ms() const;
  [[nodiscard]] bool credential_is_live();

  const Workplace& workplace_;
  const std::shared_ptr<const Settings> settings_;
  const bool implicit_tls_;
  smtp::ServerMachine machine_;
  net::Stream stream_;
  net::Timer timer_;
  std::function<void(Session*)> on_end_;
  std::string remote_ip_;
  std::string output_;  // what the stream had no room for
  std::string credential_id_, username_;
  bool sends_outward_ = false;
  std::shared_ptr<Transaction> transaction_;
  std::int64_t last_activity_ms_ = 0;
  std::int64_t message_started_ms_ = 0;
  std::int64_t timer_due_ms_ = 0;
  bool tls_started_ = false;
  bool ended_ = false;
  // Held weakly by replies that come later than the session may live.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ingress
