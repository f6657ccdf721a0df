// Mail addresses of RFC 5321 (envelope) and RFC 5322 (header fields), with RFC 6531/6532 (UTF-8)
// and IDNA2008. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace mail {

// A mailbox: local part and domain, as they were written. A quoted local part keeps its quotes.
// An address literal keeps its brackets in `domain`.
struct Address {
  std::string local;
  std::string domain;

  [[nodiscard]] std::string str() const { return local + "@" + domain; }
  [[nodiscard]] bool is_literal() const { return !domain.empty() && domain.front() == '['; }
  // Does it need SMTPUTF8 (RFC 6531)?
  [[nodiscard]] bool is_internationalized() const;
  bool operator==(const Address&) const = default;
};

// RFC 5321 4.1.2 Mailbox: `local@domain`, no angle brackets, no source route. Local part at most
// 64 octets, domain at most 255, all at most 254 (RFC 5321 4.5.3.1). UTF-8 outside ASCII is taken
// in the atoms where `utf8` is set (RFC 6531 3.3).
base::Result<Address> parse_mailbox(std::string_view text, bool utf8 = true);

// The path of MAIL FROM: `<>` gives an Address with both parts empty.
struct Path {
  Address address;
  std::string_view rest;  // what follows the `>`, into the caller's text
  [[nodiscard]] bool is_null() const { return address.local.empty(); }
};
// RFC 5321 4.1.2 Path: `<...>`, a source route in front is read and ignored (RFC 5321 F.2).
// `<postmaster>` without a domain is taken where `allow_postmaster` is set (RFC 5321 4.5.1).
base::Result<Path> parse_path(std::string_view text, bool utf8, bool allow_postmaster = false);

// All mailboxes of an RFC 5322 3.4 address-list (unfolded field body): display names, comments,
// quoted strings, groups and the obsolete forms are understood. An empty group gives none. The
// lengths of RFC 5321 4.5.3.1, which bind envelopes only, are not asked for, nor single dots
// between the atoms of a local part.
base::Result<std::vector<Address>> parse_address_list(std::string_view field_body);

// The form in which domains are compared and looked up: lower case, A-labels (IDNA2008), no
// trailing dot. Error where it is no domain name (label or name too long, empty label, bad IDN).
base::Result<std::string> normalize_domain(std::string_view domain);

// The form in which addresses are compared: local part as written but lower-cased in ASCII (support
// addresses are not case sensitive in any product we serve) and unquoted where the quotes say
// nothing; domain normalized.
base::Result<std::string> normalize_address(const Address& address);
// The same of a mailbox as it is written; nullopt where it is none.
std::optional<std::string> normalized_mailbox(std::string_view text);

}  // namespace mail
