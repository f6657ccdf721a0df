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

}  // namespace

Lane::Lane(const Workplace& workplace, std::string key)
    : workplace_(workplace), key_(std::move(key)), timer_(*workplace.loop, [this] { kick(); }) {}

Lane::~Lane() = default;

void Lane::use(std::shared_ptr<const Settings> settings) { settings_ = std::move(settings); }

void Lane::waiting(const Item& item, std::int64_t due_ms) {
  if (in_hand_.contains(item)) return;  // its outcome will say what becomes of it
  if (const auto known = due_of_.find(item); known != due_of_.end()) {
    const std::int64_t now_ms = workplace_.clock->wall_ms();
    if (known->second > now_ms && due_ms <= now_ms) paused_until_ms_ = 0;
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
  if (stopping_ || by_due_.empty()) return;
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
  const Item item = by_due_.begin()->second;
  by_due_.erase(by_due_.begin());
  due_of_.erase(item);
  in_hand_.insert(item);
  if (!by_due_.empty()) kick();  // perhaps there is work for another connection
  return item;
}

void Lane::settle(queue::DeliveryUpdate update) {
  const Item item{update.id, update.index};
  in_hand_.erase(item);
  const std::weak_ptr<bool> alive = alive_;
  net::Loop* loop = workplace_.loop;
  // What is to be tried again comes back through the store's on_waiting, after the commit. Where
  // the commit fails the old record stands and the message is sent again after a restart: better
  // twice than never.
  workplace_.store->update(std::move(update), [alive, loop, item](queue::Failure failure) {
    if (failure == queue::Failure::kNone || failure == queue::Failure::kNotFound) return;
    loop->post([alive, item] {
      if (alive.expired()) return;
      base::log_error("outcome not written down; it may be sent again", {{"id", item.id.str()}});
    });
  });
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
  } else {
    put_off(refused);
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
    if (due_ms > now_ms) break;
    items.push_back(item);
  }
  for (std::size_t i = 0; i < std::min(items.size(), kPutOffMax); ++i) {
    by_due_.erase({due_of_[items[i]], items[i]});
    due_of_.erase(items[i]);
    const auto message = workplace_.store->find(items[i].id);
    const auto delivery = workplace_.store->delivery(items[i].id, items[i].index);
    if (!message || !delivery || delivery->state != queue::State::kWaiting) continue;
    Judged judged = judge_no_attempt(*message, *delivery, why, key_, settings_->retry_ms, now_ms);
    judged.update.next_attempt_ms = paused_until_ms_;
    add_report(workplace_, *settings_, *message, {}, judged);
    settle(std::move(judged.update));
  }
}

void Lane::stop() {
  stopping_ = true;
  timer_.stop();
  for (auto& [raw, connection] : connections_) raw->stop();
}

}  // namespace egress
