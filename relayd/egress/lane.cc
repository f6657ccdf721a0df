#include "relayd/egress/lane.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/log.h"
#include "relayd/egress/notices.h"
#include "relayd/egress/report.h"

namespace egress {
namespace {

// A second connection is worth its login only where the first has this much before it.
constexpr std::size_t kBacklogPerConnection = 20;
// How many records one failed connection rewrites; the others just wait in memory.
constexpr std::size_t kTellMax = 500;
constexpr std::size_t kTellLeast = 16;
constexpr std::size_t kTellingMax = 2000;  // of all lanes, beside the least of each
constexpr std::int64_t kLookAgainMs = 60'000;
constexpr std::int64_t kReadAgainMs = 5'000;
constexpr std::int64_t kWriteAgainMs = 5'000;
// After a further connection was refused while another one works.
constexpr std::int64_t kFurtherConnectionMs = 30'000;
constexpr std::int64_t kAnotherTriesMs = 1'000;
// After the first of several hosts failed, the one that works is used for so long.
constexpr std::int64_t kFirstHostAgainMs = 600'000;

const std::string& host_of(const policy::Smarthost& smarthost, std::size_t number) {
  return number == 0 ? smarthost.host : smarthost.more_hosts[number - 1];
}

}  // namespace

Lane::Lane(const Workplace& workplace, LoginLocks& locks, LaneShares& shares, std::string key)
    : workplace_(workplace),
      locks_(locks),
      shares_(shares),
      key_(std::move(key)),
      window_(shares.window,
              [store = workplace.store, destination = std::string(kDestinationPrefix) + key_](
                  const auto& after, std::size_t rows_max) {
                return store->due(destination, after, rows_max);
              }),
      timer_(*workplace.loop, [this] { kick(); }),
      write_timer_(*workplace.loop, [this] { write_again(); }) {
  recall_lock();
}

Lane::~Lane() = default;

// What an earlier process has put off for the lock is known by its due time.
void Lane::recall_lock() {
  tell_left_ = kTellMax;
  const auto account = workplace_.accounts->snapshot()->smarthost_account(key_);
  const auto lock = account ? workplace_.accounts->smarthost_lock(*account) : std::nullopt;
  doubtful_ = lock.has_value();
  if (lock && lock->locked()) window_.put_off(lock->next_probe_ms());
}

void Lane::use(std::shared_ptr<const Settings> settings) { settings_ = std::move(settings); }

void Lane::waiting(const Item& item, std::int64_t due_ms, bool ordered) {
  if (ordered && !window_.is_in_hand(item)) paused_until_ms_ = 0;
  window_.told(item, due_ms, ordered);
}

void Lane::kick() {
  if (stopping_ || !unwritten_.empty()) return;
  // What is sent could not be written down until the restart that a poisoned store needs.
  if (workplace_.store->health().failure == queue::Failure::kFailed) return;
  const auto next_due_ms = window_.next_due_ms();
  if (!next_due_ms) {
    if (!window_.complete()) timer_.start_ms(kReadAgainMs);  // the queue cannot be read
    return;
  }
  const std::int64_t wall_ms = workplace_.clock->wall_ms();
  const std::int64_t to_due_ms =
      std::max(*next_due_ms, connections_.empty() ? paused_until_ms_ : 0) - wall_ms;
  if (to_due_ms > 0) {
    timer_.start_ms(std::min(to_due_ms, kLookAgainMs));  // the wall clock may step
    return;
  }
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  if (smarthost == nullptr) {
    tried_.reset();
    put_off("no smarthost is set for " + key_ + " any more; set one, or remove the message");
    return;
  }
  if (wake_one()) return;
  const Obstacle held = obstacle(*smarthost, *accounts->smarthost_account(key_));
  if (held.for_ms > 0) {
    timer_.start_ms(std::min(held.for_ms, kLookAgainMs));
    if (connections_.empty() && !held.why.empty())
      tell(held.why, wall_ms + held.for_ms, false, held.may_expire);
    return;
  }
  const std::size_t open = connections_.size();
  if (open >= cap_.allowed(smarthost->connections, workplace_.clock->steady_ms())) return;
  const std::size_t wanted = kBacklogPerConnection * open + 1;
  if (window_.due_count(wall_ms, wanted) < wanted) return;
  // Whether it answers at all is found out by one connection.
  if (open > 0 && std::none_of(connections_.begin(), connections_.end(),
                               [](const auto& one) { return one.first->logged_in(); })) {
    return;
  }
  const std::int64_t to_wait_ms = not_before_ms_ - workplace_.clock->steady_ms();
  if (to_wait_ms > 0) {
    timer_.start_ms(to_wait_ms);
    return;
  }
  const Turns::Kind kind = open > 0        ? Turns::Kind::kFurther
                           : failures_ > 0 ? Turns::Kind::kDoubtful
                                           : Turns::Kind::kFirst;
  if (!shares_.turns.begin(kind, accounts->smarthost_account(key_)->tenant, key_)) {
    return shares_.turns_change();  // the scheduler kicks when it is our turn
  }
  connect(*smarthost, kind);
}

Lane::Obstacle Lane::obstacle(const policy::Smarthost& smarthost,
                              const policy::SmarthostAccount& account) {
  if (!smarthost.username.empty()) {
    switch (locks_.ask(account)) {
      case LoginLocks::Answer::kGo:
        break;
      case LoginLocks::Answer::kBusy:
        return {kAnotherTriesMs, "", false};
      case LoginLocks::Answer::kLocked: {
        doubtful_ = true;  // perhaps by another lane's logins: the end of the lock is the end here
        const auto lock = workplace_.accounts->smarthost_lock(account);
        if (!lock) break;  // unlocked this very moment
        return {std::max<std::int64_t>(lock->next_probe_ms() - workplace_.clock->wall_ms(), 1),
                "the account " + account.username + " at " + account.host +
                    " is locked after failed logins (" + lock->reply + "); next probe " +
                    base::format_rfc3339(lock->next_probe_ms()),
                false};
      }
    }
  }
  const Rates::Wait wait = rates_.wait(smarthost, workplace_.clock->steady_ms());
  if (wait.for_ms == 0) return {};
  return {wait.for_ms,
          "waits for the rate of " + wait.rate + " until " +
              base::format_rfc3339(workplace_.clock->wall_ms() + wait.for_ms),
          true};
}

void Lane::connect(const policy::Smarthost& smarthost, Turns::Kind kind) {
  if (!tried_ || tried_->host != smarthost.host || tried_->more_hosts != smarthost.more_hosts ||
      workplace_.clock->steady_ms() >= first_again_ms_) {
    host_ = 0;
  }
  tried_ = smarthost;
  auto password = smarthost.username.empty()
                      ? base::Result<std::string>(std::string())
                      : workplace_.accounts->smarthost_password(key_, smarthost);
  if (!password) {
    give_turn_back(kind);
    put_off(password.message());
    return;
  }
  auto raw = std::make_shared<SmtpDelivery*>(nullptr);
  SmtpDelivery::Hooks hooks;
  hooks.take = [this] { return take(); };
  hooks.may_rest = [this] { return may_rest(); };
  hooks.rests = [this, raw](bool rests) {
    rests ? void(shares_.resting.insert(*raw)) : void(shares_.resting.erase(*raw));
  };
  hooks.put_back = [this](const Item& item) { window_.put_back(item); };
  hooks.let_go = [this](const Item& item) { window_.let_go(item); };
  hooks.settle = [this](queue::DeliveryUpdate update) { settle(std::move(update)); };
  const policy::SmarthostAccount account =
      workplace_.accounts->snapshot()->smarthost_account(key_).value_or(policy::SmarthostAccount{});
  hooks.logged_in = [this, account] {
    doubtful_ = false;
    locks_.accepted(account, key_);
  };
  hooks.sending = [this](std::size_t recipients) {
    rates_.recipients(recipients, workplace_.clock->steady_ms());
  };
  hooks.too_many_connections = [this](const smtp::Reply& reply) { too_many_connections(reply); };
  hooks.ended = [this, raw](const Ending& ending) { ended(*raw, ending); };
  auto connection =
      std::make_unique<SmtpDelivery>(workplace_, settings_, key_, smarthost,
                                     host_of(smarthost, host_), password.take(), std::move(hooks));
  *raw = connection.get();
  const bool is_trial = !smarthost.username.empty() && locks_.begin(account);
  connections_.emplace(*raw, Connection{std::move(connection), account, is_trial, kind});
  (*raw)->start();
}

void Lane::give_turn_back(Turns::Kind kind) {
  shares_.turns.end(kind);
  shares_.turns_change();
}

bool Lane::may_send() {
  if (!unwritten_.empty() || workplace_.store->health().failure == queue::Failure::kFailed) {
    return false;
  }
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  return smarthost != nullptr && rates_.wait(*smarthost, workplace_.clock->steady_ms()).for_ms == 0;
}

bool Lane::may_rest() {
  return may_send() && !shares_.turns.somebody_waits() &&
         connections_.size() <= cap_.allowed(tried_->connections, workplace_.clock->steady_ms());
}

std::optional<Item> Lane::take() {
  if (!may_send()) return std::nullopt;
  const std::int64_t wall_ms = workplace_.clock->wall_ms();
  auto item = window_.take(wall_ms);
  if (!item && failures_ > 0) {
    it_works();
    item = window_.take(wall_ms);
  }
  if (!item) return std::nullopt;
  rates_.message(workplace_.clock->steady_ms());
  kick();  // perhaps there is work for another connection
  return item;
}

// True: a connection that rested looks for what is due.
bool Lane::wake_one() {
  const auto at = std::find_if(connections_.begin(), connections_.end(),
                               [](const auto& one) { return one.first->resting(); });
  if (at == connections_.end()) return false;
  at->first->wake();
  return true;
}

// What was put off for a smarthost that did not is due now.
void Lane::it_works() {
  if (failures_ > 0) window_.release(workplace_.clock->wall_ms());
  failures_ = 0;
  paused_until_ms_ = 0;
}

void Lane::write_again() {
  for (queue::DeliveryUpdate& update : std::exchange(unwritten_, {})) settle(std::move(update));
}

void Lane::settle(queue::DeliveryUpdate update, bool is_told) {
  ++settling_;
  const std::int64_t later_ms = workplace_.clock->wall_ms() + settings_->retry_ms.front();
  const auto again = std::make_shared<queue::DeliveryUpdate>(without_report(update, later_ms));
  const std::weak_ptr<bool> alive = alive_;
  // What is to be tried again comes back through the store's on_waiting, behind this answer.
  workplace_.store->update(std::move(update), [this, alive, again, loop = workplace_.loop, is_told,
                                               telling = shares_.telling](queue::Failure failure) {
    loop->post([this, alive, again, failure, is_told, telling] {
      if (is_told) --*telling;
      if (!alive.expired()) settled(std::move(*again), failure);
    });
  });
}

void Lane::settled(queue::DeliveryUpdate again, queue::Failure failure) {
  --settling_;
  switch (failure) {
    case queue::Failure::kNone:
    case queue::Failure::kNotFound:  // removed by the operator
      window_.let_go({again.id, again.index});
      kick();
      return;
    case queue::Failure::kBusy:
    case queue::Failure::kFull:
      base::log_warning("outcome not written down; will try again", {{"id", again.id.str()}});
      unwritten_.push_back(std::move(again));
      if (!write_timer_.running()) write_timer_.start_ms(kWriteAgainMs);
      return;
    case queue::Failure::kFailed:  // the old record stands: better twice than never
      base::log_error("outcome not written down; it may be sent again after a restart",
                      {{"id", again.id.str()}});
      return;
  }
}

void Lane::ended(SmtpDelivery* connection, const Ending& ending) {
  const auto at = connections_.find(connection);
  Connection gone = std::move(at->second);
  connections_.erase(at);
  workplace_.loop->defer([kept = std::shared_ptr<SmtpDelivery>(std::move(gone.delivery))] {});
  if (gone.is_trial) locks_.end_trial(gone.account);
  give_turn_back(gone.kind);
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  const std::int64_t interval_ms = smarthost == nullptr ? 0 : smarthost->reconnect_interval_ms;
  not_before_ms_ = workplace_.clock->steady_ms() + interval_ms;
  tell_left_ = kTellMax;
  switch (ending.why) {
    case Ending::Why::kOfUse:
      it_works();
      break;
    case Ending::Why::kLoginRejected:
      // Of a password that has been changed meanwhile it says nothing.
      if (smarthost != nullptr && tried_ == *smarthost) {
        locks_.rejected(gone.account, key_, ending.reply);
      }
      if (connections_.empty()) login_rejected(gone.account, ending.text);
      break;
    case Ending::Why::kLoginWanted:
      if (connections_.empty()) put_off(ending.text);
      break;
    case Ending::Why::kHost:
      if (connections_.empty() && !try_another_host(smarthost)) {
        put_off(ending.text);
      }
      break;
  }
  // One too many: what is due goes over those that work.
  if (ending.why != Ending::Why::kOfUse && !connections_.empty()) {
    not_before_ms_ = std::max(not_before_ms_, workplace_.clock->steady_ms() + kFurtherConnectionMs);
  }
  kick();
}

// The account's lock says when it goes on, or while it is not locked the usual back-off.
void Lane::login_rejected(const policy::SmarthostAccount& account, const std::string& why) {
  doubtful_ = true;
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  if (smarthost == nullptr || locks_.ask(account) != LoginLocks::Answer::kLocked) {
    return put_off(why, false);
  }
  const Obstacle held = obstacle(*smarthost, account);
  paused_until_ms_ = 0;
  tell(held.why, workplace_.clock->wall_ms() + held.for_ms, true, false);
}

// What was put off by a reason that is gone is due now.
void Lane::release() {
  failures_ = 0;
  paused_until_ms_ = 0;
  doubtful_ = false;
  tell_left_ = kTellMax;
  window_.release(workplace_.clock->wall_ms());
}

// The next host of the list, at once: it is another server. After the last one the lane pauses, and
// begins with the first again.
bool Lane::try_another_host(const policy::Smarthost* smarthost) {
  if (smarthost == nullptr || stopping_ || tried_ != *smarthost) return false;
  if (host_ >= smarthost->more_hosts.size()) {
    host_ = 0;
    return false;
  }
  if (++host_ == 1) first_again_ms_ = workplace_.clock->steady_ms() + kFirstHostAgainMs;
  base::log_info("the next host of the smarthost is tried",
                 {{"smarthost", key_}, {"host", host_of(*smarthost, host_)}});
  not_before_ms_ = 0;
  return true;
}

void Lane::too_many_connections(const smtp::Reply& reply) {
  const std::size_t working = static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [](const auto& one) { return one.first->logged_in(); }));
  // Of those that are logged in one is probably what was complained of.
  const std::size_t bearable = connections_.size() == working ? working - 1 : working;
  cap_.lower(static_cast<unsigned>(bearable), workplace_.clock->steady_ms());
  base::log_warning("fewer connections to the smarthost for a while, as it asked",
                    {{"smarthost", key_},
                     {"connections", std::max<std::size_t>(bearable, 1)},
                     {"reply", reply.str()}});
}

