// Authentication-Results as others wrote them, and ours with their values inside: what we write is
// one field that can be read again.
#include "policy/results_field.h"
#include "fuzz/input.h"
#include "policy/judgement.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)policy::parse_results_field(text);
  policy::Judgement judgement;
  judgement.spf = spf::Verdict{spf::Result::kPermError, text, text, text};
  judgement.mail_from = judgement.helo_name = judgement.authenticated_user = text;
  dkim::SignatureVerdict signature;
  signature.domain = signature.selector = signature.algorithm = signature.reason = text;
  judgement.dkim = {signature};
  judgement.dmarc.from_domain = judgement.dmarc.policy_domain = judgement.dmarc.policy = text;
  judgement.arc.sets = {{1, text, text, text, text, text}};
  const std::string field = policy::authentication_results(judgement, "relay.test");
  const auto headers = mail::Headers::scan(field, 2);
  fuzz::require(headers.ok() && headers->fields().size() == 1);
  const auto read = policy::parse_results_field(headers->fields()[0].body);
  fuzz::require(read.has_value() && read->authserv_id == "relay.test");
  fuzz::require(policy::is_forged_authentication_results(headers->fields()[0], "relay.test"));
  return 0;
}
