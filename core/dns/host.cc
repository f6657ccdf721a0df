#include <memory>
#include <utility>

#include "core/dns/resolver.h"
#include "core/net/socket_address.h"

namespace dns {
namespace {

// Both questions of one host; whoever answers last reports.
struct Lookup {
  std::string host;
  std::function<void(HostAddresses)> on_done;
  Answer v4, v6;
  int missing = 2;

  void finish() const {
    HostAddresses found;
    found.ips = v6.records;
    found.ips.insert(found.ips.end(), v4.records.begin(), v4.records.end());
    if (found.ips.empty()) {
      found.temporary = v4.temporary() || v6.temporary();
      if (found.temporary) {
        found.error = "DNS gives no answer for host " + host + " at the moment";
      } else if (v4.status == Status::kNxDomain || v6.status == Status::kNxDomain) {
        found.error = "there is no host " + host + " in DNS";
      } else {
        found.error = "host " + host + " has no address in DNS (neither A nor AAAA)";
      }
    }
    on_done(std::move(found));
  }
};

}  // namespace

void resolve_host(Resolver& resolver, const std::string& host,
                  std::function<void(HostAddresses)> on_done) {
  if (const auto literal = net::SocketAddress::from_ip(host, 0)) {
    return on_done({.ips = {literal->ip()}, .temporary = false, .error = {}});
  }
  auto lookup = std::make_shared<Lookup>();
  lookup->host = host;
  lookup->on_done = std::move(on_done);
  const auto ask = [&](Type type, Answer Lookup::*place) {
    resolver.query({host, type}, [lookup, place](const Question&, const Answer& answer) {
      (*lookup).*place = answer;
      if (--lookup->missing == 0) lookup->finish();
    });
  };
  ask(Type::kAaaa, &Lookup::v6);
  ask(Type::kA, &Lookup::v4);
}

}  // namespace dns
