#include "policy/dmarc_author.h"

#include <utility>

#include "core/mail/address.h"

namespace policy {

DmarcAuthor dmarc_author(const mail::Headers& headers) {
  // RFC 9989 4.4: neither an absent, a repeated nor a malformed From field can align with anything.
  const std::size_t fields = headers.count("From");
  if (fields == 0) return {"", "there is no From field"};
  if (fields > 1) return {"", "there are several From fields"};
  const auto addresses = mail::parse_address_list(*headers.value("From"));
  if (!addresses.ok()) return {"", "the From field cannot be read: " + addresses.message()};
  if (addresses->empty()) return {"", "the From field has no address"};
  std::string author;
  for (const mail::Address& address : *addresses) {
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
