#include "relayd/egress/scheduler.h"

#include "core/base/log.h"

namespace egress {
namespace {

constexpr std::int64_t kStopCheckMs = 20;

}  // namespace

Scheduler::Scheduler(Workplace workplace, std::shared_ptr<const Settings> settings)
    : workplace_(workplace),
      settings_(std::move(settings)),
      locks_(workplace_),
      shares_{std::make_shared<queue::WindowShare>(settings_->limits.queue_window,
                                                   settings_->limits.queue_windows),
              Turns(static_cast<std::size_t>(settings_->limits.smarthost_connections_total)),
              [this] { turn_timer_.start_ms(0); },
              {}},
      turn_timer_(*workplace_.loop, [this] { give_turns(); }),
      stop_timer_(*workplace_.loop, [this] { check_stopped(); }) {
  locks_.use(settings_);
}

Scheduler::~Scheduler() = default;

void Scheduler::use(std::shared_ptr<const Settings> settings) {
  settings_ = std::move(settings);
  locks_.use(settings_);
  for (auto& [key, lane] : lanes_) lane->use(settings_);
}

Lane& Scheduler::lane(std::string_view destination) {
  const std::string_view key = destination.substr(kDestinationPrefix.size());
  auto at = lanes_.find(key);
  if (at == lanes_.end()) {
    auto lane = std::make_unique<Lane>(workplace_, locks_, shares_, std::string(key));
    lane->use(settings_);
    at = lanes_.emplace(key, std::move(lane)).first;
  }
  return *at->second;
}

void Scheduler::open(const std::string& destination) { lane(destination).kick(); }

void Scheduler::waiting(const queue::Store::Waiting& waiting) {
  if (stop_by_ms_ != 0) return;  // it stays in the queue
  Lane& of = lane(waiting.destination);
  of.waiting({waiting.id, waiting.index}, waiting.due_ms, waiting.ordered);
  of.kick();
}

// Who stands in line asks again; who has nothing to send any more lets the next one have it.
// While somebody waits nobody rests.
void Scheduler::give_turns() {
  while (shares_.turns.somebody_waits() && !shares_.resting.empty()) {
    (*shares_.resting.begin())->stop();
  }
  while (const auto key = shares_.turns.next()) {
    if (const auto at = lanes_.find(*key); at != lanes_.end()) at->second->kick();
  }
}

queue::Hindrance Scheduler::why(std::string_view destination, const Item& item) {
  const auto at = lanes_.find(destination.substr(kDestinationPrefix.size()));
  return at == lanes_.end() ? queue::Hindrance{} : at->second->why(item);
}

void Scheduler::accounts_changed() {
  locks_.accounts_changed();
  for (auto& [key, lane] : lanes_) lane->accounts_changed();
}

void Scheduler::stop(std::function<void()> on_done) {
  on_stopped_ = std::move(on_done);
  stop_by_ms_ = workplace_.clock->steady_ms() + settings_->limits.stop_timeout;
  for (auto& [key, lane] : lanes_) lane->stop();
  check_stopped();
}

void Scheduler::check_stopped() {
  bool idle = true;
  for (const auto& [key, lane] : lanes_) idle = idle && lane->idle();
  if (!idle && workplace_.clock->steady_ms() < stop_by_ms_) {
    stop_timer_.start_ms(kStopCheckMs);
    return;
  }
  if (!idle) base::log_warning("connections to smarthosts cut off");
  if (on_stopped_) std::exchange(on_stopped_, nullptr)();
}

}  // namespace egress
