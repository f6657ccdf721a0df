#include <unbound-event.h>
#include <unbound.h>

#include <unordered_map>
#include <utility>

#include "core/base/bytes.h"
#include "core/dns/packet.h"
#include "core/dns/resolver.h"
#include "core/net/socket_address.h"

namespace dns {
namespace {

// Questions under way or given up but not yet let go by libunbound; past it the answer is
// kServFail.
constexpr std::size_t kPendingMax = 20'000;

constexpr std::pair<const char*, const char*> kSettings[] = {
    // A stub: answers are taken as the server gives them. Without a trust anchor the validator
    // would
    // change nothing and cost.
    {"module-config:", "iterator"},
    // The server may well be on this host or in this network, and may answer for private zones: the
    // library's built-in empty zones would hide those.
    {"do-not-query-localhost:", "no"},
    {"unblock-lan-zones:", "yes"},
    {"local-zone:", "test. transparent"},
    {"local-zone:", "home.arpa. transparent"},
    {"serve-expired:", "no"},
    // A library's defaults are for one question at a time.
    // Each question that is out holds one of these; a few messages with names of silent servers
    // must not leave none for the others.
    {"outgoing-range:", "8192"},
    {"num-queries-per-thread:", "8192"},
    {"msg-cache-size:", "16m"},
    {"rrset-cache-size:", "32m"},
    // A server that was away is tried again soon, not after a quarter of an hour.
    {"infra-host-ttl:", "30"},
    {"infra-keep-probing:", "yes"},
    // The library's least retry time of 50 ms, which it falls to after some fast answers, would ask
    // anew nine times before a slow domain has answered once, and take none of the answers.
    {"infra-cache-min-rtt:", "1500"},
    // Truncated answers come again over TCP, many at once.
    {"outgoing-num-tcp:", "100"},
    // Every alias is a query of its own: they are charged to the message (Answer::aliases), and a
    // chain may not be longer than honest ones are.
    {"max-query-restarts:", "5"},
};

struct ContextDelete {
  void operator()(ub_ctx* context) const { ub_ctx_delete(context); }
};
using Context = std::unique_ptr<ub_ctx, ContextDelete>;

class UnboundResolver final : public Resolver {
 public:
  UnboundResolver(net::Loop& loop, Context context, std::int64_t timeout_ms)
      : loop_(loop), timeout_ms_(timeout_ms), context_(std::move(context)) {}

  void query(const Question& question, OnAnswer on_answer) override;
  [[nodiscard]] std::size_t open_questions() const override { return pending_.size(); }

 private:
  // Lives until libunbound has called back, also when its asker has long been told kTimeout:
  // libunbound holds a pointer to it.
  struct Pending {
    Pending(UnboundResolver& r, Question q, OnAnswer callback)
        : resolver(r),
          question(std::move(q)),
          on_answer(std::move(callback)),
          timer(r.loop_, [this] { give_up(); }) {}

    void give_up() {
      const OnAnswer callback = std::exchange(on_answer, nullptr);
      const Question asked = question;
      callback(asked, {.status = Status::kTimeout, .records = {}, .secure = false});
    }

    UnboundResolver& resolver;
    Question question;
    OnAnswer on_answer;  // null when the time was up
    net::Timer timer;
  };

  static void on_result(void* pending, int rcode, void* packet, int octets, int security,
                        char* why_bogus, int was_ratelimited);
  void answer_later(std::unique_ptr<Pending> pending, Status status) {
    answer_later(std::move(pending), Answer{.status = status, .records = {}, .secure = false});
  }
  void answer_later(std::unique_ptr<Pending> pending, Answer answer);

