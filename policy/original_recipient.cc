#include "policy/original_recipient.h"

#include <vector>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace policy {
namespace {

constexpr std::size_t kCandidatesMax = 100;

// xtext of RFC 3461 4 behind "rfc822;"; "" where it is of another type or malformed.
std::string address_of_orcpt(std::string_view orcpt) {
  constexpr std::string_view kType = "rfc822;";
  if (!base::istarts_with(orcpt, kType)) return {};
  orcpt.remove_prefix(kType.size());
  std::string text;
  for (std::size_t i = 0; i < orcpt.size(); ++i) {
    if (orcpt[i] != '+') {
      text += orcpt[i];
      continue;
    }
    const auto octet = base::hex_decode(orcpt.substr(i + 1, 2));
    if (!octet || octet->size() != 1) return {};
    text += *octet;
    i += 2;
  }
  return text;
}

class Candidates {
 public:
  void add(const mail::Address& address) {
    if (list_.size() >= kCandidatesMax) return;
    auto normalized = mail::normalize_address(address);
    if (normalized.ok()) list_.push_back(normalized.take());
  }
  void add(std::string_view text) {
    if (const auto parsed = mail::parse_mailbox(text)) add(*parsed);
  }
  void add_field(const mail::HeaderField& field) {
    const auto addresses = mail::parse_address_list(mail::unfold(field.body));
    if (!addresses.ok()) return;
    for (const mail::Address& address : *addresses) add(address);
  }
  [[nodiscard]] const std::vector<std::string>& list() const { return list_; }

 private:
  std::vector<std::string> list_;
};

}  // namespace

std::string original_recipient(const Accounts& accounts, const std::string& rcpt_to,
                               const mail::Envelope& envelope, const mail::Headers& headers,
                               bool own_domain_only) {
  const SupportAddress* written = accounts.address(rcpt_to);
  if (written == nullptr || accounts.route(*written)) return rcpt_to;
  const Domain* domain = accounts.domain(written->domain);
  if (domain == nullptr) return rcpt_to;

  Candidates candidates;
  for (const mail::Recipient& recipient : envelope.recipients) {
    candidates.add(address_of_orcpt(recipient.orcpt));
  }
  const auto& fields = headers.fields();
  for (const char* name : {"Delivered-To", "X-Original-To", "X-Forwarded-To", "To"}) {
    for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
      if (field->is(name)) candidates.add_field(*field);
    }
  }
  for (const std::string& candidate : candidates.list()) {
    const SupportAddress* found = accounts.address(candidate);
    if (found == nullptr || !accounts.route(*found)) continue;
    const Domain* its_domain = accounts.domain(found->domain);
    if (its_domain == nullptr || its_domain->tenant != domain->tenant) continue;
    if (own_domain_only && its_domain != domain) continue;
    return candidate;
  }
  return rcpt_to;
}

}  // namespace policy
