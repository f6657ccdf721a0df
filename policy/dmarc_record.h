// DMARC policy records as text (RFC 9989 4.7 and 4.8, RFC 7489 6.3 and 6.4). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace policy {

enum class DmarcPolicy { kNone, kQuarantine, kReject };
std::string_view name(DmarcPolicy policy);

struct DmarcRecord {
  std::string domain;             // where it was found, without "_dmarc."
  std::optional<DmarcPolicy> p;   // absent: see docs/decisions, DMARC profiles
  std::optional<DmarcPolicy> sp;  // absent: as p
  std::optional<DmarcPolicy> np;  // absent: as sp
  bool invalid_p = false;         // the tag is there, its value none of the three
  bool invalid_sp = false;
  bool invalid_np = false;
  bool strict_dkim = false;  // adkim=s
  bool strict_spf = false;   // aspf=s
  char psd = 'u';            // 'y', 'n', 'u'
  bool testing = false;      // t=y
  unsigned pct = 100;        // RFC 7489 only
  bool has_reports = false;  // rua= with at least one well-formed URI (RFC 3986)
  // A tag occurs twice: the whole tag list is invalid (RFC 6376 3.2, which RFC 9989 4.7 builds on).
  bool malformed = false;
};

// nullopt where the text is no DMARC record: it does not start with v=DMARC1, or is longer than
// 8192 octets. Unknown tags and malformed values are ignored (RFC 9989 4.8).
std::optional<DmarcRecord> parse_dmarc_record(std::string_view txt);

}  // namespace policy