  net::Loop& loop_;
  std::int64_t timeout_ms_;
  std::unordered_map<Pending*, std::unique_ptr<Pending>> pending_;
  std::shared_ptr<bool> life_ = std::make_shared<bool>(true);
  Context context_;  // goes first: nothing calls back after that
};

void UnboundResolver::query(const Question& question, OnAnswer on_answer) {
  auto pending = std::make_unique<Pending>(*this, question, std::move(on_answer));
  if (!is_valid_name(question.name)) return answer_later(std::move(pending), Status::kNxDomain);
  if (pending_.size() >= kPendingMax) return answer_later(std::move(pending), Status::kServFail);
  Pending* const handle = pending.get();
  handle->timer.start_ms(timeout_ms_);
  pending_.emplace(handle, std::move(pending));
  // Where the answer is in the cache or in /etc/hosts, on_result runs before this returns.
  const int failed =
      ub_resolve_event(context_.get(), question.name.c_str(), static_cast<int>(question.type), 1,
                       handle, on_result, nullptr);
  if (failed == 0) return;
  const auto at = pending_.find(handle);
  if (at == pending_.end()) return;
  auto refused = std::move(at->second);
  pending_.erase(at);
  answer_later(std::move(refused), Status::kServFail);
}

void UnboundResolver::on_result(void* data, int rcode, void* packet, int octets, int security,
                                char*, int was_ratelimited) {
  auto* const handle = static_cast<Pending*>(data);
  UnboundResolver& self = handle->resolver;
  const auto at = self.pending_.find(handle);
  if (at == self.pending_.end()) return;
  auto pending = std::move(at->second);
  self.pending_.erase(at);
  if (!pending->on_answer) return;
  constexpr int kNameError = 3;
  constexpr int kBogus = 1;
  constexpr int kSecure = 2;
  Answer answer{.status = Status::kServFail, .records = {}, .secure = false};
  if (rcode == kNameError) {
    answer.status = Status::kNxDomain;
  } else if (rcode == 0 && packet != nullptr && octets > 0 && security != kBogus &&
             was_ratelimited == 0) {
    answer = read_answer({static_cast<const char*>(packet), static_cast<std::size_t>(octets)},
                         pending->question);
  }
  answer.secure = security == kSecure;
  self.answer_later(std::move(pending), std::move(answer));
}

// From the loop, never from inside libunbound: the callee may ask again or destroy the resolver.
void UnboundResolver::answer_later(std::unique_ptr<Pending> pending, Answer answer) {
  pending->timer.stop();
  loop_.defer([life = std::weak_ptr<bool>(life_), question = std::move(pending->question),
               on_answer = std::move(pending->on_answer), answer = std::move(answer)] {
    if (!life.expired()) on_answer(question, answer);
  });
}

base::Status add_server(ub_ctx* context, const std::string& server) {
  auto address = net::SocketAddress::from_ip(server, 53);
  if (!address) address = net::SocketAddress::parse(server);
  if (!address || address->port() == 0) {
    return base::error("DNS server '" + base::printable(server) +
                       "' is not an IP address, with or without a port: write 192.0.2.53, "
                       "127.0.0.1:5353 or [::1]:5353");
  }
  const std::string forward = address->ip() + "@" + std::to_string(address->port());
  if (const int failed = ub_ctx_set_fwd(context, forward.c_str()); failed != 0) {
    return base::error("DNS server " + server + ": " + ub_strerror(failed));
  }
  return base::Ok{};
}

}  // namespace

base::Result<std::unique_ptr<Resolver>> make_unbound_resolver(net::Loop& loop,
                                                              const ResolverOptions& options) {
  Context context(ub_ctx_create_event(loop.base()));
  if (!context) return base::error("cannot make a DNS resolver: out of memory");
  ub_ctx_debugout(context.get(), nullptr);
  for (const auto& [name, value] : kSettings) {
    if (const int failed = ub_ctx_set_option(context.get(), name, value); failed != 0) {
      return base::error(std::string("libunbound does not take ") + name + " " + value + ": " +
                         ub_strerror(failed));
    }
  }
  for (const std::string& server : options.servers) {
    if (auto added = add_server(context.get(), server); !added) return added.error();
  }
  if (options.servers.empty() && ub_ctx_resolvconf(context.get(), nullptr) != 0) {
    return base::error(
        "cannot read the system's DNS servers from /etc/resolv.conf: name some with "
        "dns.servers");
  }
  // A system without the file has no hosts of its own.
  (void)ub_ctx_hosts(context.get(), nullptr);
  return std::unique_ptr<Resolver>(
      std::make_unique<UnboundResolver>(loop, std::move(context), options.timeout_ms));
}

}  // namespace dns
