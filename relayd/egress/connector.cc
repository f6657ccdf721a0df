#include "relayd/egress/connector.h"

#include <algorithm>

namespace egress {
namespace {

constexpr std::int64_t kNextAttemptMs = 250;  // RFC 8305 section 5, Connection Attempt Delay
constexpr std::size_t kAddressesMax = 16;     // of one host

bool is_v6(const std::string& ip) { return ip.find(':') != std::string::npos; }

}  // namespace

std::vector<std::string> in_turns(const std::vector<std::string>& ips) {
  std::vector<std::string> first, second, out;
  for (const std::string& ip : ips) {
    (is_v6(ip) == is_v6(ips.front()) ? first : second).push_back(ip);
  }
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) out.push_back(first[i]);
    if (i < second.size()) out.push_back(second[i]);
  }
  return out;
}

class Connector::Attempt final : public net::StreamHandler {
 public:
  Attempt(Connector& connector, const net::SocketAddress& to)
      : wire(std::make_unique<Wire>(
            *connector.workplace_.loop, *this,
            net::StreamLimits{static_cast<std::size_t>(connector.limits_.stream_input),
                              static_cast<std::size_t>(connector.limits_.stream_output)})),
        address(to.str()),
        connector_(connector) {
    wire->stream.connect(to);
  }
  void on_connected() override { connector_.won(this); }
  std::size_t on_input(std::span<char> bytes) override { return bytes.size(); }
  void on_closed(std::string_view reason) override { connector_.lost(this, reason); }

  std::unique_ptr<Wire> wire;
  const std::string address;

 private:
  Connector& connector_;
};

Connector::Connector(const Workplace& workplace, const base::Limits& limits,
                     OnConnected on_connected, OnFailed on_failed)
    : workplace_(workplace),
      limits_(limits),
      on_connected_(std::move(on_connected)),
      on_failed_(std::move(on_failed)),
      timer_(*workplace.loop, [this] { time_is_up(); }) {}

Connector::~Connector() = default;

void Connector::start(const std::vector<std::string>& ips, unsigned port) {
  for (const std::string& ip : in_turns(ips)) {
    if (left_.size() == kAddressesMax) break;
    const auto address = net::SocketAddress::from_ip(ip, port);
    if (address) left_.push_back(*address);
  }
  std::reverse(left_.begin(), left_.end());
  timer_.start_ms(0);  // from the loop, never from inside start()
}

void Connector::next() {
  const net::SocketAddress address = left_.back();
  left_.pop_back();
  running_.push_back(std::make_unique<Attempt>(*this, address));
  timer_.start_ms(left_.empty() ? limits_.connect_timeout : kNextAttemptMs);
}

void Connector::time_is_up() {
  if (!left_.empty()) return next();
  if (!running_.empty()) last_error_ = running_.back()->address + ": no connection in time";
  running_.clear();
  const OnFailed on_failed = on_failed_;
  on_failed(last_error_);
}

// Out of the list; the attempt itself goes later, since it is what is calling.
std::unique_ptr<Wire> Connector::let_go(Attempt* attempt) {
  const auto at = std::find_if(running_.begin(), running_.end(),
                               [&](const auto& one) { return one.get() == attempt; });
  std::unique_ptr<Wire> wire = std::move((*at)->wire);
  workplace_.loop->defer([gone = std::shared_ptr<Attempt>(std::move(*at))] {});
  running_.erase(at);
  return wire;
}

void Connector::won(Attempt* attempt) {
  timer_.stop();
  std::unique_ptr<Wire> wire = let_go(attempt);
  running_.clear();
  const OnConnected on_connected = on_connected_;
  on_connected(std::move(wire));
}

void Connector::lost(Attempt* attempt, std::string_view reason) {
  last_error_ = attempt->address + ": " + std::string(reason);
  workplace_.loop->defer([gone = std::shared_ptr<Wire>(let_go(attempt))] {});
  if (!left_.empty()) return next();
  if (running_.empty()) timer_.start_ms(0);
}

}  // namespace egress
