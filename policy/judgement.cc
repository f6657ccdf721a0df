#include "policy/judgement.h"

#include "core/base/log.h"

namespace policy {
namespace {

// A JSON object member by member; no parser is needed to write five flat objects.
class Object {
 public:
  Object& text(std::string_view key, std::string_view value) {
    return raw(key, "\"" + base::json_escape(value) + "\"");
  }
  Object& flag(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  Object& raw(std::string_view key, std::string_view json) {
    if (!members_.empty()) members_ += ", ";
    members_.append("\"").append(key).append("\": ").append(json);
    return *this;
  }
  [[nodiscard]] std::string str() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

std::string texts(const std::vector<std::string>& values) {
  std::string list;
  for (const std::string& value : values) {
    list += (list.empty() ? "\"" : ", \"") + base::json_escape(value) + "\"";
  }
  return "[" + list + "]";
}

Object spf_object(const std::optional<spf::Verdict>& verdict) {
  Object object;
  object.text("result", spf::name(verdict ? verdict->result : spf::Result::kNone));
  object.text("domain", verdict ? verdict->domain : "");
  if (verdict && !verdict->reason.empty()) object.text("reason", verdict->reason);
  if (verdict && !verdict->explanation.empty()) object.text("explanation", verdict->explanation);
  return object;
}

std::string spf_json(const Judgement& judgement) {
  Object object = spf_object(judgement.spf);
  if (judgement.helo) object.raw("helo", spf_object(judgement.helo).str());
  return object.str();
}

std::string arc_json(const dkim::ArcVerdict& verdict) {
  std::vector<std::string> sealers;
  for (const dkim::ArcSet& set : verdict.sets) {
    const bool is_there = !set.sealer.empty() || !set.signer.empty() || !set.results.empty();
    if (is_there) sealers.push_back(set.sealer);
  }
  Object object;
  object.text("result", dkim::name(verdict.result))
      .raw("instances", std::to_string(sealers.size()))
      .raw("sealers", texts(sealers));
  if (!verdict.reason.empty()) object.text("reason", verdict.reason);
  return object.str();
}

std::string recorded_json(const Recorded& recorded) {
  Object object;
  object.raw("by", texts(recorded.by));
  if (recorded.spf) object.text("spf", recorded.spf->domain);
  std::vector<std::string> signers;
  for (const dkim::SignatureVerdict& one : recorded.dkim) signers.push_back(one.domain);
  object.raw("dkim", texts(signers));
  return object.text("dmarc", recorded.dmarc).text("dmarc_from", recorded.dmarc_from).str();
}

std::string dkim_json(const dkim::SignatureVerdict& verdict) {
  return Object()
      .text("domain", verdict.domain)
      .text("selector", verdict.selector)
      .text("algorithm", verdict.algorithm)
      .text("result", dkim::name(verdict.result))
      .text("reason", verdict.reason)
      .str();
}

std::string dmarc_json(const DmarcVerdict& verdict) {
  return Object()
      .text("result", name(verdict.result))
      .text("from_domain", verdict.from_domain)
      .text("policy", verdict.policy.empty() ? "none" : verdict.policy)
      .text("policy_domain", verdict.policy_domain)
      .flag("spf_aligned", verdict.spf_aligned)
      .flag("dkim_aligned", verdict.dkim_aligned)
      .text("reason", verdict.reason)
      .str();
}

}  // namespace

std::string_view name(Disposition disposition) {
  return disposition == Disposition::kSuspended ? "suspended" : "accepted";
}

std::string authentication_json(const Judgement& judgement) {
  std::string signatures;
  for (const dkim::SignatureVerdict& verdict : judgement.dkim) {
    if (!signatures.empty()) signatures += ", ";
    signatures += dkim_json(verdict);
  }
  Object object;
  object.raw("spf", spf_json(judgement))
      .raw("dkim", "[" + signatures + "]")
      .raw("dmarc", dmarc_json(judgement.dmarc))
      .raw("arc", arc_json(judgement.arc));
  if (judgement.signatures_not_examined > 0) {
    object.raw("dkim_not_examined", std::to_string(judgement.signatures_not_examined));
  }
  if (judgement.recorded) object.raw("recorded", recorded_json(*judgement.recorded));
  if (judgement.arc_record) object.raw("arc_recorded", recorded_json(*judgement.arc_record));
  return object.text("disposition", name(judgement.disposition))
      .raw("reasons", texts(judgement.reasons))
      .str();
}

}  // namespace policy
