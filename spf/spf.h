// SPF (RFC 7208) as a pure function: connection facts and the DNS answers so far give a verdict or
// the questions still missing. The caller resolves them all at once and calls again
// (docs/decisions: replay).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"

namespace spf {

// Who evaluates: our own evaluator, or libspf2 behind our grammar and lookup layer (a second
// opinion; docs/decisions: libspf2 behind aliases).
enum class Engine { kNative, kLibspf2 };

enum class Result { kNone, kNeutral, kPass, kFail, kSoftFail, kTempError, kPermError };
std::string_view name(Result result);  // "none" ... as RFC 8601 2.7.2 writes them

struct Request {
  std::string ip;  // v4 or v6; a v4-mapped v6 address is treated as v4
  std::string helo;
  std::string mail_from;    // "" is the null sender: postmaster@helo is checked (RFC 7208 2.4)
  std::string receiver;     // our host name, for the %{r} macro
  std::int64_t wall_s = 0;  // seconds since 1970, for the %{t} macro
};

struct Verdict {
  Result result = Result::kNone;
  std::string domain;       // the domain that was checked
  std::string explanation;  // RFC 7208 6.2, sanitised; only for fail
  std::string reason;       // a few words for people: which term matched, which error
};

struct Outcome {
  std::optional<Verdict> verdict;
  std::vector<dns::Question> missing;  // never empty without a verdict
};

// Any thread. Bounded by RFC 7208 4.6.4 and limits.dns_queries, whatever the answers say. `steps`,
// where given, gets one line for people a step: the record, each term and what it found, indented
// by two blanks a level of include or redirect. It is emptied first, so that after the last call
// it tells of the evaluation that gave the verdict.
Outcome evaluate(const Request& request, const dns::Answers& answers, const base::Limits& limits,
                 Engine engine = Engine::kNative, std::vector<std::string>* steps = nullptr);

}  // namespace spf
