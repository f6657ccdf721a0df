// The admin API: HTTP and JSON on a Unix socket (and TCP with a token, where asked for), health and
// metrics beside it. The routes are in the register_ functions of the *_api.cc files. Loop's thread
// only; what it is given outlives it. The process ignores SIGPIPE (clients go while they are
// answered).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "core/base/result.h"
#include "core/dns/resolver.h"
#include "core/net/loop.h"
#include "policy/account_store.h"
#include "queue/hindrance.h"
#include "queue/store.h"

namespace admin {

// A back end that nothing is sent to at the moment (product rule T4).
struct PausedBackend {
  std::string reason;  // "refused": somebody has to do something; "unavailable": it may pass
  std::int64_t since_ms = 0, next_probe_ms = 0;
  std::string last_reply;
};

// Asks the room that is to send a delivery what stands in its way now; `answer` comes from any
// thread, or never while relayd stops.
using AskWhy = std::function<void(const std::string& destination, const queue::DeliveryName& name,
                                  std::function<void(queue::Hindrance)> answer)>;

struct AdminOptions {
  net::Loop* loop = nullptr;
  policy::AccountStore* accounts = nullptr;
  queue::Store* store = nullptr;
  base::Metrics* metrics = nullptr;
  dns::Resolver* resolver = nullptr;  // of this loop
  const base::Clock* clock = nullptr;
  const base::Limits* limits = nullptr;
  std::string socket;      // admin.socket
  std::string listen;      // admin.listen, "" for none
  std::string token_file;  // admin.token_file; needed with `listen`
  std::string hostname, version;
  // May be empty; asked on the loop's thread. By tenant; false where the back end was not paused.
  std::function<std::map<std::string, PausedBackend>()> paused_backends;
  std::function<bool(const std::string& tenant)> resume_backend;
  AskWhy why;                      // may be empty
  std::int64_t trail_keep_ms = 0;  // queue.trail
  std::function<bool()> ready;     // may be empty: always; asked on the loop's thread
};

class AdminServer {
 public:
  // Errors name the configuration key.
  static base::Result<std::unique_ptr<AdminServer>> open(AdminOptions options);
  // Requests that wait for an answer are dropped; the Unix socket's file is removed.
  ~AdminServer();
  [[nodiscard]] unsigned tcp_port() const;  // 0 where there is none

 private:
  AdminServer();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace admin
