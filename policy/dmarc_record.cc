#include "policy/dmarc_record.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace policy {
namespace {

constexpr std::size_t kRecordOctetsMax = 8192;
constexpr std::size_t kTagsMax = 100;
constexpr std::size_t kJumpLabels = 7;  // RFC 9989 4.10: long names continue at seven labels

std::optional<DmarcPolicy> policy_of(std::string_view value) {
  if (base::iequals(value, "none")) return DmarcPolicy::kNone;
  if (base::iequals(value, "quarantine")) return DmarcPolicy::kQuarantine;
  if (base::iequals(value, "reject")) return DmarcPolicy::kReject;
  return std::nullopt;
}

bool has_report_uri(std::string_view value) {
  for (const std::string_view uri : base::split(value, ',')) {
    const std::string_view one = base::trim(uri);
    if ((base::istarts_with(one, "mailto:") && one.find('@') != std::string_view::npos) ||
        base::istarts_with(one, "https:")) {
      return true;
    }
  }
  return false;
}

void set_tag(DmarcRecord& record, std::string_view tag, std::string_view value) {
  const auto set_policy = [&](std::optional<DmarcPolicy>& slot) {
    slot = policy_of(value);
    if (!slot) record.invalid_policy = true;
  };
  if (tag == "p") set_policy(record.p);
  if (tag == "sp") set_policy(record.sp);
  if (tag == "np") set_policy(record.np);
  if (tag == "adkim") record.strict_dkim = base::iequals(value, "s");
  if (tag == "aspf") record.strict_spf = base::iequals(value, "s");
  if (tag == "t") record.testing = base::iequals(value, "y");
  if (tag == "rua") record.has_reports = has_report_uri(value);
  if (tag == "psd") {
    record.psd = base::iequals(value, "y") ? 'y' : base::iequals(value, "n") ? 'n' : 'u';
  }
}

std::string_view parent(std::string_view name) {
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
}

std::size_t label_count(std::string_view name) {
  return static_cast<std::size_t>(std::count(name.begin(), name.end(), '.')) + 1;
}

// The ancestor of `name` (or itself) with that many labels.
std::string_view last_labels(std::string_view name, std::size_t count) {
  while (label_count(name) > count) name = parent(name);
  return name;
}

// RFC 9989 4.10.2.
std::string organizational_domain(const std::string& domain,
                                  const std::vector<DmarcRecord>& records) {
  for (const DmarcRecord& record : records) {
    if (record.psd == 'n') return record.domain;
    if (record.psd == 'y' && record.domain != domain) {
      return std::string(last_labels(domain, label_count(record.domain) + 1));
    }
  }
  return records.empty() ? domain : records.back().domain;
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
  bool first = true;
  for (const std::string_view part : base::split(txt, ';')) {
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) {
      if (first) return std::nullopt;
      continue;
    }
    const std::string tag = base::ascii_lower(base::trim(part.substr(0, equals)));
    const std::string_view value = base::trim(part.substr(equals + 1));
    if (first) {
      // RFC 9989 4.8: the version comes first and is "DMARC1" in these letters.
      if (tag != "v" || value != "DMARC1") return std::nullopt;
      first = false;
      continue;
    }
    if (seen.size() >= kTagsMax) break;
    if (std::find(seen.begin(), seen.end(), tag) != seen.end()) continue;
    seen.push_back(tag);
    set_tag(record, tag, value);
  }
  if (first) return std::nullopt;
  return record;
}

dns::Question dmarc_question(std::string_view domain) {
  return {"_dmarc." + std::string(domain), dns::Type::kTxt};
}

std::vector<std::string> walk_names(std::string_view domain) {
  std::vector<std::string> names = {std::string(domain)};
  std::string_view next =
      label_count(domain) > kJumpLabels ? last_labels(domain, kJumpLabels) : parent(domain);
  for (; !next.empty(); next = parent(next)) names.emplace_back(next);
  return names;
}

TreeWalk walk_tree(const std::string& domain, const dns::Answers& answers) {
  TreeWalk walk;
  for (const std::string& target : walk_names(domain)) {
    const dns::Question question = dmarc_question(target);
    const dns::Answer* answer = answers.find(question);
    if (answer == nullptr) {
      walk.missing.push_back(question);
      continue;
    }
    if (!walk.missing.empty()) continue;  // an earlier answer may end the walk before this one
    if (answer->temporary()) {
      walk.temporary = true;
      return walk;
    }
    std::vector<DmarcRecord> found;
    for (const std::string& txt : answer->records) {
      if (auto record = parse_dmarc_record(txt)) found.push_back(std::move(*record));
      if (found.size() > 1) break;
    }
    if (found.size() != 1) continue;  // RFC 9989 4.10: several records are as good as none
    found.front().domain = target;
    walk.records.push_back(std::move(found.front()));
    if (walk.records.back().psd != 'u') break;
  }
  if (walk.missing.empty()) walk.organizational = organizational_domain(domain, walk.records);
  return walk;
}

bool is_at_or_below(std::string_view name, std::string_view domain) {
  return name == domain || (name.size() > domain.size() && name.ends_with(domain) &&
                            name[name.size() - domain.size() - 1] == '.');
}

}  // namespace policy
