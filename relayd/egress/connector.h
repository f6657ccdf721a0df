// Connects to the first of a host's addresses that answers (RFC 8305, "Happy Eyeballs"): v6 and v4
// in turns, each a quarter of a second after the one before, or at once where that has failed.
// Loop's thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/net/stream.h"
#include "relayd/egress/settings.h"

namespace egress {

// A stream that tells its owner, who may change: whoever connects it, then whoever talks.
class Wire final : public net::StreamHandler {
 public:
  Wire(net::Loop& loop, net::StreamHandler& owner, net::StreamLimits limits)
      : stream(loop, *this, limits), owner_(&owner) {}
  void give_to(net::StreamHandler& owner) { owner_ = &owner; }

  void on_connected() override { owner_->on_connected(); }
  void on_tls() override { owner_->on_tls(); }
  std::size_t on_input(std::span<char> bytes) override { return owner_->on_input(bytes); }
  void on_output_empty() override { owner_->on_output_empty(); }
  void on_closed(std::string_view reason) override { owner_->on_closed(reason); }

  net::Stream stream;

 private:
  net::StreamHandler* owner_;
};

// RFC 8305 section 4: the families in turns, beginning with that of the first; order kept within a
// family. Pure.
std::vector<std::string> in_turns(const std::vector<std::string>& ips);

class Connector {
 public:
  using OnConnected = std::function<void(std::unique_ptr<Wire>)>;
  using OnFailed = std::function<void(const std::string& why)>;

  // One of the two is called, once, from the loop; the connector may be destroyed inside the call.
  Connector(const Workplace& workplace, const base::Limits& limits, OnConnected on_connected,
            OnFailed on_failed);
  ~Connector();
  void start(const std::vector<std::string>& ips, unsigned port);

 private:
  class Attempt;
  void next();
  void won(Attempt* attempt);
  void lost(Attempt* attempt, std::string_view reason);
  void time_is_up();
  std::unique_ptr<Wire> let_go(Attempt* attempt);

  const Workplace& workplace_;
  const base::Limits limits_;
  const OnConnected on_connected_;
  const OnFailed on_failed_;
  net::Timer timer_;
  std::vector<net::SocketAddress> left_;  // the next one last
  std::vector<std::unique_ptr<Attempt>> running_;
  std::string last_error_ = "the host has no address";
};

}  // namespace egress
