#include <algorithm>

#include "core/base/bytes.h"
#include "policy/judgement.h"

namespace policy {
namespace {

constexpr std::size_t kColumnsMax = 78;
constexpr std::size_t kValueOctetsMax = 256;
constexpr std::size_t kTabColumns = 8;

// RFC 2045 5.1 token.
bool is_token_char(char c) {
  return c > ' ' && c < 0x7f &&
         std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

// RFC 8601 2.2 pvalue without quotes: a token, or an address of two of them.
bool is_plain_value(std::string_view text) {
  const auto at = text.find('@');
  if (at == std::string_view::npos) return is_token(text);
  return is_token(text.substr(0, at)) && is_token(text.substr(at + 1));
}

// Nothing that a sender wrote can end the value, the line or the field.
std::string value(std::string_view text) {
  if (is_plain_value(text) && text.size() <= kValueOctetsMax) return std::string(text);
  std::string quoted = "\"";
  for (const char c : base::to_utf8(text.substr(0, kValueOctetsMax))) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += octet < 0x20 || octet == 0x7f ? '?' : c;
  }
  return quoted + "\"";
}

// `method=result prop=value ...`, folded between its parts.
class Method {
 public:
  Method(std::string_view method, std::string_view result)
      : text_(std::string(method) + "=" + std::string(result)),
        column_(kTabColumns + text_.size()) {}

  Method& property(std::string_view property_name, std::string_view text) {
    if (text.empty()) return *this;
    const std::string part = std::string(property_name) + "=" + value(text);
    const bool fits = column_ + 2 + part.size() <= kColumnsMax;  // blank before, `;` behind
    text_ += fits ? " " : "\r\n\t ";
    column_ = (fits ? column_ + 1 : kTabColumns + 1) + part.size();
    text_ += part;
    return *this;
  }
  // `text` holds nothing that would end a comment; folded at its commas.
  Method& comment(std::string_view text) {
    if (text.empty()) return *this;
    std::string list = "(";
    for (const std::string_view part : base::parts(text, ',')) {
      if (list.size() > 1) list += ",\r\n\t ";
      list += base::trim(part);
    }
    text_ += "\r\n\t " + list + ")";
    column_ = kColumnsMax;
    return *this;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::size_t column_;
};

void add_spf(std::vector<std::string>& parts, const std::optional<spf::Verdict>& verdict,
             std::string_view identity, std::string_view value_of_it) {
  if (!verdict) return;
  Method method("spf", spf::name(verdict->result));
  const bool error =
      verdict->result == spf::Result::kTempError || verdict->result == spf::Result::kPermError;
  if (error) method.property("reason", verdict->reason);
  parts.push_back(method.property(identity, value_of_it).text());
}

void add_dkim(std::vector<std::string>& parts, const Judgement& judgement) {
  if (judgement.dkim.empty()) parts.emplace_back("dkim=none");
  for (const dkim::SignatureVerdict& verdict : judgement.dkim) {
    Method method("dkim", dkim::name(verdict.result));
    method.property("reason", verdict.reason)
        .property("header.d", verdict.domain)
        .property("header.s", verdict.selector)
        .property("header.a", verdict.algorithm)
        .property("header.b", verdict.signature_start);
    parts.push_back(method.text());
  }
}

// RFC 8617 10.1.
void add_arc(std::vector<std::string>& parts, const dkim::ArcVerdict& verdict) {
  if (verdict.sets.empty()) return;
  Method method("arc", dkim::name(verdict.result));
  if (verdict.result == dkim::ArcResult::kFail) method.property("reason", verdict.reason);
  // The sealers are no registered property; a comment tells them to people.
  std::string sealers;
  for (const dkim::ArcSet& set : verdict.sets) {
    const bool plain = is_plain_value(set.sealer) && set.sealer.size() <= kValueOctetsMax;
    sealers += (sealers.empty() ? "i=" : ", i=") + std::to_string(set.instance) + " " +
               (plain ? set.sealer : "?");
  }
  parts.push_back(method.comment(sealers).text());
}

}  // namespace

std::string authentication_results(const Judgement& judgement, std::string_view authserv_id) {
  std::vector<std::string> parts;
  if (!judgement.authenticated_user.empty()) {
    parts.push_back(
        Method("auth", "pass").property("smtp.auth", judgement.authenticated_user).text());
  }
  const DmarcVerdict& dmarc = judgement.dmarc;
  const bool checked = judgement.spf || !judgement.dkim.empty() || !dmarc.from_domain.empty() ||
                       dmarc.result != DmarcResult::kNone;
  if (checked) {
    // RFC 8601 2.7.2: one result an identity; for the null sender it is the HELO name's.
    if (judgement.mail_from.empty()) {
      add_spf(parts, judgement.spf, "smtp.helo", judgement.helo_name);
    } else {
      add_spf(parts, judgement.spf, "smtp.mailfrom", judgement.mail_from);
      add_spf(parts, judgement.helo, "smtp.helo", judgement.helo_name);
    }
    add_dkim(parts, judgement);
    Method method("dmarc", name(dmarc.result));
    if (dmarc.result == DmarcResult::kTempError || dmarc.result == DmarcResult::kPermError) {
      method.property("reason", dmarc.reason);
    }
    method.property("header.from", dmarc.from_domain);
    if (!dmarc.policy_domain.empty()) method.property("policy.dmarc", dmarc.policy);
    parts.push_back(method.text());
    add_arc(parts, judgement.arc);
  }
  std::string field = "Authentication-Results: " + value(authserv_id) + ";";
  if (parts.empty()) return field + " none\r\n";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    field += "\r\n\t" + parts[i] + (i + 1 < parts.size() ? ";" : "");
  }
  return field + "\r\n";
}

bool is_forged_authentication_results(const mail::HeaderField& field,
                                      std::string_view authserv_id) {
  if (!field.is("Authentication-Results")) return false;
  std::string ours = base::ascii_lower(authserv_id);
  if (ours.ends_with('.')) ours.pop_back();
  if (const auto id = authserv_id_of(field.body)) return *id == ours;
  // Another reader may be more lenient with a malformed field: our name anywhere is too much.
  return base::ascii_lower(field.body).find(ours) != std::string::npos;
}

}  // namespace policy
