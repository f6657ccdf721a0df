#include "policy/dmarc_discovery.h"

#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "policy/public_suffix.h"

namespace policy {
namespace {

constexpr std::size_t kJumpLabels = 7;       // RFC 9989 4.10: long names continue at seven labels
constexpr std::size_t kNameOctetsMax = 253;  // RFC 1035 2.3.4, in text without the final dot

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

// RFC 9989 4.10.2, `records` being what a complete walk from `domain` found.
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

// What stands at one name.
struct Found {
  enum class State { kMissing, kTemporary, kNothing, kSeveral, kMalformed, kRecord };
  State state = State::kNothing;
  DmarcRecord record;
  std::string_view text;  // of the record, into the answers
};

Found find_record(const std::string& domain, const dns::Question& question,
                  const dns::Answers& answers) {
  Found found;
  if (question.name.size() > kNameOctetsMax) return found;  // no such name can be
  const dns::Answer* answer = answers.find(question);
  if (answer == nullptr) {
    found.state = Found::State::kMissing;
    return found;
  }
  if (answer->temporary()) {
    found.state = Found::State::kTemporary;
    return found;
  }
  for (const std::string& txt : answer->records) {
    auto record = parse_dmarc_record(txt);
    if (!record) continue;
    if (found.state != Found::State::kNothing) {
      return {Found::State::kSeveral, {}, {}};
    }
    found.state = record->malformed ? Found::State::kMalformed : Found::State::kRecord;
    found.record = std::move(*record);
    found.record.domain = domain;
    found.text = txt;
  }
  return found;
}

std::string_view words(Found::State state) {
  switch (state) {
    case Found::State::kMissing:
      return "not asked yet";
    case Found::State::kTemporary:
      return "DNS did not answer";
    case Found::State::kNothing:
      return "no record";
    case Found::State::kSeveral:
      return "several records, so none of them counts";
    case Found::State::kMalformed:
      return "a record with a repeated tag, which does not count: ";
    case Found::State::kRecord:
      return "";
  }
  return "";
}

void tell(std::vector<std::string>* steps, const dns::Question& question, const Found& found) {
  if (steps == nullptr) return;
  steps->push_back(question.name + ": " + std::string(words(found.state)) +
                   base::printable(found.text));
}

void tell(std::vector<std::string>* steps, std::string line) {
  if (steps != nullptr) steps->push_back(std::move(line));
}

}  // namespace

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

TreeWalk walk_tree(const std::string& domain, const dns::Answers& answers,
                   std::vector<std::string>* steps) {
  TreeWalk walk;
  for (const std::string& target : walk_names(domain)) {
    const dns::Question question = dmarc_question(target);
    Found found = find_record(target, question, answers);
    if (found.state == Found::State::kMissing) walk.missing.push_back(question);
    if (!walk.missing.empty()) continue;  // an earlier answer may end the walk before this one
    tell(steps, question, found);
    if (found.state == Found::State::kTemporary) {
      walk.temporary = true;
      return walk;
    }
    // RFC 9989 4.10 steps 2 and 6: several records are as good as none.
    if (found.state != Found::State::kRecord) continue;
    walk.records.push_back(std::move(found.record));
    if (walk.records.back().psd != 'u') break;
  }
  if (walk.missing.empty()) walk.organizational = organizational_domain(domain, walk.records);
  return walk;
}

// RFC 9989 4.10.1: the author domain's own record, the organizational domain's, the PSD's.
Discovery discover_rfc9989(const std::string& author, const dns::Answers& answers,
                           std::vector<std::string>* steps) {
  TreeWalk walk = walk_tree(author, answers, steps);
  Discovery discovery;
  discovery.missing = std::move(walk.missing);
  if (!discovery.missing.empty()) return discovery;
  discovery.organizational = std::move(walk.organizational);
  const bool own = !walk.records.empty() && walk.records.front().domain == author;
  if (walk.temporary && !own) {
    discovery.temporary = true;
    return discovery;
  }
  if (!discovery.organizational.empty()) {
    tell(steps, "organizational domain of " + author + ": " + discovery.organizational);
  }
  if (own) {
    discovery.record = std::move(walk.records.front());
    return discovery;
  }
  for (DmarcRecord& record : walk.records) {
    // A walk ends at a psd tag, so the PSD's record, where there is one, is the last.
    const bool at_organization = record.domain == discovery.organizational;
    if (at_organization || record.psd == 'y') {
      discovery.record = std::move(record);
      return discovery;
    }
  }
  return discovery;
}

// RFC 7489 6.6.3. Any record at the author domain, even one of several, ends the search there.
Discovery discover_rfc7489(const std::string& author, const dns::Answers& answers,
                           std::vector<std::string>* steps) {
  Discovery discovery;
  discovery.organizational = registrable_domain(author);
  std::vector<std::string> targets = {author};
  if (discovery.organizational != author) targets.push_back(discovery.organizational);
  for (const std::string& target : targets) {
    const dns::Question question = dmarc_question(target);
    Found found = find_record(target, question, answers);
    if (found.state == Found::State::kMissing) discovery.missing.push_back(question);
    if (!discovery.missing.empty()) continue;
    tell(steps, question, found);
    discovery.temporary = found.state == Found::State::kTemporary;
    if (found.state == Found::State::kRecord) discovery.record = std::move(found.record);
    if (found.state != Found::State::kNothing) break;
  }
  if (discovery.missing.empty()) {
    tell(steps, "organizational domain of " + author +
                    " by the public suffix list: " + discovery.organizational);
  }
  return discovery;
}

bool is_at_or_below(std::string_view name, std::string_view domain) {
  return name == domain || (name.size() > domain.size() && name.ends_with(domain) &&
                            name[name.size() - domain.size() - 1] == '.');
}

}  // namespace policy
