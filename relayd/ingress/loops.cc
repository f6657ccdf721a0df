#include "relayd/ingress/loops.h"

#include <algorithm>
#include <set>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/mail/address.h"

namespace ingress {
namespace {

std::vector<mail::Address> authors(const mail::Headers& headers) {
  const mail::HeaderField* from = headers.find("From");
  if (from == nullptr) return {};
  auto list = mail::parse_address_list(from->body);
  return list ? list.take() : std::vector<mail::Address>();
}

// Who gets the answers: the envelope's sender, which may be another one for each message (VERP),
// and the authors.
std::set<std::string> correspondents(const mail::Headers& headers, const queue::Message& message) {
  constexpr std::size_t kMost = 4;
  std::set<std::string> names;
  const auto add = [&](std::string_view address) {
    if (auto name = mail::normalized_mailbox(address)) names.insert(*std::move(name));
  };
  add(message.envelope.mail_from);
  for (const mail::Address& author : authors(headers)) {
    if (names.size() < kMost) add(author.str());
  }
  return names;
}

bool is_automatic(const mail::Headers& headers) {
  const auto value = headers.value("Auto-Submitted");
  if (!value) return false;
  const std::string_view word = base::trim(value->substr(0, value->find_first_of(" \t;(")));
  return !word.empty() && !base::iequals(word, "no");
}

smtp::Reply partner_reply(const std::string& sender, const policy::Domain& domain) {
  return {550, "5.7.1",
          "Mail from " + base::printable(sender) + " is not taken: it is a partner of " +
              domain.name +
              " that shares its tickets another way; write from another address, or ask the help "
              "desk to take it off its partners"};
}

void count_loop(const Workplace& workplace, std::string_view reason) {
  workplace.metrics
      ->counter("relayd_loops_total", "Mail refused, flagged or suppressed because of a loop",
                "reason=\"" + std::string(reason) + "\"")
      .add();
}

}  // namespace

void note_loop(const Workplace& workplace, std::string_view reason, const queue::Message& message,
               std::string_view sender, std::string_view recipient) {
  count_loop(workplace, reason);
  base::log_warning("loop", {{"id", message.id.str()},
                             {"reason", std::string(reason)},
                             {"sender", std::string(sender)},
                             {"recipient", std::string(recipient)}});
}

policy::Refusal refuse_partner(const Workplace& workplace, const policy::Accounts& accounts,
                               const policy::Domain& domain, const queue::Message& message) {
  const std::string& sender = message.envelope.mail_from;
  if (sender.empty() || !policy::is_partner(accounts, domain, sender)) return std::nullopt;
  note_loop(workplace, "partner", message, sender, domain.name);
  return partner_reply(sender, domain);
}

policy::Refusal refuse_partner_author(const Workplace& workplace, const policy::Accounts& accounts,
                                      const policy::Domain& domain, const mail::Headers& headers,
                                      const queue::Message& message) {
  for (const mail::Address& author : authors(headers)) {
    const std::string address = author.str();
    if (!policy::is_partner(accounts, domain, address)) continue;
    note_loop(workplace, "partner", message, address, message.support_address);
    return partner_reply(address, domain);
  }
  return std::nullopt;
}

policy::Refusal suppress_partner(const Workplace& workplace, const policy::Accounts& accounts,
                                 const std::string& tenant_name, std::string_view recipient,
                                 const queue::Message& message) {
  const policy::Tenant* tenant = accounts.tenant(tenant_name);
  if (tenant == nullptr || !policy::has_partners(*tenant)) return std::nullopt;
  const auto sender = mail::normalized_mailbox(message.envelope.mail_from);
  const policy::SupportAddress* from = sender ? accounts.address(*sender) : nullptr;
  const policy::Domain* domain = from == nullptr ? nullptr : accounts.domain(from->domain);
  const bool is_partner = domain == nullptr ? policy::is_partner(*tenant, recipient)
                                            : policy::is_partner(accounts, *domain, recipient);
  if (!is_partner) return std::nullopt;
  note_loop(workplace, "partner", message, message.envelope.mail_from, recipient);
  return smtp::Reply{550, "5.7.1",
                     "Suppressed: " + base::printable(recipient) +
                         " is a partner that shares tickets with " + tenant_name +
                         "; nothing is sent to it by mail (relayctl partner list " + tenant_name +
                         ")"};
}

bool writes_too_often(const Workplace& workplace, const mail::Headers& headers,
                      const queue::Message& message) {
  if (workplace.pairs == nullptr) return false;
  std::int64_t most = 0;
  for (const std::string& sender : correspondents(headers, message)) {
    const std::int64_t past =
        workplace.pairs->count(sender, message.support_address, workplace.clock->steady_ms());
    // A loop is worth one line a window, not one a message.
    if (past == 1) note_loop(workplace, "rate", message, sender, message.support_address);
    most = std::max(most, past);
  }
  if (most > 1) count_loop(workplace, "rate");
  return most > 0;
}

std::size_t suppress_automatic(const Workplace& workplace, const mail::Headers& headers,
                               queue::Message& message) {
  if (workplace.pairs == nullptr || !is_automatic(headers)) return 0;
  const std::int64_t steady_ms = workplace.clock->steady_ms();
  return std::erase_if(message.envelope.recipients, [&](const mail::Recipient& recipient) {
    const auto to = mail::normalized_mailbox(recipient.address);
    if (!to || !workplace.pairs->is_over(*to, message.support_address, steady_ms)) return false;
    note_loop(workplace, "rate", message, message.support_address, *to);
    return true;
  });
}

}  // namespace ingress
