// What delivery to smarthosts needs to know and whom it works with. Plain data; the objects behind
// the pointers outlive the scheduler. Settings are swapped whole on reload.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "certs/tls_context.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "core/dns/resolver.h"
#include "core/net/loop.h"
#include "policy/account_store.h"
#include "queue/store.h"

namespace egress {

struct Settings {
  std::string hostname;
  base::Limits limits;
  certs::TlsContext tls;               // verifies smarthosts
  std::vector<std::int64_t> retry_ms;  // queue.retry, at least one; the last one repeats
};

struct Workplace {
  net::Loop* loop = nullptr;
  dns::Resolver* resolver = nullptr;  // of this loop
  queue::Store* store = nullptr;
  policy::AccountStore* accounts = nullptr;
  base::IdGenerator* ids = nullptr;
  const base::Clock* clock = nullptr;
  base::Metrics* metrics = nullptr;
};

// A delivery on its way: the key of its record in the queue.
using Item = queue::DeliveryName;

// Destinations of this room are "smarthost:KEY".
inline constexpr std::string_view kDestinationPrefix = "smarthost:";

}  // namespace egress
