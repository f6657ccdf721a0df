#include "relayd/tickets/hand_off.h"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "core/base/log.h"
#include "relayd/tickets/attempt.h"
#include "relayd/tickets/schedule.h"
#include "relayd/tickets/ticket_id.h"

namespace tickets {
namespace {

// A back end that fails this often in a row, whatever the reason, is taken for being down.
constexpr std::uint32_t kFailuresBeforePause = 8;
// One connect to see whether a back end is there again is cheap: what waits for it should not wait
// for hours after it came back.
constexpr std::int64_t kDownPauseMax = 5 * base::kMinute;
// "At once", or a date of a clock that is behind ours, is no reason to ask as fast as may be.
constexpr std::int64_t kAskedMin = base::kSecond;
constexpr std::int64_t kNoRoomMs = base::kMinute;
constexpr std::int64_t kRoomAgainMs = base::kSecond;
// A back end that takes this long over a ticket is slow: see Schedule::set_slow.
constexpr std::int64_t kSlowMs = 5 * base::kSecond;
constexpr std::string_view kDestinationPrefix = "backend:";

// The tenant whose back end a destination is; "" for one that is none.
std::string tenant_of(const std::string& destination) {
  return destination.substr(std::min(destination.size(), kDestinationPrefix.size()));
}

certs::TlsContext trust_or_throw(const std::vector<std::string>& paths) {
  auto context = certs::make_client_context(paths);
  if (!context.ok()) throw std::runtime_error(context.message());
  return context.take();
}

// What must change for a paused endpoint to be worth another look.
std::string fingerprint(const policy::Tenant* tenant) {
  if (tenant == nullptr) return {};
  std::string out =
      tenant->backend.url + '\n' + std::to_string(static_cast<int>(tenant->backend.format));
  for (const std::string& secret : tenant->backend.sealed_webhook_secrets) out += '\n' + secret;
  return out;
}

}  // namespace

struct HandOff::State : std::enable_shared_from_this<State> {
  HandOffOptions options;
  CurlLoop curl;
  AttemptServices services;
  Schedule schedule;
  net::Timer wake, stop_timer;
  struct UnderWay {
    std::shared_ptr<Attempt> attempt;
    std::string destination;
    std::int64_t started_ms;  // steady
  };
  std::map<Key, UnderWay> attempts;
  net::Timer slow_watch;                            // looks for attempts under way that take long
  std::size_t settling = 0;                         // outcomes on their way to the disk
  std::map<std::string, std::string> fingerprints;  // of the paused endpoints
  // Steady; after an outcome that could not be written: see waits_for_room().
  std::int64_t not_before_ms = 0;
  std::int64_t write_again_ms = kRoomAgainMs;
  bool one_at_a_time = false;
  std::optional<std::int64_t> no_room_until_ms;
  Pauses board;
  bool pumping = false;
  bool stopping = false;
  std::function<void()> on_stopped;
  base::Metric &delivered, &retried, &held, &in_flight, &refused_gauge, &down_gauge;

  explicit State(HandOffOptions given)
      : options(std::move(given)),
        curl(*options.loop, static_cast<std::size_t>(options.limits->http_connections_total)),
        services{options.loop,
                 &curl,
                 options.resolver,
                 options.wall_clock != nullptr ? options.wall_clock : options.clock,
                 options.limits,
                 options.marker_headers,
                 trust_or_throw(options.trust_paths)},
        schedule(static_cast<std::size_t>(options.limits->http_connections),
                 static_cast<std::size_t>(options.limits->http_connections_total),
                 std::make_shared<queue::WindowShare>(options.limits->queue_window,
                                                      options.limits->queue_windows),
                 [store = options.store](const std::string& destination, const auto& after,
                                         std::size_t rows_max) {
                   return store->due(destination, after, rows_max);
                 }),
        wake(*options.loop, [this] { pump(); }),
        stop_timer(*options.loop, [this] { cut_off(); }),
        slow_watch(*options.loop, [this] { look_for_slow_ones(); }),
        delivered(options.metrics->counter("relayd_tickets_delivered_total",
                                           "Tickets that a back end took")),
        retried(options.metrics->counter("relayd_tickets_retried_total",
                                         "Attempts after which the ticket waits for another one")),
        held(options.metrics->counter("relayd_tickets_held_total",
                                      "Tickets parked for the operator")),
        in_flight(options.metrics->gauge("relayd_ticket_attempts_in_flight",
                                         "Attempts to hand over a ticket under way")),
        refused_gauge(options.metrics->gauge("relayd_backend_paused",
                                             "Back ends to which nothing is sent at the moment",
                                             "reason=\"refused\"")),
        down_gauge(options.metrics->gauge("relayd_backend_paused",
                                          "Back ends to which nothing is sent at the moment",
                                          "reason=\"unavailable\"")) {
    if (options.retry_ms.empty()) options.retry_ms = {base::kMinute};
  }

