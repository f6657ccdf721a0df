// To which support address a forwarded message was written (product rule A7). Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/mail/envelope.h"
#include "core/mail/headers.h"
#include "policy/accounts.h"

namespace policy {

// The envelope comes first: the address of RCPT TO where answers can be sent for it, that is, where
// it has a smarthost. An address without one is the provider's own, to which organisations forward
// (rule D8): then it is the ORCPT parameter of RFC 3461, Delivered-To, X-Original-To,
// X-Forwarded-To (the lowest, written first, before the others) and To, and of those the first that
// is a support address of the same tenant with a smarthost. Where none is, `rcpt_to` stays.
// `own_domain_only`: no other domain's (rule D5), for mail that came with a domain's credential.
std::string original_recipient(const Accounts& accounts, const std::string& rcpt_to,
                               const mail::Envelope& envelope, const mail::Headers& headers,
                               bool own_domain_only);

}  // namespace policy
