#include "relayd/egress/login_locks.h"

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "relayd/egress/notices.h"

namespace egress {
namespace {

std::string member(std::string_view name, std::string_view value) {
  return "\"" + std::string(name) + "\":\"" + base::json_escape(value) + "\"";
}

void report_unwritten(const base::Status& status, const policy::SmarthostAccount& account) {
  if (status) return;
  base::log_error("the lock of a smarthost is not on disk; it ends with the process",
                  {{"smarthost", account.host}, {"reason", status.message()}});
}

}  // namespace

LoginLocks::LoginLocks(const Workplace& workplace) : workplace_(workplace) {
  if (workplace_.metrics != nullptr) {
    metric_ = &workplace_.metrics->gauge("relayd_smarthost_locked",
                                         "Smarthost accounts locked after failed logins");
  }
  const auto accounts = workplace_.accounts->snapshot();
  for (const auto& [account, lock] : workplace_.accounts->smarthost_locks()) {
    if (lock.locked()) locked_[account] = {key_of(*accounts, account), lock.locked_ms};
  }
  if (metric_ != nullptr) metric_->set(static_cast<std::int64_t>(locked_.size()));
}

LoginLocks::Answer LoginLocks::ask(const policy::SmarthostAccount& account) const {
  const auto lock = workplace_.accounts->smarthost_lock(account);
  if (!lock) return Answer::kGo;
  if (lock->closed(workplace_.clock->wall_ms())) return Answer::kLocked;
  return trials_.contains(account) ? Answer::kBusy : Answer::kGo;
}

bool LoginLocks::begin(const policy::SmarthostAccount& account) {
  if (!workplace_.accounts->smarthost_lock(account)) return false;
  return trials_.insert(account).second;
}

void LoginLocks::accepted(const policy::SmarthostAccount& account, const std::string& key) {
  report_unwritten(workplace_.accounts->keep_smarthost_lock(account, std::nullopt), account);
  if (!locked_.contains(account)) return;
  locked_[account].key = key;
  tell_unlocked(account, "the login succeeded");
}

void LoginLocks::rejected(const policy::SmarthostAccount& account, const std::string& key,
                          const smtp::Reply& reply) {
  const auto lock = policy::after_failure(
      workplace_.accounts->smarthost_lock(account).value_or(policy::SmarthostLock{}),
      workplace_.clock->wall_ms(), base::printable(reply.str(), 900));
  report_unwritten(workplace_.accounts->keep_smarthost_lock(account, lock), account);
  if (lock.locked()) tell_locked(account, key, lock);
}

void LoginLocks::accounts_changed() {
  const auto kept = workplace_.accounts->smarthost_locks();
  std::vector<policy::SmarthostAccount> gone;
  for (const auto& [account, locked] : locked_) {
    const auto at = kept.find(account);
    if (at == kept.end() || !at->second.locked()) gone.push_back(account);
  }
  for (const auto& account : gone) {
    tell_unlocked(account, "unlocked by the operator, or its password was changed");
  }
}

void LoginLocks::tell_locked(const policy::SmarthostAccount& account, const std::string& key,
                             const policy::SmarthostLock& lock) {
  const std::string next = base::format_rfc3339(lock.next_probe_ms());
  base::log_error("smarthost account locked", {{"smarthost", key},
                                               {"host", account.host},
                                               {"username", account.username},
                                               {"failures", lock.failures},
                                               {"reply", lock.reply},
                                               {"next_probe", next}});
  if (!locked_.emplace(account, Locked{key, lock.locked_ms}).second) return;  // a probe failed
  if (metric_ != nullptr) metric_->set(static_cast<std::int64_t>(locked_.size()));
  const std::string since = base::format_rfc3339(lock.locked_ms);
  const std::string what_to_do =
      "check user name and password of the account at " + account.host +
      " and set them anew, which unlocks it; or, once the account is mended there, `relayctl "
      "smarthost unlock " +
      key + "`";
  submit(account, key, "connector.locked",
         member("reason", lock.reply) + "," + member("since", since) + "," +
             member("next_probe", next) + R"(,"login_failures":)" + std::to_string(lock.failures) +
             "," + member("what_to_do", what_to_do),
         account.username + " cannot log in to " + account.host + ": " + lock.reply +
             "\nNext attempt: " + next + "\nMail for it waits. What to do: " + what_to_do);
}

void LoginLocks::tell_unlocked(const policy::SmarthostAccount& account, const std::string& why) {
  const auto at = locked_.find(account);
  const Locked locked = at->second;
  locked_.erase(at);
  if (metric_ != nullptr) metric_->set(static_cast<std::int64_t>(locked_.size()));
  base::log_info("smarthost account unlocked", {{"smarthost", locked.key},
                                                {"host", account.host},
                                                {"username", account.username},
                                                {"reason", why}});
  submit(account, locked.key, "connector.unlocked",
         member("reason", why) + "," + member("since", base::format_rfc3339(locked.since_ms)),
         account.username + " at " + account.host + " is unlocked: " + why);
}

void LoginLocks::submit(const policy::SmarthostAccount& account, const std::string& key,
                        const std::string& event, const std::string& details,
                        const std::string& text) {
  if (workplace_.accounts->snapshot()->tenant(account.tenant) == nullptr) return;  // nobody to tell
  Notice notice;
  notice.tenant = account.tenant;
  notice.domain = key.substr(key.find('@') == std::string::npos ? 0 : key.find('@') + 1);
  notice.event = event;
  notice.details = "{" + member("smarthost", key) + "," + member("host", account.host) + "," +
                   member("username", account.username) + "," + details + "}";
  notice.text = text;
  workplace_.store->submit(make_event(workplace_, *settings_, notice), [event](queue::Failure f) {
    if (f != queue::Failure::kNone) base::log_error("event not kept", {{"event", event}});
  });
}

std::string key_of(const policy::Accounts& accounts, const policy::SmarthostAccount& account) {
  const policy::Tenant* tenant = accounts.tenant(account.tenant);
  if (tenant == nullptr) return {};
  for (const auto& [domain_name, domain] : tenant->domains) {
    if (accounts.smarthost_account(domain_name) == account) return domain_name;
    for (const auto& [text, address] : domain.addresses) {
      if (accounts.smarthost_account(text) == account) return text;
    }
  }
  return {};
}

}  // namespace egress
