// Tickets over HTTP (product rules T1-T5): takes due deliveries of "backend:TENANT" destinations,
// renders them in the tenant's format, signs each attempt (Standard Webhooks), posts them over kept
// connections, and writes the outcome back to the queue. libcurl's multi interface on one loop.
// Loop's thread only, unless said otherwise. Nothing fails towards the caller: what goes wrong is
// in the delivery's last_reply, in the log and in the metrics, and the delivery stays in the queue.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "core/dns/resolver.h"
#include "core/net/loop.h"
#include "policy/account_store.h"
#include "queue/hindrance.h"
#include "queue/store.h"
#include "relayd/tickets/pauses.h"

namespace tickets {

// Everything pointed at outlives the HandOff.
struct HandOffOptions {
  net::Loop* loop = nullptr;
  queue::Store* store = nullptr;
  const policy::AccountStore* accounts = nullptr;
  const base::Clock* clock = nullptr;       // of due times
  const base::Clock* wall_clock = nullptr;  // of time stamps; null: the same
  const base::Limits* limits = nullptr;
  base::Metrics* metrics = nullptr;
  dns::Resolver* resolver = nullptr;        // of this loop
  std::vector<std::int64_t> retry_ms;       // queue.retry; the last one repeats
  std::vector<std::string> trust_paths;     // tls.trust
  std::vector<std::string> marker_headers;  // outbound.marker_headers
};

class HandOff {
 public:
  // On the loop's thread or before it runs. Throws std::runtime_error (a trust file that cannot be
  // read, libcurl unusable): start-up only.
  explicit HandOff(HandOffOptions options);
  // On the loop's thread or after it ran; attempts in flight are cut off, their tickets stay
  // queued.
  ~HandOff();

  // At start: something waits for this destination (Store::destinations).
  void open(const std::string& destination);
  // A delivery is waiting; called on the loop's thread after each commit (posted over from the
  // committer's callback), in their order. Saying it twice does no harm.
  void waiting(const queue::Store::Waiting& waiting);
  // The accounts have changed: a paused endpoint that has changed is tried again at once, the
  // tickets of a tenant that is gone are held when their turn comes.
  void accounts_changed();
  // The operator's word that a back end is mended: where it is paused one ticket asks at once, and
  // when that is taken all the others follow. False where it was not paused.
  bool resume(const std::string& tenant);
  // What stands in the way of a ticket now; kTurn: nothing but its time.
  [[nodiscard]] queue::Hindrance why(const std::string& destination, const base::Id& id,
                                     std::uint32_t index) const;
  // By tenant. Any thread.
  [[nodiscard]] std::map<std::string, PausedBackend> paused() const;
  // No new attempts; those in flight may finish within limits.stop_timeout, then they are cut off
  // and their tickets stay queued. `on_done` when none is left and every outcome is on disk.
  void stop(std::function<void()> on_done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tickets
