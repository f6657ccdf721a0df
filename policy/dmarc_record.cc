#include "policy/dmarc_record.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace policy {
namespace {

constexpr std::size_t kRecordOctetsMax = 8192;
constexpr std::size_t kTagsMax = 100;

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alnum(char c) { return is_alpha(c) || (c >= '0' && c <= '9'); }

// RFC 5234 WSP only: a CR or LF inside a record is no blank.
std::string_view trim_wsp(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// RFC 6376 3.2 tag-name.
bool is_tag_name(std::string_view text) {
  return !text.empty() && is_alpha(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '_'; });
}

std::optional<DmarcPolicy> policy_of(std::string_view value) {
  if (base::iequals(value, "none")) return DmarcPolicy::kNone;
  if (base::iequals(value, "quarantine")) return DmarcPolicy::kQuarantine;
  if (base::iequals(value, "reject")) return DmarcPolicy::kReject;
  return std::nullopt;
}

// RFC 9989 4.8 obs-dmarc-report-size: "!10m" behind the URI means nothing any more.
std::string_view without_report_size(std::string_view uri) {
  const auto mark = uri.rfind('!');
  if (mark == std::string_view::npos) return uri;
  std::string_view size = uri.substr(mark + 1);
  if (!size.empty() && std::string_view("kmgtKMGT").find(size.back()) != std::string_view::npos) {
    size.remove_suffix(1);
  }
  return base::parse_unsigned(size) ? uri.substr(0, mark) : uri;
}

// RFC 3986 3, with "," and "!" always encoded (RFC 9989 4.8): a scheme, a colon, and characters of
// URIs behind it. Brackets stand around an IP literal only.
bool is_uri(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !is_alpha(text.front())) return false;
  const auto is_scheme_char = [](char c) {
    return is_alnum(c) || c == '+' || c == '-' || c == '.';
  };
  if (!std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                   is_scheme_char)) {
    return false;
  }
  std::string_view rest = text.substr(colon + 1);
  const bool has_authority = rest.starts_with("//");
  bool fragment = false;
  while (!rest.empty()) {
    const char c = rest.front();
    if (c == '%') {
      if (rest.size() < 3 || !base::hex_decode(rest.substr(1, 2))) return false;
      rest.remove_prefix(3);
      continue;
    }
    if (c == '#') {
      if (fragment) return false;
      fragment = true;
    } else if (c == '[' || c == ']') {
      if (!has_authority) return false;
    } else if (!is_alnum(c) && std::string_view("-._~:/?@$&'()*+;=").find(c) == std::string::npos) {
      return false;
    }
    rest.remove_prefix(1);
  }
  return true;
}

bool has_report_uri(std::string_view value) {
  for (const std::string_view uri : base::parts(value, ',')) {
    if (is_uri(without_report_size(trim_wsp(uri)))) return true;
  }
  return false;
}

void set_policy(std::optional<DmarcPolicy>& slot, bool& invalid, std::string_view value) {
  slot = policy_of(value);
  invalid = !slot;
}

// RFC 9989 4.8: a value that its tag does not know leaves the default.
void set_tag(DmarcRecord& record, std::string_view tag, std::string_view value) {
  if (tag == "p") set_policy(record.p, record.invalid_p, value);
  if (tag == "sp") set_policy(record.sp, record.invalid_sp, value);
  if (tag == "np") set_policy(record.np, record.invalid_np, value);
  if (tag == "adkim") record.strict_dkim = base::iequals(value, "s");
  if (tag == "aspf") record.strict_spf = base::iequals(value, "s");
  if (tag == "t") record.testing = base::iequals(value, "y");
  if (tag == "rua") record.has_reports = has_report_uri(value);
  if (tag == "psd") {
    record.psd = base::iequals(value, "y") ? 'y' : base::iequals(value, "n") ? 'n' : 'u';
  }
  if (tag == "pct") {
    const auto percent = base::parse_unsigned(value);
    if (percent && *percent <= 100) record.pct = static_cast<unsigned>(*percent);
  }
}

}  // namespace

std::string_view name(DmarcPolicy policy) {
  switch (policy) {
    case DmarcPolicy::kNone:
      return "none";
    case DmarcPolicy::kQuarantine:
      return "quarantine";
    case DmarcPolicy::kReject:
      return "reject";
  }
  return "none";
}

std::optional<DmarcRecord> parse_dmarc_record(std::string_view txt) {
  if (txt.size() > kRecordOctetsMax) return std::nullopt;
  DmarcRecord record;
  std::vector<std::string> seen;
  for (const std::string_view part : base::parts(txt, ';')) {
    const auto equals = part.find('=');
    const std::string tag = base::ascii_lower(trim_wsp(part.substr(0, equals)));
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view{} : trim_wsp(part.substr(equals + 1));
    if (seen.empty()) {
      // RFC 9989 4.7 `v`: it comes first and is "DMARC1" in these letters.
      if (equals == std::string_view::npos || tag != "v" || value != "DMARC1") return std::nullopt;
    } else if (equals == std::string_view::npos || !is_tag_name(tag)) {
      continue;
    }
    if (seen.size() == kTagsMax || std::find(seen.begin(), seen.end(), tag) != seen.end()) {
      record.malformed = true;
      return record;
    }
    seen.push_back(tag);
    set_tag(record, tag, value);
  }
  return record;
}

}  // namespace policy
