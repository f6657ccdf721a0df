#include "core/net/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

namespace net {

struct Loop::State {
  event_base* base = nullptr;
  int wake_fd = -1;
  event* wake = nullptr;  // another thread has posted; edge-triggered, so it is never read
  event again{};          // this thread has
  std::atomic<std::thread::id> thread{};

  std::mutex mutex;
  std::vector<std::function<void()>> tasks;  // under mutex
  bool woken = false;                        // under mutex: run_tasks() will come

  std::unordered_map<void*, std::shared_ptr<void>> kept;

  static void on_wake(evutil_socket_t, short, void* self) {
    static_cast<State*>(self)->run_tasks();
  }

  // Only what is there now: a task that posts another must not keep sockets from being looked at.
  void run_tasks() {
    std::vector<std::function<void()>> batch;
    {
      const std::lock_guard lock(mutex);
      batch.swap(tasks);
    }
    for (auto& task : batch) {
      task();
      task = nullptr;  // what it holds goes before the next one runs
    }
    const std::lock_guard lock(mutex);
    woken = !tasks.empty();
    if (woken) run_again();
  }

  // After the sockets have had their turn; this thread only.
  void run_again() {
    const timeval at_once{};
    event_add(&again, &at_once);
  }

  void drop_everything() {
    // Destructors of what the tasks hold may post again.
    for (;;) {
      std::vector<std::function<void()>> batch;
      {
        const std::lock_guard lock(mutex);
        batch.swap(tasks);
      }
      auto objects = std::exchange(kept, {});
      if (batch.empty() && objects.empty()) return;
    }
  }
};

namespace {

// libevent ends the process where it finds no descriptor for its own pipe, so it is asked only when
// there are some: epoll, a pair for signals, and one to spare.
bool descriptors_left(int like) {
  int taken[4];
  int count = 0;
  for (; count < 4; ++count) {
    taken[count] = ::dup(like);
    if (taken[count] < 0) break;
  }
  for (int i = 0; i < count; ++i) ::close(taken[i]);
  return count == 4;
}

}  // namespace

Loop::Loop() : state_(std::make_unique<State>()) {
  state_->wake_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  event_config* config = nullptr;
  if (state_->wake_fd >= 0 && descriptors_left(state_->wake_fd)) config = event_config_new();
  if (config != nullptr) {
    // Silently worse than epoll is worse than an error.
    event_config_avoid_method(config, "poll");
    event_config_avoid_method(config, "select");
    // One thread, one base: libevent's own locks would only cost.
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    state_->base = event_base_new_with_config(config);
    event_config_free(config);
  }
  if (state_->base != nullptr) {
    state_->wake = event_new(state_->base, state_->wake_fd, EV_READ | EV_ET | EV_PERSIST,
                             State::on_wake, state_.get());
    evtimer_assign(&state_->again, state_->base, State::on_wake, state_.get());
  }
  if (state_->wake == nullptr || event_add(state_->wake, nullptr) != 0) {
    if (state_->wake != nullptr) event_free(state_->wake);
    if (state_->base != nullptr) event_base_free(state_->base);
    if (state_->wake_fd >= 0) ::close(state_->wake_fd);
    throw std::runtime_error(
        "cannot make an event loop (epoll or eventfd): is the limit of open files reached?");
  }
}

Loop::~Loop() {
  state_->drop_everything();
  event_free(state_->wake);
  event_del(&state_->again);
  event_base_free(state_->base);
  ::close(state_->wake_fd);
}

void Loop::run() {
  state_->thread.store(std::this_thread::get_id(), std::memory_order_relaxed);
  event_base_dispatch(state_->base);
}

void Loop::stop() {
  // A task, so that it comes after all that was posted before it, also where run() has yet to
  // begin.
  post([base = state_->base] { event_base_loopbreak(base); });
}

void Loop::post(std::function<void()> task) {
  bool wake = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->tasks.push_back(std::move(task));
    wake = !std::exchange(state_->woken, true);
  }
  if (!wake) return;
  if (in_loop_thread()) return state_->run_again();
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(state_->wake_fd, &one, sizeof one);
}

std::size_t Loop::posted() const {
  const std::lock_guard lock(state_->mutex);
  return state_->tasks.size();
}

void Loop::keep(std::shared_ptr<void> object) {
  void* key = object.get();
  state_->kept[key] = std::move(object);
}

void Loop::release(void* object) { state_->kept.erase(object); }

bool Loop::in_loop_thread() const {
  return state_->thread.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

event_base* Loop::base() const { return state_->base; }

// Both kinds of event below hold their callback shared: it stays whole while it runs, also when it
// destroys the object that it was called from.
struct Timer::State {
  event_base* base;
  event timer{};
  std::shared_ptr<std::function<void()>> on_fire;

  static void fire(evutil_socket_t, short, void* self) {
    const auto callback = static_cast<State*>(self)->on_fire;
    (*callback)();
  }
};

Timer::Timer(Loop& loop, std::function<void()> on_fire) : state_(std::make_unique<State>()) {
  state_->base = loop.base();
  state_->on_fire = std::make_shared<std::function<void()>>(std::move(on_fire));
  evtimer_assign(&state_->timer, loop.base(), State::fire, state_.get());
}

Timer::~Timer() { event_del(&state_->timer); }

void Timer::start_ms(std::int64_t delay_ms) {
  if (delay_ms < 0) delay_ms = 0;
  // libevent counts from when the loop woke up: without this a timer started after long work in the
  // same turn would fire too early.
  event_base_update_cache_time(state_->base);
  timeval delay{};
  delay.tv_sec = static_cast<time_t>(delay_ms / 1000);
  delay.tv_usec = static_cast<suseconds_t>(delay_ms % 1000 * 1000);
  event_add(&state_->timer, &delay);
}

void Timer::stop() { event_del(&state_->timer); }

bool Timer::running() const { return event_pending(&state_->timer, EV_TIMEOUT, nullptr) != 0; }

struct FdWatch::State {
  event_base* base;
  int fd;
  event watch{};
  short wanted = 0;
  std::shared_ptr<std::function<void(bool, bool)>> on_ready;

  static void ready(evutil_socket_t, short what, void* self) {
    const auto callback = static_cast<State*>(self)->on_ready;
    (*callback)((what & EV_READ) != 0, (what & EV_WRITE) != 0);
  }
};

FdWatch::FdWatch(Loop& loop, int fd, std::function<void(bool, bool)> on_ready)
    : state_(std::make_unique<State>()) {
  state_->base = loop.base();
  state_->fd = fd;
  state_->on_ready = std::make_shared<std::function<void(bool, bool)>>(std::move(on_ready));
}

FdWatch::~FdWatch() { want(false, false); }

void FdWatch::want(bool read, bool write) {
  const auto wanted = static_cast<short>((read ? EV_READ : 0) | (write ? EV_WRITE : 0));
  if (wanted == state_->wanted) return;
  if (state_->wanted != 0) event_del(&state_->watch);
  state_->wanted = wanted;
  if (wanted == 0) return;
  event_assign(&state_->watch, state_->base, state_->fd, static_cast<short>(wanted | EV_PERSIST),
               State::ready, state_.get());
  event_add(&state_->watch, nullptr);
}

}  // namespace net
