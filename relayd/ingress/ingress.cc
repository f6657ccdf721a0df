#include "relayd/ingress/ingress.h"

#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"

namespace ingress {
namespace {

constexpr std::int64_t kComplaintMs = 10 * base::kSecond;

const smtp::Reply kTooMany{421, "4.3.2", "too many sessions; try again in a minute"};
const smtp::Reply kTooManyFromAddress{
    421, "4.7.0", "too many sessions from your address; reuse them or try again in a minute"};
const smtp::Reply kStopping{421, "4.3.2", "shutting down; try again in a minute"};

}  // namespace

Ingress::Ingress(Workplace workplace, std::shared_ptr<const Settings> settings)
    : workplace_(std::move(workplace)),
      settings_(std::move(settings)),
      accepted_(workplace_.metrics->counter("relayd_smtp_connections_total",
                                            "SMTP connections accepted.")) {}

Ingress::~Ingress() = default;

base::Status Ingress::listen(const ListenerOptions& options) {
  const auto address = net::SocketAddress::parse(options.address);
  if (!address) return address.error();
  auto place = std::make_unique<Place>();
  place->options = options;
  auto listener =
      net::Listener::open(*workplace_.loop, *address,
                          [this, raw = place.get()](int fd, const net::SocketAddress& peer) {
                            accept(raw->options, fd, peer);
                          });
  if (!listener) return listener.error();
  place->listener = listener.take();
  places_.push_back(std::move(place));
  return base::Ok{};
}

void Ingress::use(std::shared_ptr<const Settings> settings) { settings_ = std::move(settings); }

void Ingress::accept(const ListenerOptions& options, int fd, const net::SocketAddress& peer) {
  accepted_.add();
  if (fd >= workplace_.descriptor_max) return turn_away(options, fd, peer);
  const std::string ip = peer.ip();
  const smtp::Reply* refusal = nullptr;
  switch (workplace_.census->enter(ip, settings_->limits)) {
    case SessionCensus::Entry::kWelcome:
      break;
    case SessionCensus::Entry::kTooMany:
      refusal = &kTooMany;
      break;
    case SessionCensus::Entry::kTooManyFromAddress:
      refusal = &kTooManyFromAddress;
      break;
  }
  auto session = std::make_unique<Session>(workplace_, settings_, options, fd, peer,
                                           [this](Session* done) { ended(done); });
  Session* raw = session.get();
  sessions_.emplace(raw, Guest{std::move(session), ip, refusal == nullptr});
  raw->start(refusal);
}

// No session, no buffers: the descriptor is free again at once.
void Ingress::turn_away(const ListenerOptions& options, int fd, const net::SocketAddress& peer) {
  if (options.tls != ListenerTls::kImplicit) {
    const std::string said = kTooMany.str() + "\r\n";
    static_cast<void>(::send(fd, said.data(), said.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  }
  ::close(fd);
  if (workplace_.clock->steady_ms() < complain_again_ms_) return;
  complain_again_ms_ = workplace_.clock->steady_ms() + kComplaintMs;
  base::log_warning("session turned away: file descriptors run out, raise the limit of open files",
                    {{"remote_ip", peer.ip()}, {"descriptor", fd}});
}

void Ingress::ended(Session* session) {
  // From inside the session's own call: it goes when that has returned.
  const auto at = sessions_.find(session);
  if (at->second.counted) workplace_.census->leave(at->second.ip);
  workplace_.loop->defer([session = std::shared_ptr<Session>(std::move(at->second.session))] {});
  sessions_.erase(at);
  if (sessions_.empty() && on_stopped_) {
    workplace_.loop->defer(std::exchange(on_stopped_, nullptr));
  }
}

void Ingress::accounts_changed(const policy::Accounts& accounts) {
  std::vector<Session*> all;
  for (const auto& [session, guest] : sessions_) all.push_back(session);
  for (Session* session : all) session->end_if_revoked(accounts);
}

void Ingress::stop(std::function<void()> on_done) {
  places_.clear();
  on_stopped_ = std::move(on_done);
  std::vector<Session*> all;
  for (const auto& [session, guest] : sessions_) all.push_back(session);
  for (Session* session : all) session->end_with(kStopping);
  if (sessions_.empty() && on_stopped_) {
    workplace_.loop->defer(std::exchange(on_stopped_, nullptr));
    return;
  }
  stop_timer_ = std::make_unique<net::Timer>(*workplace_.loop, [this] {
    base::log_warning("sessions cut off", {{"sessions", sessions_.size()}});
    if (on_stopped_) std::exchange(on_stopped_, nullptr)();
  });
  stop_timer_->start_ms(settings_->limits.stop_timeout);
}

}  // namespace ingress
