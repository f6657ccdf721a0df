#include "relayd/egress/lane.h"

#include <algorithm>

#include "core/base/log.h"
#include "relayd/egress/report.h"

namespace egress {
namespace {

// A second connection is worth its login only where the first has this much before it.
constexpr std::size_t kBacklogPerConnection = 20;
// How many records one failed connection rewrites; the others just wait in memory.
constexpr std::size_t kPutOffMax = 500;
constexpr std::int64_t kLookAgainMs = 60'000;
constexpr std::int64_t kWriteAgainMs = 5'000;
// After a further connection was refused while another one works.
constexpr std::int64_t kFurtherConnectionMs = 30'000;

}  // namespace

Lane::Lane(const Workplace& workplace, std::string key)
    : workplace_(workplace),
      key_(std::move(key)),
      timer_(*workplace.loop, [this] { kick(); }),
      write_timer_(*workplace.loop, [this] {
        for (queue::DeliveryUpdate& update : std::exchange(unwritten_, {})) {
          settle(std::move(update));
        }
      }) {}

Lane::~Lane() = default;

void Lane::use(std::shared_ptr<const Settings> settings) { settings_ = std::move(settings); }

void Lane::waiting(const Item& item, std::int64_t due_ms) {
  if (in_hand_.contains(item)) return;  // its outcome will say what becomes of it
  if (const auto known = due_of_.find(item); known != due_of_.end()) {
    if (due_ms <= workplace_.clock->wall_ms()) paused_until_ms_ = 0;
    by_due_.erase({known->second, item});
  }
  due_of_[item] = due_ms;
  by_due_.insert({due_ms, item});
}

std::size_t Lane::due_count(std::int64_t now_ms, std::size_t count_max) const {
  std::size_t n = 0;
  for (auto at = by_due_.begin(); at != by_due_.end() && at->first <= now_ms && n < count_max;
       ++at) {
    ++n;
  }
  return n;
}

void Lane::kick() {
  if (stopping_ || by_due_.empty() || !unwritten_.empty()) return;
  // What is sent could not be written down until the restart that a poisoned store needs.
  if (workplace_.store->health().failure == queue::Failure::kFailed) return;
  const std::int64_t wall_ms = workplace_.clock->wall_ms();
  const std::int64_t to_due_ms =
      std::max(by_due_.begin()->first, connections_.empty() ? paused_until_ms_ : 0) - wall_ms;
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
  const std::size_t open = connections_.size();
  if (open >= smarthost->connections) return;
  const std::size_t wanted = kBacklogPerConnection * open + 1;
  if (due_count(wall_ms, wanted) < wanted) return;
  const std::int64_t to_wait_ms = not_before_ms_ - workplace_.clock->steady_ms();
  if (to_wait_ms > 0) {
    timer_.start_ms(to_wait_ms);
    return;
  }
  connect(*smarthost);
}

void Lane::connect(const policy::Smarthost& smarthost) {
  tried_ = smarthost;
  auto password = smarthost.username.empty()
                      ? base::Result<std::string>(std::string())
                      : workplace_.accounts->smarthost_password(key_, smarthost);
  if (!password) {
    put_off(password.message());
    return;
  }
  auto raw = std::make_shared<SmtpDelivery*>(nullptr);
  SmtpDelivery::Hooks hooks;
  hooks.take = [this] { return take(); };
  hooks.put_back = [this](const Item& item) {
    in_hand_.erase(item);
    waiting(item, workplace_.clock->wall_ms());
  };
  hooks.let_go = [this](const Item& item) { in_hand_.erase(item); };
  hooks.settle = [this](queue::DeliveryUpdate update) { settle(std::move(update)); };
  hooks.ended = [this, raw](const std::string& refused) { ended(*raw, refused); };
  auto connection = std::make_unique<SmtpDelivery>(workplace_, settings_, key_, smarthost,
                                                   password.take(), std::move(hooks));
  *raw = connection.get();
  connections_.emplace(*raw, std::move(connection));
  (*raw)->start();
}

std::optional<Item> Lane::take() {
  if (by_due_.empty() || by_due_.begin()->first > workplace_.clock->wall_ms()) return std::nullopt;
  if (!unwritten_.empty() || workplace_.store->health().failure == queue::Failure::kFailed) {
    return std::nullopt;
  }
  const Item item = by_due_.begin()->second;
  by_due_.erase(by_due_.begin());
  due_of_.erase(item);
  in_hand_.insert(item);
  if (!by_due_.empty()) kick();  // perhaps there is work for another connection
  return item;
}

void Lane::settle(queue::DeliveryUpdate update) {
  in_hand_.insert({update.id, update.index});
  const std::int64_t later_ms = workplace_.clock->wall_ms() + settings_->retry_ms.front();
  const auto again = std::make_shared<queue::DeliveryUpdate>(without_report(update, later_ms));
  const std::weak_ptr<bool> alive = alive_;
  // What is to be tried again comes back through the store's on_waiting, behind this answer.
  workplace_.store->update(std::move(update),
                           [this, alive, again, loop = workplace_.loop](queue::Failure failure) {
                             loop->post([this, alive, again, failure] {
                               if (!alive.expired()) settled(std::move(*again), failure);
                             });
                           });
}

void Lane::settled(queue::DeliveryUpdate again, queue::Failure failure) {
  switch (failure) {
    case queue::Failure::kNone:
    case queue::Failure::kNotFound:  // removed by the operator
      in_hand_.erase({again.id, again.index});
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

void Lane::ended(SmtpDelivery* connection, const std::string& refused) {
  const auto at = connections_.find(connection);
  workplace_.loop->defer([gone = std::shared_ptr<SmtpDelivery>(std::move(at->second))] {});
  connections_.erase(at);
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  const std::int64_t interval_ms = smarthost == nullptr ? 0 : smarthost->reconnect_interval_ms;
  not_before_ms_ = workplace_.clock->steady_ms() + interval_ms;
  if (refused.empty()) {
    failures_ = 0;
    paused_until_ms_ = 0;
  } else if (connections_.empty()) {
    put_off(refused);
  } else {  // one too many: what is due goes over those that work
    not_before_ms_ = std::max(not_before_ms_, workplace_.clock->steady_ms() + kFurtherConnectionMs);
  }
  kick();
}

void Lane::accounts_changed() {
  const auto accounts = workplace_.accounts->snapshot();
  const policy::Smarthost* smarthost = accounts->smarthost_by_key(key_);
  std::vector<SmtpDelivery*> all;
  for (const auto& [raw, connection] : connections_) all.push_back(raw);
  for (SmtpDelivery* connection : all) {
    if (smarthost == nullptr || connection->smarthost() != *smarthost) connection->stop();
  }
  if (smarthost != nullptr && tried_ != *smarthost) {
    failures_ = 0;
    paused_until_ms_ = 0;
  }
  kick();
}

// Nothing can be sent now: the lane pauses, and what is due gets the reason where the operator
// looks.
void Lane::put_off(const std::string& why) {
  const std::int64_t now_ms = workplace_.clock->wall_ms();
  paused_until_ms_ =
      now_ms + retry_delay_ms(settings_->retry_ms, ++failures_, static_cast<std::uint64_t>(now_ms));
  std::vector<Item> items;
  for (const auto& [due_ms, item] : by_due_) {
    if (due_ms > now_ms || items.size() == kPutOffMax) break;
    items.push_back(item);
  }
  for (const Item& item : items) {
    by_due_.erase({due_of_[item], item});
    due_of_.erase(item);
    const auto message = workplace_.store->find(item.id);
    const auto delivery = workplace_.store->delivery(item.id, item.index);
    if (!message || !delivery || delivery->state != queue::State::kWaiting) continue;
    Judged judged = judge_no_attempt(*message, *delivery, why, key_, settings_->retry_ms, now_ms);
    judged.update.next_attempt_ms = paused_until_ms_;
    add_report(workplace_, *settings_, *message, {}, judged);
    settle(std::move(judged.update));
  }
  timer_.start_ms(kLookAgainMs);  // where nothing comes back through the store
}

void Lane::stop() {
  stopping_ = true;
  timer_.stop();
  std::vector<SmtpDelivery*> all;
  for (const auto& [raw, connection] : connections_) all.push_back(raw);
  for (SmtpDelivery* connection : all) connection->stop();
}

}  // namespace egress
