// The automatic lock (product rule O3) over all lanes: which accounts may log in now, and who is
// told when one is locked or unlocked. The state is kept by the account store. Loop's thread only;
// owned by the scheduler.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/smtp/reply.h"
#include "relayd/egress/settings.h"

namespace egress {

class LoginLocks {
 public:
  explicit LoginLocks(const Workplace& workplace);
  void use(std::shared_ptr<const Settings> settings) { settings_ = std::move(settings); }

  enum class Answer {
    kGo,
    kBusy,    // another connection is trying this doubtful account; ask again
    kLocked,  // not before the lock's next_probe_ms()
  };
  [[nodiscard]] Answer ask(const policy::SmarthostAccount& account) const;
  // A connection begins; true where it is the one trial of a doubtful account, to be handed to
  // end_trial() when it has ended.
  bool begin(const policy::SmarthostAccount& account);
  void end_trial(const policy::SmarthostAccount& account) { trials_.erase(account); }

  // What the server said to the login. `key` names the smarthost.
  void accepted(const policy::SmarthostAccount& account, const std::string& key);
  void rejected(const policy::SmarthostAccount& account, const std::string& key,
                const smtp::Reply& reply);
  // Locks may have gone: the operator's word, or another password.
  void accounts_changed();

 private:
  void tell_locked(const policy::SmarthostAccount& account, const std::string& key,
                   const policy::SmarthostLock& lock);
  void tell_unlocked(const policy::SmarthostAccount& account, const std::string& why);
  void submit(const policy::SmarthostAccount& account, const std::string& key,
              const std::string& event, const std::string& details, const std::string& text);

  struct Locked {
    std::string key;
    std::int64_t since_ms;
  };
  const Workplace& workplace_;
  std::shared_ptr<const Settings> settings_;
  std::set<policy::SmarthostAccount> trials_;
  std::map<policy::SmarthostAccount, Locked> locked_;  // those whose lock was told
  base::Metric* metric_ = nullptr;
};

// Any smarthost of the tenant that logs in with the account; "" where none does any more.
std::string key_of(const policy::Accounts& accounts, const policy::SmarthostAccount& account);

}  // namespace egress
