// The ENVID that relayd gives to what it sends where the back end gave none (RFC 3461 4.4): the
// queue id with a keyed check, so that a delivery report that brings it back (RFC 3464 2.2.1) is
// tied to its message without any memory, and nobody can make up one for a message that is not the
// tenant's. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/id.h"

namespace policy {

// "relayd.ID.CHECK", xtext as it is (letters, digits, dots), 58 octets.
std::string make_sent_tag(std::string_view key, std::string_view tenant, const base::Id& id);
// The id where `envid` is a tag of ours for that tenant.
std::optional<base::Id> read_sent_tag(std::string_view key, std::string_view tenant,
                                      std::string_view envid);

}  // namespace policy
