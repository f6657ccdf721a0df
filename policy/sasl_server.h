// Cyrus SASL's server side, cut down to one mechanism (PLAIN, RFC 4616) and one source of truth:
// the callback of the caller. No files, no environment, no auxprop, no other plug-in is looked at.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace policy {

// Once a process, before threads start; later calls do nothing. Never undone: Cyrus SASL's clean-up
// races with conversations that are going on. Error: no PLAIN plug-in on this machine.
base::Status start_sasl();

struct SaslOutcome {
  bool accepted = false;
  bool trouble = false;  // of ours (memory, library), not of the client's making
  std::string authcid;   // canonical; "" where the message did not get that far
  std::string authzid;   // canonical; the same as authcid where none was asked for
  std::string reason;
};

// The canonical form of a user name: ASCII lower case, nothing else; realms mean nothing here.
std::string canonical_username(std::string_view username);

// Is this the secret of that (canonical) user?
using CheckPassword = std::function<bool(std::string_view username, std::string_view password)>;

// One conversation, which PLAIN ends with its first message. Any thread. `check` is called at most
// once; without its yes nothing is accepted, whatever the library says.
SaslOutcome sasl_plain(std::string_view message, const CheckPassword& check);

}  // namespace policy
