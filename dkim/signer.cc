#include "dkim/signer.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "dkim/canonical.h"

namespace dkim {
namespace {

constexpr std::size_t kColumnsMax = 76;
constexpr std::size_t kNameOctetsMax = 253;

// What may stand in d= and s= without quoting anything.
bool is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameOctetsMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

// A header field that is folded as it grows (RFC 5322 2.2.3).
class FoldedField {
 public:
  explicit FoldedField(std::string start) : text_(std::move(start)), column_(text_.size()) {}

  // Never broken inside; goes on the next line where it does not fit.
  void piece(std::string_view text, bool space_before) {
    const std::size_t width = text.size() + (space_before ? 1 : 0);
    if (column_ + width > kColumnsMax) {
      text_ += "\r\n\t";
      column_ = 8;
    } else if (space_before) {
      text_ += ' ';
      ++column_;
    }
    text_ += text;
    column_ += text.size();
  }
  // Base64: may be broken anywhere.
  void breakable(std::string_view text) {
    while (!text.empty()) {
      if (column_ >= kColumnsMax) {
        text_ += "\r\n\t";
        column_ = 8;
      }
      const std::size_t size = std::min(text.size(), kColumnsMax - column_);
      text_ += text.substr(0, size);
      column_ += size;
      text.remove_prefix(size);
    }
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::size_t column_;
};

}  // namespace

// RFC 6376 5.4.1, and what product rule O6 protects; no trace fields (they change on the way).
const std::vector<std::string>& signed_field_names() {
  static const std::vector<std::string> names = {"From",
                                                 "Sender",
                                                 "Reply-To",
                                                 "Subject",
                                                 "Date",
                                                 "Message-ID",
                                                 "To",
                                                 "Cc",
                                                 "In-Reply-To",
                                                 "References",
                                                 "MIME-Version",
                                                 "Content-Type",
                                                 "Content-Transfer-Encoding",
                                                 "Content-Disposition",
                                                 "Auto-Submitted",
                                                 "X-Auto-Response-Suppress",
                                                 "X-Mailer",
                                                 "List-Id",
                                                 "List-Help",
                                                 "List-Unsubscribe",
                                                 "List-Unsubscribe-Post",
                                                 "List-Subscribe",
                                                 "List-Post",
                                                 "List-Owner",
                                                 "List-Archive"};
  return names;
}

base::Result<std::string> sign(const SignRequest& request, const mail::Headers& headers,
                               std::string_view body_hash) {
  if (!is_plain_name(request.domain) || !is_plain_name(request.selector) || !request.key) {
    return base::error("a DKIM signature needs a domain in A-labels, a selector and a key");
  }
  std::vector<std::string> names = signed_field_names();
  for (const std::string& more : request.more_fields) {
    const bool known = std::any_of(names.begin(), names.end(),
                                   [&](const auto& one) { return base::iequals(one, more); });
    if (!known && is_plain_name(more)) names.push_back(more);
  }

  std::string input;
  std::vector<std::string_view> listed;
  for (const std::string& field_name : names) {
    // RFC 6376 5.4.2: several fields of a name are taken from the bottom up.
    const auto& fields = headers.fields();
    for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
      if (!field->is(field_name)) continue;
      input += relaxed_field(field->name, field->body) + "\r\n";
      listed.push_back(field_name);
    }
    // One more that is not there: a From put in front later breaks the signature.
    if (field_name == "From") listed.push_back(field_name);
  }
  if (listed.size() < 2 || headers.count("From") == 0) {
    return base::error("a message without a From field cannot be signed");
  }

  FoldedField field("DKIM-Signature: v=1;");
  field.piece("a=" + std::string(name(request.key->algorithm())) + ";", true);
  field.piece("c=relaxed/relaxed;", true);
  field.piece("d=" + request.domain + ";", true);
  field.piece("s=" + request.selector + ";", true);
  field.piece("t=" + std::to_string(request.wall_s) + ";", true);
  for (std::size_t i = 0; i < listed.size(); ++i) {
    const std::string_view end = i + 1 < listed.size() ? ":" : ";";
    field.piece((i == 0 ? "h=" : "") + std::string(listed[i]) + std::string(end), i == 0);
  }
  field.piece("bh=" + base::base64_encode(body_hash) + ";", true);
  field.piece("b=", true);

  const std::string_view whole = field.text();
  const auto colon = whole.find(':');
  input += relaxed_field(whole.substr(0, colon), whole.substr(colon + 1));
  const auto signature = request.key->sign(input);
  if (!signature.ok()) return signature.error();
  field.breakable(base::base64_encode(*signature));
  return field.text() + "\r\n";
}

}  // namespace dkim
