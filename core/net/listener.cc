#include "core/net/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/log.h"

namespace net {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr std::int64_t kPauseMs = 100;

int open_spare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

struct Listener::State {
  State(Loop& loop, int listening, OnAccept callback)
      : fd(listening),
        spare(open_spare()),
        on_accept(std::make_shared<OnAccept>(std::move(callback))),
        watch(loop, listening, [this](bool, bool) { accept_all(); }),
        rest(loop, [this] {
          resting = false;
          update();
        }) {
    update();
  }
  ~State() {
    watch.want(false, false);
    ::close(fd);
    if (spare >= 0) ::close(spare);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void update() { watch.want(!paused && !resting, false); }

  void accept_all() {
    const std::weak_ptr<bool> still_there = life;
    const auto callback = on_accept;
    for (int n = 0; n < kAcceptsPerTurn; ++n) {
      SocketAddress peer;
      peer.length = sizeof peer.storage;
      const int accepted = ::accept4(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length,
                                     SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) {
        (*callback)(accepted, peer);
        if (still_there.expired() || paused) return;
        continue;
      }
      const int number = errno;
      if (number == EAGAIN || number == EWOULDBLOCK) return;
      if (number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM) {
        return take_rest(number);
      }
      // The others are about the one connection that was given up before we came (accept(2)).
    }
  }

  // The descriptor kept for this moment lets the first in line be turned away instead of hanging;
  // the others wait in the kernel's backlog, and the loop does not spin over a listener that is
  // readable for ever.
  void take_rest(int number) {
    if (spare >= 0) {
      ::close(spare);
      const int accepted = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) ::close(accepted);
      spare = -1;
    }
    spare = open_spare();
    base::log_warning("accept paused", {{"reason", std::generic_category().message(number)}});
    resting = true;
    update();
    rest.start_ms(kPauseMs);
  }

  int fd;
  int spare;
  std::shared_ptr<OnAccept> on_accept;  // stays whole while it runs, also when it destroys us
  FdWatch watch;
  Timer rest;
  bool paused = false;
  bool resting = false;
  std::shared_ptr<bool> life = std::make_shared<bool>(true);
};

Listener::Listener() = default;
Listener::~Listener() = default;

base::Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const SocketAddress& address,
                                                       OnAccept on_accept) {
  const auto failed = [&](const char* step) {
    return base::error("cannot listen on " + address.str() + ": " + step + ": " +
                       std::generic_category().message(errno));
  };
  const int family = address.storage.ss_family;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return failed("socket");
  const auto fail_open = [&](const char* step) {
    auto error = failed(step);
    ::close(fd);
    return error;
  };
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    return fail_open("setsockopt");
  }
  if (family == AF_INET6 && ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
    return fail_open("setsockopt");
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
    return fail_open("bind");
  }
  if (::listen(fd, SOMAXCONN) != 0) return fail_open("listen");
  std::unique_ptr<Listener> listener(new Listener);
  listener->state_ = std::make_unique<State>(loop, fd, std::move(on_accept));
  return listener;
}

SocketAddress Listener::address() const {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (::getsockname(state_->fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) !=
      0) {
    return {};
  }
  return address;
}

void Listener::pause() {
  state_->paused = true;
  state_->update();
}

void Listener::resume() {
  state_->paused = false;
  state_->update();
}

}  // namespace net