  [[nodiscard]] std::int64_t now() const { return options.clock->wall_ms(); }

  // `nth` counts from 0. A tenth more or less, so that what failed together does not come back
  // together.
  [[nodiscard]] std::int64_t back_off_ms(std::uint32_t nth) const {
    const std::int64_t wait =
        options.retry_ms[std::min<std::size_t>(nth, options.retry_ms.size() - 1)];
    const std::string random = base::random_bytes(2);
    const int r =
        static_cast<unsigned char>(random[0]) << 8 | static_cast<unsigned char>(random[1]);
    return wait + wait * (r - 32768) / 327680;
  }

  void pump() {
    if (pumping || stopping) return;
    // What is handed over could not be written down until the restart that a poisoned store needs.
    if (options.store->health().failure == queue::Failure::kFailed) return;
    if (waits_for_room()) return wake.start_ms(kRoomAgainMs);
    if (one_at_a_time && (!attempts.empty() || settling > 0)) return;
    pumping = true;
    while (const auto next = schedule.next(now())) {
      begin(next->destination, next->key);
      if (one_at_a_time) break;
    }
    pumping = false;
    const auto when = schedule.wake_ms();
    if (when) {
      // An hour at most at once: the wall clock may be set meanwhile.
      wake.start_ms(std::clamp<std::int64_t>(*when - now(), 0, base::kHour));
    } else {
      wake.stop();
    }
  }

  // An outcome found no room on the disk: what would be handed over now would be so again and
  // again. After a while it is tried all the same, for it may be the removal that makes room.
  [[nodiscard]] bool waits_for_room() {
    if (options.clock->steady_ms() < not_before_ms) return true;
    if (!no_room_until_ms) return false;
    if (options.store->health().failure == queue::Failure::kFull &&
        options.clock->steady_ms() < *no_room_until_ms) {
      return true;
    }
    no_room_until_ms.reset();
    return false;
  }

  void gone(const std::string& destination, const Key& key) {
    schedule.finished(destination, key);
    // With its last ticket an endpoint's pause is forgotten.
    if (!fingerprints.contains(destination) || schedule.pauses(destination) > 0) return;
    fingerprints.erase(destination);
    board.erase(tenant_of(destination));
    count_paused();
  }

  // A slot that is held for long is a slow back end's before the answer is there.
  void look_for_slow_ones() {
    const std::int64_t steady_ms = options.clock->steady_ms();
    for (const auto& [key, one] : attempts) {
      if (steady_ms - one.started_ms >= kSlowMs) schedule.set_slow(one.destination, true);
    }
    if (!attempts.empty()) slow_watch.start_ms(base::kSecond);
    pump();
  }

