// The domain that DMARC judges: that of the From field (RFC 9989 5.3.1). Pure.
#pragma once

#include <string>

#include "core/mail/headers.h"

namespace policy {

struct DmarcAuthor {
  std::string domain;   // normalized; "" where there is not exactly one
  std::string problem;  // why there is none, in words; "" where there is one
};

// Several addresses of one domain are one author domain; groups (RFC 6854) count by their members.
DmarcAuthor dmarc_author(const mail::Headers& headers);

}  // namespace policy
