// DMARC policy records (RFC 9989 4.7, 4.8) and the names at which they are looked for (4.10). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dns/answers.h"

namespace policy {

enum class DmarcPolicy { kNone, kQuarantine, kReject };
std::string_view name(DmarcPolicy policy);

struct DmarcRecord {
  std::string domain;            // where it was found, without "_dmarc."
  std::optional<DmarcPolicy> p;  // absent: as if "none" (RFC 9989 4.7)
  std::optional<DmarcPolicy> sp;
  std::optional<DmarcPolicy> np;
  bool invalid_policy = false;  // p, sp or np had a value that is none of the three
  bool strict_dkim = false;     // adkim=s
  bool strict_spf = false;      // aspf=s
  char psd = 'u';               // 'y', 'n', 'u'
  bool testing = false;         // t=y
  bool has_reports = false;     // rua= with at least one mailto: or https: URI
};

// nullopt where the text does not start with v=DMARC1. Unknown tags and malformed values are
// ignored.
std::optional<DmarcRecord> parse_dmarc_record(std::string_view txt);

// The question for a domain's record.
dns::Question dmarc_question(std::string_view domain);

// RFC 9989 4.10: the names of a tree walk from `domain` up, at most eight.
std::vector<std::string> walk_names(std::string_view domain);

// A tree walk over the answers so far.
struct TreeWalk {
  std::vector<DmarcRecord> records;    // from the longest name to the shortest
  std::vector<dns::Question> missing;  // all that may still be needed, asked at once
  bool temporary = false;              // DNS failed on the way
  std::string organizational;          // RFC 9989 4.10.2
};
TreeWalk walk_tree(const std::string& domain, const dns::Answers& answers);

// Is `name` the domain or below it?
bool is_at_or_below(std::string_view name, std::string_view domain);

}  // namespace policy
