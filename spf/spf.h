// SPF (RFC 7208) as a pure function: connection facts and the DNS answers so far give a verdict or
// the questions still missing. The caller resolves them all at once and calls again
// (docs/decisions: replay). libspf2 does the evaluation behind our own lookup layer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"

namespace spf {

enum class Result { kNone, kNeutral, kPass, kFail, kSoftFail, kTempError, kPermError };
std::string_view name(Result result);  // "none" ... as RFC 8601 2.7.2 writes them

struct Request {
  std::string ip;  // v4 or v6; a v4-mapped v6 address is treated as v4
  std::string helo;
  std::string mail_from;  // "" is the null sender: postmaster@helo is checked (RFC 7208 2.4)
  std::string receiver;   // our host name, for the %{r} macro
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

// Any thread. Bounded by RFC 7208 4.6.4 and limits.dns_queries, whatever the answers say.
Outcome evaluate(const Request& request, const dns::Answers& answers, const base::Limits& limits);

}  // namespace spf