void Lane::accounts_changed() {
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  std::vector<SmtpDelivery*> all;
  for (const auto& [raw, connection] : connections_) all.push_back(raw);
  for (SmtpDelivery* connection : all) {
    if (smarthost == nullptr || connection->smarthost() != *smarthost) connection->stop();
  }
  const auto account = accounts->smarthost_account(key_);
  const bool mended = doubtful_ && account && !workplace_.accounts->smarthost_lock(*account);
  if (mended || (smarthost != nullptr && tried_ != *smarthost)) release();
  kick();
}

// Nothing can be sent now: the lane pauses, and what is due gets the reason where the operator
// looks for it.
void Lane::put_off(const std::string& why, bool may_expire) {
  const std::int64_t now_ms = workplace_.clock->wall_ms();
  trouble_ = why;
  if (failures_ == 0) trouble_since_ms_ = now_ms;
  // Those that failed together do not come back together.
  const std::uint64_t spread = std::hash<std::string>{}(key_) + static_cast<std::uint64_t>(now_ms);
  paused_until_ms_ = now_ms + retry_delay_ms(settings_->retry_ms, ++failures_, spread);
  tell_left_ = kTellMax;
  tell(why, paused_until_ms_, true, may_expire);
  timer_.start_ms(kLookAgainMs);  // where nothing comes back through the store
}