  // Everything an attempt needs, read afresh: the operator may have changed any of it.
  void begin(const std::string& destination, const Key& key) {
    const auto delivery = options.store->delivery(key.id, key.index);
    if (!delivery || delivery->state != queue::State::kWaiting) return gone(destination, key);
    const auto message = options.store->find(key.id);
    if (!message) return gone(destination, key);

    const policy::AccountsSnapshot accounts = options.accounts->snapshot();
    const std::string name = tenant_of(destination);
    const policy::Tenant* tenant =
        destination.starts_with(kDestinationPrefix) ? accounts->tenant(name) : nullptr;
    if (tenant == nullptr) {
      return hold(destination, key, *delivery,
                  "there is no tenant \"" + name +
                      "\" any more: add it again and "
                      "release this message, or remove it");
    }
    const auto broken = [&](Outcome outcome, const std::string& why) {
      settle(destination, key, *delivery, *message, outcome, Answer{0, {}, {}, why, true});
    };
    auto endpoint = Endpoint::parse(tenant->backend.url);
    if (!endpoint.ok()) return broken(Outcome::kRefused, endpoint.message());
    auto secrets = options.accounts->webhook_secrets(*tenant);
    if (!secrets.ok()) return broken(Outcome::kRefused, secrets.message());
    auto content = options.store->open_content(*message);
    if (!content.ok())
      return broken(Outcome::kRetry, "the stored message cannot be read: " + content.message());

    AttemptJob job{
        *message,        content.take(), tenant->backend.format,
        endpoint.take(), secrets.take(), "msg_" + key.id.str() + "_" + std::to_string(key.index)};
    auto attempt = std::make_shared<Attempt>(
        services, std::move(job),
        [this, destination, key, delivery, message](const Answer& answer) {
          // Out of the map, but alive until this call is over.
          const UnderWay keep = std::move(attempts[key]);
          attempts.erase(key);
          schedule.set_slow(destination, options.clock->steady_ms() - keep.started_ms >= kSlowMs);
          in_flight.set(static_cast<std::int64_t>(attempts.size()));
          const Outcome outcome = classify(answer);
          if (outcome == Outcome::kDelivered) note_automated(key, keep.attempt->automated());
          settle(destination, key, *delivery, *message, outcome, answer);
          pump();
          finish_stop();
        });
    attempts[key] = {attempt, destination, options.clock->steady_ms()};
    if (!slow_watch.running()) slow_watch.start_ms(base::kSecond);
    in_flight.set(static_cast<std::int64_t>(attempts.size()));
    attempt->start();
  }

  void note_automated(const Key& key, const std::string& reason) {
    if (reason.empty()) return;
    // The reason up to its own words: they are a stranger's, and would be labels without end.
    const std::string kind = reason.substr(0, reason.find(':'));
    options.metrics
        ->counter("relayd_tickets_automated_total", "Tickets flagged as written by a machine",
                  "reason=\"" + kind + "\"")
        .add();
    base::log_info("ticket is automated", {{"id", key.id.str()}, {"reason", reason}});
  }

  // What one answer means for the ticket and for its endpoint, then to the disk.
  void settle(const std::string& destination, const Key& key, const queue::Delivery& delivery,
              const queue::Message& message, Outcome outcome, const Answer& answer) {
    const std::string reply = last_reply(answer);
    switch (outcome) {
      case Outcome::kDelivered:
        delivered.add();
        works(destination);
        base::log_info("ticket delivered", {{"id", key.id.str()},
                                            {"destination", destination},
                                            {"attempts", delivery.attempts + 1},
                                            {"reply", reply}});
        write(destination, key, done(delivery, answer, reply));
        return;
      case Outcome::kHeld:
        works(destination);
        return hold(destination, key, delivery, reply);
      case Outcome::kRefused:
      case Outcome::kDown:
      case Outcome::kLater:
      case Outcome::kRetry:
        break;
    }
    if (message.expiry_ms != 0 && now() >= message.expiry_ms) {
      pause_for(destination, key, outcome, answer, reply);
      return hold(destination, key, delivery,
                  "expired, held for the operator; last reply: " + reply);
    }
    std::int64_t due_ms = pause_for(destination, key, outcome, answer, reply);
    if (due_ms == 0 || outcome == Outcome::kRetry) {
      due_ms = std::max(due_ms, now() + back_off_ms(delivery.attempts));
    }
    if (outcome == Outcome::kLater) due_ms = asked_until(delivery, answer);
    retried.add();
    base::log_info("ticket waits", {{"id", key.id.str()},
                                    {"destination", destination},
                                    {"attempts", delivery.attempts + 1},
                                    {"next_attempt", base::format_rfc3339(due_ms)},
                                    {"reply", reply}});
    queue::DeliveryUpdate update = changed(delivery, reply);
    update.next_attempt_ms = due_ms;
    write(destination, key, std::move(update));
  }

  [[nodiscard]] std::int64_t asked_until(const queue::Delivery& delivery,
                                         const Answer& answer) const {
    const auto wait = retry_after_ms(answer.retry_after, now());
    return now() + (wait ? std::max(*wait, kAskedMin) : back_off_ms(delivery.attempts));
  }

