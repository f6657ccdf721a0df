// An event loop: one libevent event_base, one thread, the timers and deferred calls of the objects
// that belong to it. libevent_core only; no bufferevent (docs/decisions).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

struct event_base;

namespace net {

class Loop {
 public:
  Loop();   // throws std::runtime_error where the system gives no epoll or eventfd
  ~Loop();  // after run() has returned
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(); the calling thread is the loop's from then on.
  void run();
  // Any thread. run() returns after the call in hand; what was posted before stop() still runs.
  void stop();
  // Any thread: `task` runs on the loop's thread, in order of posting. One eventfd write of another
  // thread wakes a sleeping loop, however many tasks are posted until it has run them.
  void post(std::function<void()> task);
  // Loop's thread (or before run()): `task` runs when the events in hand are done.
  void defer(std::function<void()> task) { post(std::move(task)); }
  // Any thread: tasks that wait, for a metric. Their number is bounded by whoever posts them.
  [[nodiscard]] std::size_t posted() const;
  // Loop's thread: holds an object that nobody else owns (a connection that is closing) until it is
  // released or the loop ends.
  void keep(std::shared_ptr<void> object);
  void release(void* object);
  [[nodiscard]] bool in_loop_thread() const;  // false before run()
  [[nodiscard]] event_base* base() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A one-shot timer of a loop. Loop's thread only. Destroying it cancels it; the callback may
// destroy the timer. The clock behind it is coarse: it may fire up to 10 ms early or late, so a
// callback that looks at a deadline must bear being too early.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> on_fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void start_ms(std::int64_t delay_ms);  // restarts a running one
  void stop();
  [[nodiscard]] bool running() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Readiness of a foreign fd (libcurl's, LMDB's, a signal fd). Loop's thread only.
class FdWatch {
 public:
  FdWatch(Loop& loop, int fd, std::function<void(bool readable, bool writable)> on_ready);
  ~FdWatch();
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  void want(bool read, bool write);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace net
