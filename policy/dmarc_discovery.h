// Where DMARC records stand: the tree walk of RFC 9989 4.10 and the two lookups of RFC 7489 6.6.3,
// over the answers so far. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dns/answers.h"
#include "policy/dmarc_record.h"

namespace policy {

// The question for a domain's record.
dns::Question dmarc_question(std::string_view domain);

// RFC 9989 4.10: the names of a tree walk from `domain` up, at most eight.
std::vector<std::string> walk_names(std::string_view domain);

// A tree walk over the answers so far.
struct TreeWalk {
  std::vector<DmarcRecord> records;    // from the longest name to the shortest
  std::vector<dns::Question> missing;  // all that may still be needed, asked at once
  bool temporary = false;              // DNS failed on the way; `records` stand before that
  std::string organizational;          // RFC 9989 4.10.2; "" where missing or temporary
};
// `steps`, where given, gets a line a name.
TreeWalk walk_tree(const std::string& domain, const dns::Answers& answers,
                   std::vector<std::string>* steps = nullptr);

// What applies to mail from an author domain.
struct Discovery {
  std::optional<DmarcRecord> record;  // RFC 9989 4.10.1, RFC 7489 6.6.3
  std::string organizational;         // of the author domain; "" where DNS did not say
  bool temporary = false;             // whether there is a record is not known
  std::vector<dns::Question> missing;
};
Discovery discover_rfc9989(const std::string& author, const dns::Answers& answers,
                           std::vector<std::string>* steps = nullptr);
Discovery discover_rfc7489(const std::string& author, const dns::Answers& answers,
                           std::vector<std::string>* steps = nullptr);

// Is `name` the domain or below it?
bool is_at_or_below(std::string_view name, std::string_view domain);

}  // namespace policy