  // The end of the pause that this failure means for the endpoint; 0 for none.
  std::int64_t pause_for(const std::string& destination, const Key& key, Outcome outcome,
                         const Answer& answer, const std::string& reply) {
    const std::uint32_t failures = schedule.count_failure(destination);
    const std::uint32_t pauses = schedule.pauses(destination);
    Pause why = Pause::kDown;
    std::int64_t until = now() + std::min(back_off_ms(pauses), kDownPauseMax);
    if (outcome == Outcome::kRefused) {
      why = Pause::kRefused;
      until = now() + back_off_ms(pauses);
    }
    if (outcome == Outcome::kLater) {
      why = Pause::kAsked;
      const auto wait = retry_after_ms(answer.retry_after, now());
      if (wait) until = now() + std::max(*wait, kAskedMin);
    }
    // One ticket alone may be what the back end cannot digest; a probe speaks for all.
    const bool alone = outcome == Outcome::kRetry && failures < kFailuresBeforePause && pauses == 0;
    if (alone || !schedule.pause(destination, why, until, key)) return 0;
    note_pause(destination, why, pauses == 0, until, reply);
    return until;
  }

  void note_pause(const std::string& destination, Pause why, bool first, std::int64_t until,
                  const std::string& reply) {
    const auto accounts = options.accounts->snapshot();
    const std::string tenant = tenant_of(destination);
    fingerprints[destination] = fingerprint(accounts->tenant(tenant));
    board.put(tenant, {why == Pause::kRefused, now(), until, reply});
    count_paused();
    if (!first) return;
    const std::string until_text = base::format_rfc3339(until);
    if (why == Pause::kRefused) {
      base::log_error("back end refuses tickets",
                      {{"destination", destination},
                       {"reply", reply},
                       {"next_attempt", until_text},
                       {"advice",
                        "look at its URL and its webhook secret; the tickets wait; when "
                        "it is mended: relayctl backend resume " +
                            tenant}});
    } else {
      base::log_warning(
          "back end paused",
          {{"destination", destination}, {"reply", reply}, {"next_attempt", until_text}});
    }
  }

  void works(const std::string& destination) {
    if (!schedule.works(destination)) return;
    fingerprints.erase(destination);
    board.erase(tenant_of(destination));
    count_paused();
    base::log_info("back end works again", {{"destination", destination}});
  }

  void count_paused() {
    std::int64_t refused = 0, unavailable = 0;
    for (const auto& one : schedule.paused())
      ++(one.why == Pause::kRefused ? refused : unavailable);
    refused_gauge.set(refused);
    down_gauge.set(unavailable);
  }

  static queue::DeliveryUpdate changed(const queue::Delivery& delivery, const std::string& reply) {
    queue::DeliveryUpdate update;
    update.id = delivery.id;
    update.index = delivery.index;
    update.attempts = delivery.attempts + 1;
    update.last_reply = reply;
    return update;
  }

  static queue::DeliveryUpdate done(const queue::Delivery& delivery, const Answer& answer,
                                    const std::string& reply) {
    queue::DeliveryUpdate update = changed(delivery, reply);
    update.finished = true;
    update.note.remote_id = ticket_id(answer.ticket_id, answer.body_start);
    for (queue::RecipientStatus recipient : delivery.recipients) {
      recipient.state = queue::RecipientState::kDelivered;
      recipient.last_reply = reply;
      update.recipients.push_back(std::move(recipient));
    }
    return update;
  }

  void hold(const std::string& destination, const Key& key, const queue::Delivery& delivery,
            const std::string& reason) {
    held.add();
    base::log_error("ticket held",
                    {{"id", key.id.str()}, {"destination", destination}, {"reply", reason}});
    queue::DeliveryUpdate update = changed(delivery, reason);
    update.state = queue::State::kHeld;
    write(destination, key, std::move(update));
  }

  void write(const std::string& destination, const Key& key, queue::DeliveryUpdate update) {
    schedule.slot_free(destination, key);
    ++settling;
    const bool waits = !update.finished && update.state == queue::State::kWaiting;
    const std::int64_t due_ms = update.next_attempt_ms;
    if (waits) schedule.put_off(destination, due_ms);
    options.store->update(std::move(update),
                          [loop = options.loop, weak = weak_from_this(), destination, key, waits,
                           due_ms](queue::Failure failure) {
                            loop->post([weak, destination, key, waits, due_ms, failure] {
                              if (const auto self = weak.lock())
                                self->written(destination, key, waits, due_ms, failure);
                            });
                          });
  }

