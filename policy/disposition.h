// What becomes of a judged message in its domain's mode (product rules A2 and A3), with reasons
// that an agent understands. Pure.
#pragma once

#include "policy/accounts.h"
#include "policy/judgement.h"

namespace policy {

// Sets `judgement.disposition` and `judgement.reasons` from the rest of it. Standard: accepted,
// whatever the reasons say. Enhanced and strict: suspended where authentication failed. (That
// strict refuses strangers at SMTP time is decided in policy/permission.h.)
void decide_disposition(Judgement& judgement, InboundMode mode);

}  // namespace policy
