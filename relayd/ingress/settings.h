// What an SMTP session needs to know and whom it works with. Plain data; the objects behind the
// pointers outlive every session. One `Workplace` a loop; `Settings` are swapped whole on reload,
// sessions keep those they started with.
#pragma once

#include <atomic>
#include <climits>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certs/tls_context.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/limits.h"
#include "core/base/metrics.h"
#include "core/base/worker_pool.h"
#include "core/dns/resolver.h"
#include "core/net/loop.h"
#include "dkim/verifier.h"
#include "policy/account_store.h"
#include "policy/judgement.h"
#include "policy/login.h"
#include "policy/pair_rate.h"
#include "queue/store.h"

namespace ingress {

struct Settings {
  std::string hostname;
  base::Limits limits;
  certs::TlsContext tls;                      // of the listeners; null where none needs it
  std::int64_t expire_ms = 5 * base::kDay;    // queue.expire
  bool verification_required = true;          // product rule D10
  std::vector<std::string> marker_headers;    // product rule O6: the back end's own fields
  std::vector<std::string> protected_fields;  // policy/header_guard.h, with those
  policy::JudgementRules judgement;
};

class SessionCensus;

struct Workplace {
  net::Loop* loop = nullptr;
  dns::Resolver* resolver = nullptr;  // of this loop
  queue::Store* store = nullptr;
  policy::AccountStore* accounts = nullptr;
  policy::LoginService* logins = nullptr;
  std::shared_ptr<dkim::Library> dkim;
  base::IdGenerator* ids = nullptr;
  base::WorkerPool* crypto = nullptr;
  policy::PairRate* pairs = nullptr;  // of all loops
  std::string sent_key;               // policy/sent_tag.h
  // The queue id of a message that was sent for the tenant under that Message-ID; may be empty:
  // then reports are tied by ENVID only. Any thread.
  std::function<std::optional<std::string>(const std::string& tenant,
                                           const std::string& message_id)>
      find_sent;
  SessionCensus* census = nullptr;
  const base::Clock* clock = nullptr;
  const base::Clock* due_clock = nullptr;  // of due times and expiry
  base::Metrics* metrics = nullptr;
  int descriptor_max = INT_MAX;  // sessions leave those from here on to the rest of the program
};

enum class Role { kMx, kSubmission };
enum class ListenerTls { kStartTls, kImplicit, kNone };

struct ListenerOptions {
  std::string address;  // "IP:PORT"
  Role role = Role::kMx;
  ListenerTls tls = ListenerTls::kStartTls;
};

}  // namespace ingress
