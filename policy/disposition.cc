#include "policy/disposition.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace policy {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& one : names) text += (text.empty() ? "" : ", ") + one;
  return text;
}

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// DMARC passes only by signatures behind whose l= somebody may have written anything (RFC 6376
// 8.2). What the organisation's server recorded of the same signature does not mend that.
bool rests_on_partial_signature(const Judgement& judgement) {
  const DmarcVerdict& dmarc = judgement.dmarc;
  if (dmarc.result != DmarcResult::kPass || dmarc.spf_aligned) return false;
  std::vector<std::string> partial;
  for (const dkim::SignatureVerdict& signature : judgement.dkim) {
    if (signature.result != dkim::Result::kPass) continue;
    if (!is_in(dmarc.aligned_signers, signature.domain)) continue;
    if (signature.unsigned_octets == 0) return false;
    partial.push_back(signature.domain);
  }
  const bool only_recorded =
      std::any_of(dmarc.aligned_signers.begin(), dmarc.aligned_signers.end(),
                  [&](const std::string& signer) { return !is_in(partial, signer); });
  return !partial.empty() && !only_recorded;
}

// Without a policy nothing aligns; the author's own domain, or one above or below it, still speaks
// for it.
bool speaks_for(const std::string& domain, const std::string& author) {
  return !domain.empty() &&
         (domain == author || author.ends_with("." + domain) || domain.ends_with("." + author));
}

std::string policy_words(const DmarcVerdict& dmarc) {
  if (dmarc.policy == "reject") return "; its owner asks to reject such mail";
  if (dmarc.policy == "quarantine") return "; its owner asks to treat such mail as suspicious";
  return "; its owner asks for no action";
}

class Conclusion {
 public:
  explicit Conclusion(const Judgement& judgement) : judgement_(judgement) {}

  // Fills the reasons; says whether authentication failed.
  bool run() {
    switch (judgement_.dmarc.result) {
      case DmarcResult::kPass:
        after_pass();
        break;
      case DmarcResult::kFail:
        after_fail();
        break;
      case DmarcResult::kTempError:
        fail("It could not be checked whether " + author() + " wrote this: " + dmarc_reason());
        break;
      case DmarcResult::kPermError:
        fail("The author cannot be checked: " + dmarc_reason());
        break;
      case DmarcResult::kNone:
        after_none();
        break;
    }
    return failed_;
  }
  std::vector<std::string> take_reasons() { return std::move(reasons_); }

 private:
  [[nodiscard]] std::string author() const { return judgement_.dmarc.from_domain; }
  [[nodiscard]] std::string dmarc_reason() const { return judgement_.dmarc.reason; }
  void say(std::string reason) { reasons_.push_back(std::move(reason)); }
  void fail(std::string reason) {
    failed_ = true;
    say(std::move(reason));
  }

  void after_pass() {
    if (rests_on_partial_signature(judgement_)) {
      fail("The signature of " + author() +
           " covers only the beginning of the text; somebody may have added the rest");
    }
  }

  void after_fail() {
    const std::string said = "Nothing proves that " + author() + " sent this (DMARC failed)" +
                             policy_words(judgement_.dmarc);
    if (judgement_.stand_in == Judgement::StandIn::kOrganisation) {
      say("The organisation's own server (" + joined(judgement_.recorded->by) +
          ") saw the proof of " + author() + " before it passed this on: accepted on its word");
      return;
    }
    if (judgement_.stand_in == Judgement::StandIn::kSealers) {
      say("Forwarding broke the proof of " + author() + ", but " +
          joined(judgement_.arc_record->by) +
          ", which is trusted (arc.trusted_sealers), saw it before: accepted on its word");
      return;
    }
    fail(said);
    if (judgement_.authenticated_user.empty()) return;
    if (judgement_.recorded) {
      say("The organisation's own server (" + joined(judgement_.recorded->by) +
          ") recorded no proof either");
    } else {
      say("It came through the organisation's own server, whose SPF check is not known here; name "
          "that server in trusted_authserv_ids to let its results count");
    }
  }

  void after_none() {
    if (author().empty()) return fail("The author cannot be checked: " + dmarc_reason());
    const bool signed_by_author =
        std::any_of(judgement_.dkim.begin(), judgement_.dkim.end(), [&](const auto& one) {
          return one.result == dkim::Result::kPass && speaks_for(one.domain, author());
        });
    const bool sent_by_author = judgement_.spf && judgement_.spf->result == spf::Result::kPass &&
                                speaks_for(judgement_.spf->domain, author());
    if (signed_by_author || sent_by_author) return;
    if (judgement_.spf && judgement_.spf->result == spf::Result::kFail) {
      std::string reason =
          "The server that sent this may not send for " + judgement_.spf->domain + " (SPF failed)";
      if (!judgement_.spf->explanation.empty()) {
        reason += "; that domain says: " + judgement_.spf->explanation;
      }
      return fail(std::move(reason));
    }
    // Behind the organisation's relay most of the proofs cannot be seen: that would be said of all.
    if (!judgement_.authenticated_user.empty()) return;
    say("Nothing proves that " + author() + " sent this; the domain publishes no DMARC policy");
  }

  const Judgement& judgement_;
  std::vector<std::string> reasons_;
  bool failed_ = false;
};

}  // namespace

void decide_disposition(Judgement& judgement, InboundMode mode) {
  Conclusion conclusion(judgement);
  const bool failed = conclusion.run();
  judgement.disposition =
      failed && mode != InboundMode::kStandard ? Disposition::kSuspended : Disposition::kAccepted;
  judgement.reasons = conclusion.take_reasons();
}

}  // namespace policy
