// A From field as it stands in a header, folded or not: the author's domain is a name or there is
// none.
#include "core/mail/address.h"
#include "fuzz/input.h"
#include "policy/dmarc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto addresses = mail::parse_address_list(text);
  if (addresses.ok()) {
    for (const mail::Address& address : *addresses) (void)mail::normalize_address(address);
  }
  std::string block = "From:";
  for (const std::string_view line : base::split(text, '\n')) block.append(line).append("\r\n ");
  block.resize(block.size() - 1);
  const auto headers = mail::Headers::scan(block, 200);
  if (!headers.ok()) return 0;
  dns::Answers answers;
  for (;;) {
    const auto outcome = policy::evaluate_dmarc(*headers, {}, {}, answers);
    if (outcome.verdict) {
      const std::string& domain = outcome.verdict->from_domain;
      fuzz::require(domain.empty() || mail::normalize_domain(domain).ok());
      return 0;
    }
    for (const dns::Question& question : outcome.missing) {
      answers.put(question, dns::Answer{dns::Status::kNxDomain, {}, false});
    }
  }
}
