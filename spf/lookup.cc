#include "spf/lookup.h"

#include <algorithm>
#include <map>

#include "core/base/bytes.h"
#include "core/dns/packet.h"
#include "spf/domain_name.h"

namespace spf {
namespace {

// RFC 7208 4.6.4
constexpr int kTermsMax = 10;
constexpr int kVoidsMax = 2;
constexpr std::size_t kHostsMax = 10;  // of one mx or ptr

constexpr std::size_t kRecordsShown = 12;

std::string_view type_name(dns::Type type) {
  switch (type) {
    case dns::Type::kA:
      return "A";
    case dns::Type::kAaaa:
      return "AAAA";
    case dns::Type::kMx:
      return "MX";
    case dns::Type::kPtr:
      return "PTR";
    default:
      return "TXT";
  }
}

std::string_view failure(dns::Status status) {
  switch (status) {
    case dns::Status::kNxDomain:
      return "no such name";
    case dns::Status::kServFail:
      return "SERVFAIL";
    case dns::Status::kTimeout:
      return "timeout";
    default:
      return "no such record";
  }
}

std::string text_of(const dns::Question& question) {
  return std::string(type_name(question.type)) + " " + base::printable(question.name);
}

// The hosts of MX records, so that it does not depend on the order of an answer what is looked at
// first. Without those that say that there is none (RFC 7505).
std::multimap<std::uint64_t, std::string> by_preference(const std::vector<std::string>& records) {
  std::multimap<std::uint64_t, std::string> hosts;
  for (const std::string& record : records) {
    const auto blank = std::min(record.find(' '), record.size());
    const std::string host = base::ascii_lower(record.substr(std::min(blank + 1, record.size())));
    if (host != ".") hosts.emplace(base::parse_unsigned(record.substr(0, blank)).value_or(0), host);
  }
  return hosts;
}

}  // namespace

bool Lookup::count_term() {
  if (!exceeded_.empty()) return false;
  if (++terms_ > kTermsMax) {
    exceeded_ = "more than 10 terms need DNS (RFC 7208 4.6.4)";
    return false;
  }
  if (trace_.on()) trace_.note("DNS term " + std::to_string(terms_) + " of 10");
  return true;
}

bool Lookup::count_void() {
  if (!exceeded_.empty()) return false;
  if (++voids_ > kVoidsMax) {
    exceeded_ = "more than 2 terms ask DNS for what is not there (RFC 7208 4.6.4)";
    return false;
  }
  if (trace_.on()) trace_.note("void lookup " + std::to_string(voids_) + " of 2");
  return true;
}

void Lookup::note(const dns::Question& question, const dns::Answer& answer) {
  if (!trace_.on()) return;
  std::string text = text_of(question) + " = ";
  if (answer.records.empty() || answer.status != dns::Status::kOk) text += failure(answer.status);
  const std::size_t shown = std::min(answer.records.size(), kRecordsShown);
  for (std::size_t i = 0; i < shown; ++i) {
    text += (i == 0 ? "" : ", ") + base::printable(answer.records[i], 80);
  }
  if (shown < answer.records.size()) {
    text += " and " + std::to_string(answer.records.size() - shown) + " more";
  }
  trace_.note(text);
}

// Counts the question; nullptr where its answer is missing or a limit is passed.
const dns::Answer* Lookup::answer_to(const dns::Question& question) {
  if (!exceeded_.empty()) return nullptr;
  const bool is_new = asked_.insert(question).second;
  if (is_new && asked_.size() > queries_max_) {
    exceeded_ = "the check needs more than " + std::to_string(queries_max_) + " DNS queries";
    return nullptr;
  }
  const dns::Answer* answer = answers_.find(question);
  if (answer == nullptr && is_new) missing_.push_back(question);
  return answer;
}

Lookup::Found Lookup::ask(const dns::Question& question) {
  if (!missing_.empty()) return {};
  const dns::Answer* answer = answer_to(question);
  if (answer == nullptr) return {};
  if (question.type != dns::Type::kTxt) note(question, *answer);
  if (answer->temporary()) {
    failed_ = text_of(question) + ": " + std::string(failure(answer->status));
    return {State::kTemporary, nullptr};
  }
  if (answer->status != dns::Status::kOk || answer->records.empty()) return {State::kVoid, nullptr};
  return {State::kFound, &answer->records};
}

Lookup::Found Lookup::ask(std::string_view target, dns::Type type) {
  return ask({question_name(target), type});
}

Lookup::Found Lookup::ask_for_term(std::string_view target, dns::Type type) {
  const Found found = ask(target, type);
  if (found.state == State::kVoid && !count_void()) return {};
  return found;
}

// Puts all questions into one round. False: some are missing, or they are too many.
bool Lookup::ask_addresses(const std::vector<std::string>& hosts) {
  for (const std::string& host : hosts) {
    if (dns::is_valid_name(host)) (void)answer_to({host, address_type()});
  }
  return missing_.empty() && exceeded_.empty();
}

Lookup::Hosts Lookup::exchangers(std::string_view target) {
  const Found found = ask_for_term(target, dns::Type::kMx);
  if (found.state != State::kFound) return {found.state, {}};
  // Whichever of them would match: the order of an answer is nobody's.
  if (found.records->size() > kHostsMax) {
    exceeded_ = "an mx has more than 10 mail exchangers (RFC 7208 4.6.4)";
    return {};
  }
  Hosts hosts{State::kFound, {}};
  for (const auto& [preference, host] : by_preference(*found.records)) hosts.names.push_back(host);
  if (!ask_addresses(hosts.names)) return {};
  return hosts;
}

Lookup::Hosts Lookup::client_names() {
  client_names_asked_ = true;
  const Found found = ask({reverse_name(client_), dns::Type::kPtr});
  if (found.state == State::kTemporary) return {State::kTemporary, {}};
  if (found.state != State::kFound) return {found.state, {}};
  const auto count =
      static_cast<std::ptrdiff_t>(std::min<std::size_t>(found.records->size(), kHostsMax));
  Hosts hosts{State::kFound, {}};
  std::for_each(found.records->begin(), found.records->begin() + count,
                [&](const std::string& name) { hosts.names.push_back(base::ascii_lower(name)); });
  if (!ask_addresses(hosts.names)) return {};
  return hosts;
}

Lookup::Found Lookup::addresses(const std::string& host) {
  if (!dns::is_valid_name(host)) return {State::kVoid, nullptr};
  return ask({host, address_type()});
}

std::optional<std::vector<std::string>> Lookup::validated(const Hosts& hosts) {
  if (hosts.state == State::kStop) return std::nullopt;
  std::vector<std::string> validated;
  for (const std::string& host : hosts.names) {
    const Found found = addresses(host);
    if (found.state == State::kStop) return std::nullopt;
    if (found.state != State::kFound) continue;  // RFC 7208 5.5: also where DNS failed
    const bool leads_back =
        std::any_of(found.records->begin(), found.records->end(), [this](const std::string& text) {
          const auto address = client_.v6 ? parse_v6(text) : parse_v4(text);
          return address && is_within(*address, client_, 128);
        });
    if (leads_back) validated.push_back(host);
  }
  return validated;
}

}  // namespace spf