  void written(const std::string& destination, const Key& key, bool waits, std::int64_t due_ms,
               queue::Failure failure) {
    --settling;
    if (failure == queue::Failure::kNone) {
      one_at_a_time = false;
      write_again_ms = kRoomAgainMs;
    }
    if (failure == queue::Failure::kNone && waits) {
      schedule.again(destination, key, due_ms);
    } else if (failure == queue::Failure::kNone || failure == queue::Failure::kNotFound) {
      gone(destination, key);
    } else {
      // Better to deliver twice than to lose: the queue still has it as it was before. But while
      // outcomes cannot be written only one ticket is tried at a time, and ever more seldom.
      base::log_error("outcome of a ticket not written",
                      {{"id", key.id.str()}, {"destination", destination}});
      schedule.as_before(destination, key);
      one_at_a_time = true;
      const std::int64_t now_ms = options.clock->steady_ms();
      if (now_ms >= not_before_ms) {  // those that were under way together count once
        not_before_ms = now_ms + write_again_ms;
        write_again_ms = std::min(2 * write_again_ms, kNoRoomMs);
      }
      no_room_until_ms = now_ms + kNoRoomMs;
    }
    pump();
    finish_stop();
  }

  // A back end that does not answer must not hold up the stop: its ticket stays in the queue.
  void cut_off() {
    if (!attempts.empty()) {
      base::log_warning("attempts to hand over tickets cut off", {{"attempts", attempts.size()}});
    }
    attempts.clear();
    finish_stop();
  }

  void finish_stop() {
    if (!stopping || !attempts.empty() || settling > 0 || !on_stopped) return;
    options.loop->post(std::exchange(on_stopped, nullptr));
  }
};

HandOff::HandOff(HandOffOptions options) : state_(std::make_shared<State>(std::move(options))) {}

HandOff::~HandOff() {
  state_->stopping = true;
  state_->attempts.clear();
}

void HandOff::open(const std::string& destination) {
  state_->schedule.open(destination);
  state_->pump();
}

void HandOff::waiting(const queue::Store::Waiting& waiting) {
  state_->schedule.add(waiting.destination, Key{waiting.id, waiting.index}, waiting.due_ms,
                       waiting.ordered);
  state_->pump();
}

void HandOff::accounts_changed() {
  const auto accounts = state_->options.accounts->snapshot();
  for (auto& [destination, was] : state_->fingerprints) {
    const std::string is = fingerprint(accounts->tenant(tenant_of(destination)));
    if (is == was) continue;
    was = is;
    state_->schedule.probe_now(destination);
  }
  state_->pump();
}

bool HandOff::resume(const std::string& tenant) {
  const std::string destination = std::string(kDestinationPrefix) + tenant;
  if (!state_->fingerprints.contains(destination)) return false;
  base::log_info("back end resumed by hand", {{"destination", destination}});
  state_->schedule.probe_now(destination);
  state_->pump();
  return true;
}

queue::Hindrance HandOff::why(const std::string& destination, const base::Id& id,
                              std::uint32_t index) const {
  using queue::Wait;
  const Schedule& schedule = state_->schedule;
  if (schedule.is_in_hand(destination, {id, index})) return {Wait::kInHand, {}, {}, 0, 0};
  const auto paused = state_->board.all();
  if (const auto at = paused.find(tenant_of(destination)); at != paused.end()) {
    const PausedBackend& pause = at->second;
    return {pause.refused ? Wait::kRefused : Wait::kUnavailable, at->first, pause.reply,
            pause.since_ms, pause.next_probe_ms};
  }
  if (schedule.is_busy(destination)) {
    return {Wait::kConnections, std::to_string(state_->options.limits->http_connections), {}, 0, 0};
  }
  return {};
}

std::map<std::string, PausedBackend> HandOff::paused() const { return state_->board.all(); }

void HandOff::stop(std::function<void()> on_done) {
  state_->stopping = true;
  state_->on_stopped = std::move(on_done);
  state_->wake.stop();
  state_->stop_timer.start_ms(state_->options.limits->stop_timeout);
  state_->finish_stop();
}

}  // namespace tickets
