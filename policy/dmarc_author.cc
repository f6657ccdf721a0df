#include "policy/dmarc_author.h"

#include <utility>

#include "core/mail/address.h"

namespace policy {

namespace {

// A From field is read at every replay; no mail of people comes near these.
constexpr std::size_t kFieldOctetsMax = 8192;
constexpr std::size_t kMailboxesMax = 20;

}  // namespace

DmarcAuthor dmarc_author(const mail::Headers& headers) {
  // RFC 9989 4.4: neither an absent, a repeated nor a malformed From field can align with anything.
  const std::size_t fields = headers.count("From");
  if (fields == 0) return {"", "there is no From field"};
  if (fields > 1) return {"", "there are several From fields"};
  if (headers.find("From")->body.size() > kFieldOctetsMax) {
    return {"", "the From field is too long"};
  }
  const auto addresses = mail::parse_address_list(*headers.value("From"));
  if (!addresses.ok()) return {"", "the From field cannot be read: " + addresses.message()};
  if (addresses->empty()) return {"", "the From field has no address"};
  if (addresses->size() > kMailboxesMax) return {"", "the From field has too many addresses"};
  std::string author;
  for (const mail::Address& address : *addresses) {
    // RFC 2047 5: no encoded word in an address. A reader that decodes it sees another one.
    if (address.local.find("=?") != std::string::npos) {
      return {"", "the From field has an encoded word in an address"};
    }
    auto domain = mail::normalize_domain(address.domain);
    if (address.is_literal() || !domain.ok()) {
      return {"", "the From field has an address without a domain name"};
    }
    if (!author.empty() && author != *domain) {
      return {"", "the From field has addresses of several domains"};
    }
    author = domain.take();
  }
  return {std::move(author), ""};
}

}  // namespace policy
