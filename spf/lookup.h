// What an evaluation may learn from DNS: it reads the answers that are there, notes the question it
// is missing, and counts terms, void lookups and lookups against RFC 7208 4.6.4. Nothing of the
// library is here. One evaluation, one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"

namespace spf {

class Lookup {
 public:
  enum class State {
    kFound,      // `records` has them
    kVoid,       // no such name, or no record of that type
    kTemporary,  // DNS failed
    kStop,       // the evaluation is over: a question is missing, or a limit is passed
  };
  struct Found {
    State state = State::kStop;
    std::vector<std::string> records;
  };

  Lookup(const dns::Answers& answers, const base::Limits& limits)
      : answers_(answers), queries_max_(static_cast<std::size_t>(limits.dns_queries)) {}

  // The SPF record's TXT records. Counts as a term but for the first one.
  Found record_txt(std::string_view domain);
  // The TXT records of an explanation: no term (RFC 7208 4.6.4).
  Found explanation_txt(std::string_view domain);
  // What a mechanism or the %{p} macro asks for: A, AAAA, MX or PTR. Counts as a term.
  Found mechanism(std::string_view name, dns::Type type);
  // The address of a host that an `mx` or a PTR record named: part of that term.
  Found host_address(std::string_view name, dns::Type type);

  // While an explanation is made, what is missing does not stop the evaluation.
  void set_explaining(bool explaining) { explaining_ = explaining; }

  [[nodiscard]] const std::vector<dns::Question>& missing() const { return missing_; }
  [[nodiscard]] std::vector<dns::Question> take_missing_for_explanation();
  // Not empty: permerror, and why.
  [[nodiscard]] const std::string& exceeded() const { return exceeded_; }
  [[nodiscard]] bool temporary_seen() const { return temporary_seen_; }

 private:
  Found ask(std::string_view name, dns::Type type);
  bool count_term();
  bool count_void();
  void note_missing(dns::Question question);
  void note_missing_hosts(dns::Type type);

  const dns::Answers& answers_;
  std::size_t queries_max_;
  std::vector<dns::Question> missing_;
  std::vector<dns::Question> missing_for_explanation_;
  std::string exceeded_;
  bool temporary_seen_ = false;
  bool explaining_ = false;
  std::size_t queries_ = 0;
  int records_ = 0;
  int terms_ = 0;
  int voids_ = 0;
  std::vector<std::string> hosts_;  // of the last mx or ptr
  bool hosts_of_ptr_ = false;
};

}  // namespace spf
