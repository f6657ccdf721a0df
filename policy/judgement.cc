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

std::string spf_json(const std::optional<spf::Verdict>& verdict) {
  Object object;
  object.text("result", spf::name(verdict ? verdict->result : spf::Result::kNone));
  return object.text("domain", verdict ? verdict->domain : "").str();
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
      .str();
}

}  // namespace

std::string authentication_json(const Judgement& judgement) {
  std::string signatures;
  for (const dkim::SignatureVerdict& verdict : judgement.dkim) {
    if (!signatures.empty()) signatures += ", ";
    signatures += dkim_json(verdict);
  }
  return Object()
      .raw("spf", spf_json(judgement.spf))
      .raw("dkim", "[" + signatures + "]")
      .raw("dmarc", dmarc_json(judgement.dmarc))
      .raw("arc", "{}")
      .str();
}

}  // namespace policy
