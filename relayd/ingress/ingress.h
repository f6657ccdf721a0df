// The SMTP listeners and sessions of one loop. Loop's thread only, except where said.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/base/result.h"
#include "core/net/listener.h"
#include "relayd/ingress/session.h"
#include "relayd/ingress/session_census.h"
#include "relayd/ingress/settings.h"

namespace ingress {

class Ingress {
 public:
  Ingress(Workplace workplace, std::shared_ptr<const Settings> settings);
  ~Ingress();
  Ingress(const Ingress&) = delete;
  Ingress& operator=(const Ingress&) = delete;

  // Before the loop runs. The error names the address.
  base::Status listen(const ListenerOptions& options);
  // For sessions that start from now on.
  void use(std::shared_ptr<const Settings> settings);
  // Ends the sessions of credentials that are no more (rule D3).
  void accounts_changed(const policy::Accounts& accounts);
  // Closes the listeners, lets messages in flight be answered, ends the sessions with 421.
  // `on_done` when none is left, or after limits.stop_timeout.
  void stop(std::function<void()> on_done);

 private:
  void accept(const ListenerOptions& options, int fd, const net::SocketAddress& peer);
  void turn_away(const ListenerOptions& options, int fd, const net::SocketAddress& peer);
  void ended(Session* session);

  const Workplace workplace_;
  std::shared_ptr<const Settings> settings_;
  struct Place {
    ListenerOptions options;
    std::unique_ptr<net::Listener> listener;
  };
  std::vector<std::unique_ptr<Place>> places_;
  struct Guest {
    std::unique_ptr<Session> session;
    std::string ip;
    bool counted;
  };
  std::unordered_map<Session*, Guest> sessions_;
  std::unique_ptr<net::Timer> stop_timer_;
  std::function<void()> on_stopped_;
  base::Metric& accepted_;
  std::int64_t complain_again_ms_ = 0;  // steady
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ingress
