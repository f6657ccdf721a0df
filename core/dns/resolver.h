// Asynchronous DNS. One resolver belongs to one loop; its callbacks come on that loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/dns/answers.h"
#include "core/net/loop.h"

namespace dns {

class Resolver {
 public:
  virtual ~Resolver() = default;
  using OnAnswer = std::function<void(const Question&, const Answer&)>;
  // Calls back exactly once, never before query() returns, also when the time is up (kTimeout).
  // A callback whose asker has gone is the asker's business (hold a weak_ptr). A resolver that is
  // destroyed forgets what was asked. A name that DNS cannot hold (empty label, label over 63
  // octets, over 253 in all) does not exist: kNxDomain.
  virtual void query(const Question& question, OnAnswer on_answer) = 0;
  // Questions that have no answer yet: how crowded it is.
  [[nodiscard]] virtual std::size_t open_questions() const { return 0; }
};

struct ResolverOptions {
  std::vector<std::string> servers;  // "IP" or "IP:PORT" or "[IP6]:PORT"; empty: the system's
  std::int64_t timeout_ms = 10'000;
};

// libunbound as a caching stub (ub_ctx_create_event on the loop's event_base); /etc/hosts is read.
base::Result<std::unique_ptr<Resolver>> make_unbound_resolver(net::Loop& loop,
                                                              const ResolverOptions& options);

// Answers from a table, for tests: what is not in it is NXDOMAIN. Counts the questions.
class TableResolver final : public Resolver {
 public:
  explicit TableResolver(net::Loop& loop) : loop_(loop) {}
  void put(const Question& question, Answer answer) { table_.put(question, std::move(answer)); }
  void query(const Question& question, OnAnswer on_answer) override;
  [[nodiscard]] std::size_t queries() const { return queries_; }

 private:
  net::Loop& loop_;
  Answers table_;
  std::size_t queries_ = 0;
};

// All addresses of a host, v6 first, then v4 (A and AAAA asked at once). Where there is none,
// `error` is a sentence that says why and `temporary` whether a retry may help. An IP address gives
// itself, and then on_done comes before resolve_host returns.
struct HostAddresses {
  std::vector<std::string> ips;
  bool temporary = false;
  std::string error;
};
void resolve_host(Resolver& resolver, const std::string& host,
                  std::function<void(HostAddresses)> on_done);

}  // namespace dns
