#include "relaybench/misbehaviour.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <system_error>

#include "core/base/bytes.h"

namespace relaybench {
namespace {

using Takes = MisbehaviourRule::Takes;

// "10%" as 0.1.
std::optional<double> parse_share(std::string_view text) {
  if (!text.ends_with('%')) return std::nullopt;
  const auto percent = base::parse_unsigned(text.substr(0, text.size() - 1));
  if (!percent || *percent > 100) return std::nullopt;
  return static_cast<double>(*percent) / 100;
}

bool is_one_of(std::string_view word, std::string_view words) {
  const auto known = base::split(words, '|');
  return std::find(known.begin(), known.end(), word) != known.end();
}

base::Result<Misbehaviour> parse_one(std::span<const MisbehaviourRule> rules,
                                     std::string_view text) {
  const std::size_t name_end = std::min(text.find_first_of("=:"), text.size());
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const MisbehaviourRule& r) {
    return r.name == text.substr(0, name_end);
  });
  if (rule == rules.end()) {
    return base::error("'" + base::printable(text) +
                       "' is no misbehaviour that is known; --help lists them");
  }
  Misbehaviour one;
  one.rule = static_cast<std::size_t>(rule - rules.begin());
  one.text = text;
  bool good = true;
  for (std::string_view rest = text.substr(name_end); !rest.empty() && good;) {
    const bool is_value = rest.front() == '=';
    const std::size_t end = std::min(rest.find_first_of("=:", 1), rest.size());
    const std::string_view part = rest.substr(1, end - 1);
    rest.remove_prefix(end);
    if (const auto share = parse_share(part)) {
      one.share = *share;
    } else if (is_value && rule->takes == Takes::kNumber) {
      const auto number = base::parse_unsigned(part);
      good = number && *number <= 1'000'000'000;
      if (good) one.number = static_cast<std::int64_t>(*number);
      one.word = part;
    } else {
      good = is_value && rule->takes != Takes::kNothing && is_one_of(part, rule->words);
      one.word = part;
    }
  }
  if (one.word.empty() && rule->takes == Takes::kWordOrNot) {
    one.word = base::split(rule->words, '|').front();
  }
  if (one.word.empty() && rule->takes != Takes::kNothing) good = false;
  if (good) return one;
  std::string form(rule->name);
  if (rule->takes == Takes::kNumber) form += "=NUMBER";
  if (rule->takes == Takes::kWord || rule->takes == Takes::kWordOrNot) {
    form += "=" + std::string(rule->words);
  }
  return base::error("'" + base::printable(text) + "': write " + form +
                     ", with a share behind it as in :10% where it is not to happen always");
}

}  // namespace

base::Result<Misbehaviours> Misbehaviours::parse(std::span<const MisbehaviourRule> rules,
                                                 const std::vector<std::string>& texts,
                                                 const std::string& file) {
  Misbehaviours result;
  result.rules_ = rules;
  result.texts_ = texts;
  result.file_ = file;
  if (const base::Status read = result.reread(); !read) return read.error();
  return result;
}

base::Status Misbehaviours::reread() {
  std::vector<std::string> texts = texts_;
  if (!file_.empty()) {
    std::ifstream in(file_);
    if (!in) {
      return base::error("cannot read " + file_ + ": " + std::generic_category().message(errno));
    }
    for (std::string line; std::getline(in, line);) {
      const std::string_view text = base::trim(std::string_view(line).substr(0, line.find('#')));
      if (!text.empty()) texts.emplace_back(text);
    }
  }
  std::vector<Misbehaviour> now;
  for (const std::string& text : texts) {
    auto one = parse_one(rules_, text);
    if (!one) return one.error();
    now.push_back(one.take());
  }
  // The counts stay, also of what is over.
  for (Misbehaviour& before : all_) {
    const auto again = std::find_if(now.begin(), now.end(), [&](const Misbehaviour& one) {
      return one.text == before.text && !one.over;
    });
    if (again != now.end()) {
      again->happened += before.happened;
    } else if (before.happened > 0) {
      before.over = true;
      now.push_back(before);
    }
  }
  all_ = std::move(now);
  return base::Ok{};
}

const Misbehaviour* Misbehaviours::strike(std::size_t rule, std::string_view word) {
  for (Misbehaviour& one : all_) {
    if (one.over || one.rule != rule || (!word.empty() && one.word != word)) continue;
    if (one.share < 1 && std::uniform_real_distribution<double>(0, 1)(random_) >= one.share) {
      continue;
    }
    ++one.happened;
    return &one;
  }
  return nullptr;
}

std::string describe(std::span<const MisbehaviourRule> rules) {
  std::string out = "Misbehaviours (NAME, NAME=VALUE, each with a share behind it like :10%):\n";
  for (const MisbehaviourRule& rule : rules) {
    std::string form(rule.name);
    if (rule.takes == Takes::kNumber) form += "=NUMBER";
    if (rule.takes == Takes::kWord) form += "=STAGE";
    if (rule.takes == Takes::kWordOrNot) form += "[=STAGE]";
    form.resize(std::max<std::size_t>(form.size() + 2, 32), ' ');
    out += "  " + form + std::string(rule.help) + "\n";
  }
  return out;
}

}  // namespace relaybench
