// AUTH PLAIN (RFC 4616) through Cyrus SASL against our own accounts: no sasldb, no saslauthd, no
// configuration files. Fails closed. RFC 4954 for the SMTP side.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/base/limits.h"
#include "core/base/result.h"
#include "policy/account_store.h"

namespace policy {

enum class LoginResult { kAccepted, kRejected, kTemporary };

struct Login {
  LoginResult result = LoginResult::kRejected;
  std::string credential_id;  // accepted: whose session it is from now on
  std::string username;       // canonical
  std::string reason;         // for the log, never for the client
};

// One per process: sets up Cyrus SASL (mutex functions, GETOPT, GETPATH, GETCONFPATH, fixed
// mechanism list) before threads start. Thread-safe.
class LoginService {
 public:
  static base::Result<std::unique_ptr<LoginService>> open(const AccountStore& accounts,
                                                          const base::Clock& clock,
                                                          const base::Limits& limits);
  ~LoginService();

  // `message` is the decoded PLAIN message. An authzid other than the authenticated identity is
  // refused. Failures per address and per user lead to a growing wait in which every attempt gets
  // kTemporary, right or wrong (limits.login_backoff_*).
  Login login_plain(std::string_view message, std::string_view remote_ip);

 private:
  LoginService();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace policy