// Writes the reason to what is due, as far as tell_left_ goes: a long queue is not rewritten. What
// was never attempted keeps its attempts; what must not be given up now is not.
void Lane::tell(const std::string& why, std::int64_t until_ms, bool attempted, bool may_expire) {
  const std::int64_t now_ms = workplace_.clock->wall_ms();
  // When hundreds of smarthosts fail together, each says a little less: their messages go without
  // saying, and the others' outcomes do not stand in line behind all that writing.
  const std::size_t room = kTellingMax - std::min(*shares_.telling, kTellingMax);
  std::size_t most = std::max(std::min(kTellMax, room / 2), kTellLeast);
  for (; tell_left_ > 0 && most > 0; --tell_left_, --most) {
    const auto taken = window_.take(now_ms);
    if (!taken) return;
    const Item item = *taken;
    window_.put_off(until_ms);
    const auto found = workplace_.store->find(item.id);
    const auto delivery = workplace_.store->delivery(item.id, item.index);
    if (!found || !delivery || delivery->state != queue::State::kWaiting) {
      window_.let_go(item);
      continue;
    }
    queue::Message message = *found;
    if (!may_expire || !attempted) message.expiry_ms = std::numeric_limits<std::int64_t>::max();
    Judged judged = judge_no_attempt(message, *delivery, why, key_, settings_->retry_ms, now_ms);
    message.expiry_ms = found->expiry_ms;
    if (!attempted) judged.update.attempts = delivery->attempts;
    judged.update.next_attempt_ms = until_ms;
    add_report(workplace_, *settings_, message, {}, judged);
    add_notices(workplace_, *settings_, message, *delivery, {}, {}, judged);
    ++*shares_.telling;
    settle(std::move(judged.update), true);
  }
}

void Lane::stop() {
  stopping_ = true;
  timer_.stop();
  std::vector<SmtpDelivery*> all;
  for (const auto& [raw, connection] : connections_) all.push_back(raw);
  for (SmtpDelivery* connection : all) connection->stop();
  // The last chance of what had no room: otherwise it would be sent again after the next start.
  write_again();
}

}  // namespace egress
