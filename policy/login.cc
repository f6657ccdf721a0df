#include "policy/login.h"

#include <string>
#include <utility>

#include "core/base/bytes.h"
#include "policy/login_backoff.h"
#include "policy/sasl_server.h"

namespace policy {

struct LoginService::State {
  State(const AccountStore& store, const base::Clock& clock, const base::Limits& limits)
      : accounts(store), backoff(clock, limits), no_digest(store.digest("")) {}
  const AccountStore& accounts;
  LoginBackoff backoff;
  const std::string
      no_digest;  // compared with where there is no such user, so that it takes as long
};

LoginService::LoginService() = default;
LoginService::~LoginService() = default;

base::Result<std::unique_ptr<LoginService>> LoginService::open(const AccountStore& accounts,
                                                               const base::Clock& clock,
                                                               const base::Limits& limits) {
  if (base::Status started = start_sasl(); !started.ok()) return started.error();
  auto service = std::unique_ptr<LoginService>(new LoginService());
  service->state_ = std::make_unique<State>(accounts, clock, limits);
  return service;
}

Login LoginService::login_plain(std::string_view message, std::string_view remote_ip) {
  // The snapshot lives as long as the question: `found` points into it.
  const AccountsSnapshot accounts = state_->accounts.snapshot();
  const Credential* found = nullptr;
  std::string username;
  std::int64_t wait_ms = 0;
  const CheckPassword check = [&](std::string_view user, std::string_view password) {
    username = user;
    wait_ms = state_->backoff.wait_ms(remote_ip, username);
    const Credential* credential = accounts->credential(username);
    const std::string& digest = credential == nullptr ? state_->no_digest : credential->digest;
    const bool equal = base::constant_time_equal(state_->accounts.digest(password), digest);
    if (wait_ms > 0 || credential == nullptr || !equal) return false;
    found = credential;
    return true;
  };
  const SaslOutcome outcome = sasl_plain(message, check);

  Login login;
  login.username = username;
  if (outcome.accepted && found != nullptr && outcome.authcid == found->username) {
    state_->backoff.succeeded(remote_ip, username);
    login.result = LoginResult::kAccepted;
    login.credential_id = found->id;
    return login;
  }
  if (wait_ms == 0 && username.empty()) wait_ms = state_->backoff.wait_ms(remote_ip, "");
  login.reason = outcome.reason;
  if (outcome.trouble) {
    login.result = LoginResult::kTemporary;
  } else if (wait_ms > 0) {
    login.result = LoginResult::kTemporary;
    login.reason = "too many failed logins; not checked for another " +
                   std::to_string((wait_ms + 999) / 1000) + " s";
  } else {
    login.result = LoginResult::kRejected;
    state_->backoff.failed(remote_ip, username);
  }
  return login;
}

}  // namespace policy
