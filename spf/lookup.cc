#include "spf/lookup.h"

#include <algorithm>
#include <utility>

#include "spf/domain_name.h"

namespace spf {
namespace {

constexpr int kTermsMax = 10;             // RFC 7208 4.6.4
constexpr int kVoidsMax = 2;              // RFC 7208 4.6.4
constexpr std::size_t kHostsMax = 10;     // RFC 7208 4.6.4: of one mx or ptr
constexpr std::size_t kRecordsMax = 200;  // of one answer; more are not looked at

}  // namespace

std::vector<dns::Question> Lookup::take_missing_for_explanation() {
  return std::exchange(missing_for_explanation_, {});
}

void Lookup::note_missing(dns::Question question) {
  (explaining_ ? missing_for_explanation_ : missing_).push_back(std::move(question));
}

// The library asks for one host after the other; asking for all of them saves rounds.
void Lookup::note_missing_hosts(dns::Type type) {
  for (const std::string& host : hosts_) {
    const auto query = query_name(host);
    const dns::Question question{query.value_or(""), type};
    if (std::find(missing_.begin(), missing_.end(), question) != missing_.end()) continue;
    if (query && answers_.find(question) == nullptr && missing_.size() < kHostsMax) {
      missing_.push_back(question);
    }
  }
}

bool Lookup::count_term() {
  if (++terms_ <= kTermsMax) return true;
  exceeded_ = "the record needs more than 10 DNS lookups (RFC 7208 4.6.4)";
  return false;
}

bool Lookup::count_void() {
  if (++voids_ <= kVoidsMax) return true;
  exceeded_ = "the record has more than 2 lookups without an answer (RFC 7208 4.6.4)";
  return false;
}

Lookup::Found Lookup::ask(std::string_view name, dns::Type type) {
  if (!missing_.empty() || !exceeded_.empty()) return {State::kStop, {}};
  const auto query = query_name(name);
  if (!query) return {State::kVoid, {}};  // RFC 7208 4.8: as if it did not exist
  const dns::Answer* answer = answers_.find({*query, type});
  if (answer == nullptr) {
    if (++queries_ > queries_max_) {
      exceeded_ = "the record needs too many DNS queries";
      return {State::kStop, {}};
    }
    note_missing({*query, type});
    return {State::kStop, {}};
  }
  if (++queries_ > queries_max_) {
    exceeded_ = "the record needs too many DNS queries";
    return {State::kStop, {}};
  }
  if (answer->temporary()) {
    if (!explaining_) temporary_seen_ = true;
    return {State::kTemporary, {}};
  }
  if (answer->status != dns::Status::kOk || answer->records.empty()) return {State::kVoid, {}};
  Found found{State::kFound, answer->records};
  if (found.records.size() > kRecordsMax) found.records.resize(kRecordsMax);
  return found;
}

Lookup::Found Lookup::record_txt(std::string_view domain) {
  if (records_++ > 0 && !count_term()) return {State::kStop, {}};
  Found found = ask(domain, dns::Type::kTxt);
  if (found.state == State::kVoid && records_ > 1 && !count_void()) return {State::kStop, {}};
  return found;
}

Lookup::Found Lookup::explanation_txt(std::string_view domain) {
  return ask(domain, dns::Type::kTxt);
}

Lookup::Found Lookup::host_address(std::string_view name, dns::Type type) {
  const bool nothing_missing = missing_.empty();
  Found found = ask(name, type);
  if (nothing_missing && !missing_.empty()) note_missing_hosts(type);
  // RFC 7208 5.5: a name behind a PTR whose address cannot be had is skipped.
  if (hosts_of_ptr_ && found.state == State::kTemporary) found.state = State::kVoid;
  return found;
}

Lookup::Found Lookup::mechanism(std::string_view name, dns::Type type) {
  if (!explaining_ && !count_term()) return {State::kStop, {}};
  Found found = ask(name, type);
  if (found.state == State::kVoid && !explaining_ && !count_void()) return {State::kStop, {}};
  if (type == dns::Type::kPtr) {
    if (found.state == State::kTemporary) return {State::kVoid, {}};  // RFC 7208 5.5
    if (found.records.size() > kHostsMax) found.records.resize(kHostsMax);
    hosts_of_ptr_ = true;
  }
  if (type == dns::Type::kMx && found.state == State::kFound) {
    hosts_of_ptr_ = false;
    for (std::string& record : found.records) {
      const auto space = record.find(' ');
      if (space != std::string::npos) record.erase(0, space + 1);
    }
    // RFC 7208 4.6.4: more than 10 exchangers are a permerror, whichever of them would match.
    if (found.records.size() > kHostsMax) {
      exceeded_ = "an mx mechanism finds more than 10 mail exchangers (RFC 7208 4.6.4)";
      return {State::kStop, {}};
    }
  }
  if (type == dns::Type::kMx || type == dns::Type::kPtr) {
    hosts_ = found.records;
  }
  return found;
}

}  // namespace spf
