// Header fields and addresses: what every message and every command goes through.
#include <memory>

#include "core/mail/address.h"
#include "core/mail/headers.h"
#include "core/mail/received.h"
#include "operation.h"

namespace bench {
namespace {

std::string header_block() {
  std::string block;
  for (int i = 0; i < 30; ++i) {
    block += "X-Field-" + std::to_string(i) +
             ": some text that is folded\r\n\tonce and goes on a little\r\n";
  }
  return block;
}

Run scan() {
  return [block = header_block()] {
    require(mail::Headers::scan(block, 1000)->fields().size() == 30, "30 fields");
  };
}

Run find_last() {
  // The fields are views of the block: both stay where they are.
  const auto block = std::make_shared<const std::string>(header_block());
  return [block, headers = mail::Headers::scan(*block, 1000).take()] {
    require(headers.find("x-field-29") != nullptr, "the last field");
  };
}

Run normalize() {
  return [] {
    const auto address = mail::parse_mailbox("Support.Team@Acme.Example");
    require(mail::normalize_address(*address).ok(), "an address");
  };
}

Run address_list() {
  return [] {
    const auto list = mail::parse_address_list(
        "Anna Schmidt <anna@customer.example>, \"Support, Acme\" <support@acme.example>");
    require(list.ok() && list->size() == 2, "two addresses");
  };
}

Run received() {
  mail::Hop hop;
  hop.helo = "mail.customer.example";
  hop.remote_ip = "192.0.2.1";
  hop.hostname = "relay.example.net";
  hop.protocol = "ESMTPSA";
  hop.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
  hop.id = "01J00000000000000000000000";
  hop.recipient = "support@acme.example";
  hop.wall_ms = 1'769'860'800'000;
  return [hop] { require(mail::format_received(hop).ends_with("\r\n"), "a field"); };
}

}  // namespace

Operations mail_operations() {
  return {{"mail/headers/scan/30", scan, static_cast<std::int64_t>(header_block().size())},
          {"mail/headers/find/last_of_30", find_last},
          {"mail/address/normalize", normalize},
          {"mail/address/list_of_2", address_list},
          {"mail/received", received}};
}

}  // namespace bench
