// Accepts TCP connections on a loop: SO_REUSEPORT (one listener a loop), accept until would-block,
// a spare fd so that EMFILE pauses accepting instead of spinning. Loop's thread only.
#pragma once

#include <functional>
#include <memory>

#include "core/base/result.h"
#include "core/net/loop.h"
#include "core/net/socket_address.h"

namespace net {

class Listener {
 public:
  // `fd` of every accepted socket is non-blocking, close-on-exec and the callee's.
  using OnAccept = std::function<void(int fd, const SocketAddress& peer)>;
  static base::Result<std::unique_ptr<Listener>> open(Loop& loop, const SocketAddress& address,
                                                      OnAccept on_accept);
  ~Listener();  // closes; connections that were accepted stay
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  [[nodiscard]] SocketAddress address() const;  // with the real port where 0 was asked for
  void pause();
  void resume();

 private:
  Listener();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace net
