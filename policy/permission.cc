#include "policy/permission.h"

#include <string>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace policy {
namespace {

// From fields with more mailboxes than this are no mail that a help desk writes.
constexpr std::size_t kAuthorsMax = 20;

smtp::Reply reply(int code, std::string enhanced, std::string text) {
  return {code, std::move(enhanced), std::move(text)};
}

std::string domain_of(const std::string& address) { return address.substr(address.rfind('@') + 1); }

const SupportAddress* connected_address(const Accounts& accounts, const Credential& credential,
                                        const std::string& address) {
  const SupportAddress* found = accounts.address(address);
  if (found == nullptr) return nullptr;
  const Domain* domain = accounts.domain(found->domain);
  return domain != nullptr && domain->tenant == credential.tenant ? found : nullptr;
}

std::string not_connected(std::string_view address, const Credential& credential) {
  return base::printable(address) + " is not a connected support address of " + credential.tenant +
         "; add it with relayctl address add, or send from one that is";
}

Refusal refuse_foreign(const Accounts& accounts, const std::string& address) {
  const std::string domain_name = domain_of(address);
  if (accounts.domain(domain_name) != nullptr) {
    return reply(550, "5.1.1",
                 base::printable(address) + " is no support address of " + domain_name +
                     "; check the spelling, or let the help desk connect it");
  }
  return reply(550, "5.7.1",
               "No relaying to " + base::printable(domain_name) +
                   ": it is not served here; log in with a tenant's credential to send outward");
}

}  // namespace

Refusal check_sender(const Accounts& accounts, const Peer& peer, std::string_view mail_from) {
  const bool sends_outward = peer.credential != nullptr && !peer.credential->is_inbound();
  if (!sends_outward || mail_from.empty()) return std::nullopt;
  const auto address = mail::normalized_mailbox(mail_from);
  if (!address) {
    return reply(553, "5.1.7", base::printable(mail_from) + " is no mail address");
  }
  if (connected_address(accounts, *peer.credential, *address) == nullptr) {
    return reply(553, "5.7.1", not_connected(mail_from, *peer.credential));
  }
  return std::nullopt;
}

Refusal check_recipient(const Accounts& accounts, const Peer& peer, std::string_view rcpt_to) {
  const auto address = mail::normalized_mailbox(rcpt_to);
  if (peer.credential != nullptr && !peer.credential->is_inbound()) {
    if (!address) return reply(553, "5.1.3", base::printable(rcpt_to) + " is no mail address");
    return std::nullopt;
  }
  if (base::iequals(rcpt_to, "postmaster")) {
    return reply(550, "5.1.1", "Write to postmaster at a domain that is served here");
  }
  if (!address) return reply(553, "5.1.3", base::printable(rcpt_to) + " is no mail address");

  const SupportAddress* found = accounts.address(*address);
  if (peer.credential != nullptr) {
    const std::string& own = peer.credential->domain;
    if (domain_of(*address) != own) {
      return reply(550, "5.7.1",
                   "The credential of " + own + " delivers only to support addresses of " + own +
                       ", not to " + base::printable(rcpt_to));
    }
    return found == nullptr ? refuse_foreign(accounts, *address) : std::nullopt;
  }
  if (found == nullptr) return refuse_foreign(accounts, *address);
  const Domain* domain = accounts.domain(found->domain);
  if (domain == nullptr) return refuse_foreign(accounts, *address);
  if (domain->inbound == InboundMode::kStrict && domain->mode == Mode::kTwoWay) {
    return reply(530, "5.7.0",
                 "Authentication required: " + domain->name +
                     " takes mail only from its own server, logged in with its credential; write "
                     "to the address that forwards here");
  }
  return std::nullopt;
}

std::variant<Sending, smtp::Reply> check_author(const Accounts& accounts, const Peer& peer,
                                                std::string_view mail_from,
                                                const mail::Headers& headers,
                                                bool verification_required) {
  if (peer.credential == nullptr || peer.credential->is_inbound()) {
    return reply(550, "5.7.1", "Only a tenant's credential may send outward; log in with one");
  }
  const Credential& credential = *peer.credential;
  const std::size_t from_fields = headers.count("From");
  if (from_fields != 1) {
    return reply(550, "5.6.0",
                 "The message has " + std::to_string(from_fields) +
                     " From fields; write exactly one (RFC 5322 3.6)");
  }
  const auto authors = mail::parse_address_list(headers.find("From")->body);
  if (!authors.ok()) {
    return reply(550, "5.6.0",
                 "The From field cannot be read: " + base::printable(authors.message()));
  }
  if (authors->empty() || authors->size() > kAuthorsMax) {
    return reply(550, "5.6.0",
                 "The From field names " + std::to_string(authors->size()) +
                     " mailboxes; write one support address");
  }

  Sending sending;
  for (const mail::Address& author : *authors) {
    const auto address = mail::normalize_address(author);
    const SupportAddress* found =
        address.ok() ? connected_address(accounts, credential, *address) : nullptr;
    if (found == nullptr) {
      return reply(550, "5.7.1", "From: " + not_connected(author.str(), credential));
    }
    if (sending.address == nullptr) sending.address = found;
    if (found->domain != sending.address->domain) {
      return reply(550, "5.7.1",
                   "From names mailboxes of " + sending.address->domain + " and " + found->domain +
                       "; mail is sent under one domain, send one message for each");
    }
    if (verification_required && found->verification != Verification::kVerified) {
      return reply(550, "5.7.1",
                   "From: " + found->address +
                       " is not verified yet; verify it (relayctl address verify), or set "
                       "verification.required = false");
    }
  }
  sending.domain = accounts.domain(sending.address->domain);
  if (!mail_from.empty()) {
    const auto sender = mail::normalized_mailbox(mail_from);
    if (!sender || domain_of(*sender) != sending.address->domain ||
        connected_address(accounts, credential, *sender) == nullptr) {
      return reply(550, "5.7.1",
                   "The envelope's sender " + base::printable(mail_from) + " and From " +
                       sending.address->address + " are not of one domain; send with a sender of " +
                       sending.address->domain);
    }
  }
  const auto route = accounts.route(*sending.address);
  if (!route) {
    return reply(550, "5.7.1",
                 "There is no smarthost for " + sending.address->address +
                     "; add one with relayctl smarthost add " + sending.address->domain);
  }
  sending.route = *route;
  return sending;
}

}  // namespace policy
