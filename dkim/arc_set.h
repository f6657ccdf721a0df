// The header fields of an Authenticated Received Chain as their sealers wrote them (RFC 8617
// section 4), collected into sets and checked for structure (section 5.2 steps 1 to 3). Pure: no
// key, no hash.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "core/mail/headers.h"
#include "dkim/arc.h"
#include "dkim/canonical.h"
#include "dkim/signer.h"
#include "dkim/tag_list.h"

namespace dkim {

// What ARC-Seal and ARC-Message-Signature have in common: a=, b=, d=, s=.
struct ArcSignature {
  Algorithm algorithm = Algorithm::kRsaSha256;
  std::string signature;  // b=, the octets
  std::string key_name;   // where its key is: s= "._domainkey." d=, A-labels
};
// An ARC-Seal (RFC 8617 4.1.3). cv= is not looked at.
base::Result<ArcSignature> read_arc_seal(const TagList& tags);

// An ARC-Message-Signature (RFC 8617 4.1.2): a DKIM signature (RFC 6376 3.5) with i= for the
// instance and without v=.
struct ArcMessageSignature {
  ArcSignature signature;
  std::string body_hash;                         // bh=, the octets
  Canonical header = Canonical::kSimple;         // c=
  Canonical body = Canonical::kSimple;           // c=
  std::uint64_t body_octets = BodyHash::kWhole;  // l=
  std::vector<std::string> fields;               // h=, lower case
};
// `wall_s` is the time now, for x=.
base::Result<ArcMessageSignature> read_arc_message_signature(const TagList& tags,
                                                             std::int64_t wall_s);

// One set: the fields it was collected from (into the headers that were given) and what they say.
struct ArcLink {
  const mail::HeaderField* results = nullptr;    // ARC-Authentication-Results
  const mail::HeaderField* signature = nullptr;  // ARC-Message-Signature
  const mail::HeaderField* seal = nullptr;       // ARC-Seal
  TagList signature_tags;
  TagList seal_tags;
  ArcSet set;
};

struct ArcChain {
  std::vector<ArcLink> links;          // by instance, 1 first, up to the highest that was seen
  std::optional<std::string> problem;  // why the chain has failed whatever its signatures say
  [[nodiscard]] bool empty() const { return links.empty() && !problem; }
};
ArcChain collect_arc_sets(const mail::Headers& headers, const base::Limits& limits);

}  // namespace dkim
