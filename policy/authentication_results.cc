#include <algorithm>
#include <optional>

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
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::size_t column_;
};

void add_spf(std::vector<std::string>& parts, const Judgement& judgement) {
  if (!judgement.spf) return;
  Method method("spf", spf::name(judgement.spf->result));
  const bool error = judgement.spf->result == spf::Result::kTempError ||
                     judgement.spf->result == spf::Result::kPermError;
  if (error) method.property("reason", judgement.spf->reason);
  // RFC 8601 2.7.2: for the null sender it is the HELO name that was checked.
  if (!judgement.mail_from.empty()) method.property("smtp.mailfrom", judgement.mail_from);
  method.property("smtp.helo", judgement.helo);
  parts.push_back(method.text());
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

// One authserv-id behind comments and blanks; nothing where the field is malformed.
std::optional<std::string> authserv_id_of(std::string_view body) {
  std::size_t at = 0;
  int depth = 0;
  for (; at < body.size(); ++at) {
    const char c = body[at];
    if (depth > 0 && c == '\\') {
      ++at;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && depth > 0) {
      --depth;
    } else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n') {
      break;
    }
  }
  if (depth > 0 || at >= body.size()) return std::nullopt;
  std::string id;
  if (body[at] != '"') {
    while (at < body.size() && is_token_char(body[at])) id += body[at++];
    return id.empty() ? std::nullopt : std::optional(id);
  }
  for (++at; at < body.size(); ++at) {
    if (body[at] == '"') return id;
    if (body[at] == '\r' || body[at] == '\n') continue;  // folding inside the quotes
    if (body[at] == '\\' && at + 1 < body.size()) ++at;
    id += body[at];
  }
  return std::nullopt;
}

std::string comparable(std::string_view id) {
  std::string text = base::ascii_lower(base::trim(id));
  if (text.ends_with('.')) text.pop_back();
  return text;
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
    add_spf(parts, judgement);
    add_dkim(parts, judgement);
    Method method("dmarc", name(dmarc.result));
    if (dmarc.result == DmarcResult::kTempError || dmarc.result == DmarcResult::kPermError) {
      method.property("reason", dmarc.reason);
    }
    method.property("header.from", dmarc.from_domain);
    if (!dmarc.policy_domain.empty()) method.property("policy.dmarc", dmarc.policy);
    parts.push_back(method.text());
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
  const std::string ours = comparable(authserv_id);
  if (const auto id = authserv_id_of(field.body)) return comparable(*id) == ours;
  // Another reader may be more lenient with a malformed field: our name anywhere is too much.
  return base::ascii_lower(field.body).find(ours) != std::string::npos;
}

}  // namespace policy
