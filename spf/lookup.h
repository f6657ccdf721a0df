// What an evaluation may learn from DNS: it reads the answers that are there, notes the questions
// that are missing, and counts terms, void lookups and questions against their limits. Both engines
// stand on it. One evaluation, one thread.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"
#include "spf/address.h"
#include "spf/trace.h"

namespace spf {

class Lookup {
 public:
  enum class State {
    kFound,      // records are there
    kVoid,       // no such name, or no record of that type
    kTemporary,  // DNS failed
    kStop,       // the evaluation is over: a question is missing, or a limit is passed
  };
  struct Found {
    State state = State::kStop;
    const std::vector<std::string>* records = nullptr;  // kFound: as dns::Answer has them
  };
  struct Hosts {
    State state = State::kStop;
    std::vector<std::string> names;  // as dns::Answer has them
  };

  Lookup(const dns::Answers& answers, const base::Limits& limits, const Address& client,
         Trace& trace)
      : answers_(answers),
        queries_max_(static_cast<std::size_t>(limits.dns_queries)),
        client_(client),
        trace_(trace) {}

  // One more of the terms that ask DNS, over the whole check (RFC 7208 4.6.4). False: too many.
  bool count_term();
  // One more term whose question has no answer (RFC 7208 4.6.4). False: too many.
  bool count_void();

  // `target` is a target_name().
  Found ask(std::string_view target, dns::Type type);
  // The same for a term: counts a void.
  Found ask_for_term(std::string_view target, dns::Type type);
  // The exchangers of an mx term, at most 10 (more are too many, RFC 7208 4.6.4), and all their
  // addresses, which go out as one round. A null MX (RFC 7505) has none. Counts a void.
  Hosts exchangers(std::string_view target);
  // The names behind the client's PTR records, the first 10 (RFC 7208 4.6.4), and their addresses.
  // A DNS failure counts as no names (RFC 7208 5.5).
  Hosts client_names();
  // The client family's addresses of a host that an answer named.
  Found addresses(const std::string& host);
  // Those of client_names() that lead back to the client (RFC 7208 5.5). nullopt: kStop.
  std::optional<std::vector<std::string>> validated(const Hosts& client_names);

  [[nodiscard]] dns::Type address_type() const {
    return client_.v6 ? dns::Type::kAaaa : dns::Type::kA;
  }
  [[nodiscard]] const Address& client() const { return client_; }
  [[nodiscard]] Trace& trace() { return trace_; }

  [[nodiscard]] const std::vector<dns::Question>& missing() const { return missing_; }
  // Not empty: permerror, and why.
  [[nodiscard]] const std::string& exceeded() const { return exceeded_; }
  // Not empty: the last question that DNS failed to answer.
  [[nodiscard]] const std::string& failed() const { return failed_; }
  // Did client_names() ask already?
  [[nodiscard]] bool client_names_asked() const { return client_names_asked_; }

 private:
  Found ask(const dns::Question& question);
  bool ask_addresses(const std::vector<std::string>& hosts);
  const dns::Answer* answer_to(const dns::Question& question);
  void note(const dns::Question& question, const dns::Answer& answer);

  const dns::Answers& answers_;
  const std::size_t queries_max_;
  const Address client_;
  Trace& trace_;
  std::set<dns::Question> asked_;
  std::vector<dns::Question> missing_;
  std::string exceeded_;
  std::string failed_;
  int terms_ = 0;
  int voids_ = 0;
  bool client_names_asked_ = false;
};

}  // namespace spf
