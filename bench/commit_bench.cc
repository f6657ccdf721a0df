// The commit path: messages a second with as many in flight as sessions would have, fsync included.
// And two long ones: a backlog (RELAYD_BENCH_BACKLOG messages, 10,000 by default) and churn
// (RELAYD_BENCH_CHURN). `backlog` and `churn` are their filters.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "allocations.h"
#include "scratch_store.h"

namespace {

// Of this process so far; what a message costs whatever else the machine does.
double cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) {
    return 1e6 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

double written_octets() {
  std::ifstream io("/proc/self/io");
  std::string name;
  double value = 0;
  while (io >> name >> value) {
    if (name == "wchar:") return value;
  }
  return 0;
}

void commit(benchmark::State& state) {
  char directory[] = "/tmp/relayd-bench-XXXXXX";
  if (mkdtemp(directory) == nullptr) {
    state.SkipWithError("no temporary directory");
    return;
  }
  {
    base::SystemClock clock;
    base::Limits limits;
    base::Metrics metrics;
    base::IdGenerator ids(clock);
    queue::StoreOptions options;
    options.directory = std::string(directory) + "/queue";
    options.limits = &limits;
    options.clock = &clock;
    options.metrics = &metrics;
    if (state.range(2) == 0) options.trail_keep_ms = 0;
    const auto store = queue::Store::open(std::move(options)).take();
    const std::string body(static_cast<std::size_t>(state.range(1)), 'x');
    std::counting_semaphore<4096> room(state.range(0));
    std::atomic<int> failed{0};
    std::int64_t number = 0;
    const std::int64_t allocations_before = bench::allocations();
    const double cpu_before = cpu_us();
    const double written_before = written_octets();
    for (auto _ : state) {
      room.acquire();
      queue::NewMessage message;
      message.message.id = ids.next();
      message.message.tenant = "acme";
      message.message.envelope.mail_from = "c" + std::to_string(number++) + "@customer.example";
      message.message.envelope.recipients.push_back({"support@acme.example", "", ""});
      message.note.message_id = "<" + message.message.id.str() + "@customer.example>";
      message.note.text = "accepted";
      message.content = store->begin_content();
      (void)message.content->append(body);
      message.deliveries.emplace_back().destination = "backend:acme";
      message.deliveries.back().recipients.push_back({});
      store->submit(std::move(message), [&](queue::Failure failure) {
        if (failure != queue::Failure::kNone) ++failed;
        room.release();
      });
    }
    for (std::int64_t i = 0; i < state.range(0); ++i) room.acquire();
    if (failed != 0) state.SkipWithError("a commit failed");
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
    const auto messages = static_cast<double>(state.iterations());
    state.counters["cpu_us"] = (cpu_us() - cpu_before) / messages;
    state.counters["allocations"] =
        static_cast<double>(bench::allocations() - allocations_before) / messages;
    state.counters["written"] = (written_octets() - written_before) / messages;
  }
  std::filesystem::remove_all(directory);
}
BENCHMARK(commit)
    ->Name("queue/commit")
    ->ArgNames({"in_flight", "octets", "trail"})
    ->Args({1, 4096, 1})
    ->Args({10, 4096, 1})
    ->Args({256, 4096, 1})
    ->Args({256, 4096, 0})
    ->Args({10, 65536, 1})
    ->Args({10, 1 << 20, 1})
    ->UseRealTime();

using Clock = std::chrono::steady_clock;

double milliseconds_of(const std::function<void()>& what) {
  const auto start = Clock::now();
  what();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::int64_t asked_for(const char* variable, std::int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoll(text);
}

// A queue that a dead smarthost has filled: what a start and each question cost.
void backlog(benchmark::State& state) {
  const std::int64_t messages = asked_for("RELAYD_BENCH_BACKLOG", 10'000);
  for (auto _ : state) {
    bench::ScratchStore scratch;
    std::counting_semaphore<4096> room(2000);
    for (std::int64_t i = 0; i < messages; ++i) {
      room.acquire();
      scratch.store->submit(scratch.message(i, 200), [&](queue::Failure) { room.release(); });
    }
    for (int i = 0; i < 2000; ++i) room.acquire();
    scratch.store.reset();
    const auto time = [&](const char* name, const std::function<void()>& what) {
      state.counters[name] = milliseconds_of(what);
    };
    time("start_ms", [&] { scratch.open(); });
    const queue::Store& store = *scratch.store;
    time("list_ms", [&] { benchmark::DoNotOptimize(store.list({})); });
    queue::Filter filter;
    filter.destination = "smarthost:d7";
    time("list_destination_ms", [&] { benchmark::DoNotOptimize(store.list(filter)); });
    filter = {};
    filter.tenant = "tenant7";
    time("list_tenant_ms", [&] { benchmark::DoNotOptimize(store.list(filter)); });
    filter = {};
    filter.recipient = "c77@customer.example";
    time("list_recipient_ms", [&] { benchmark::DoNotOptimize(store.list(filter)); });
    filter.recipient.clear();
    filter.state = queue::State::kHeld;
    time("list_held_ms", [&] { benchmark::DoNotOptimize(store.list(filter)); });
    // What `relayctl trail` and `explain` ask of the store: one that a term finds, a hundred of the
    // many that one finds, nobody; and the last of a destination's queue.
    const std::string last = "c" + std::to_string(messages - 1) + "@customer.example";
    std::vector<base::Id> found;
    time("trail_recipient_ms", [&] { found = store.find_by_term(last, 101); });
    time("trail_first_ms",
         [&] { benchmark::DoNotOptimize(store.find_by_term("c0@customer.example", 101)); });
    time("trail_sender_ms", [&] {
      for (const base::Id& id : store.find_by_term("support@d.example", 101)) {
        benchmark::DoNotOptimize(store.trail(id));
      }
    });
    time("trail_nobody_ms",
         [&] { benchmark::DoNotOptimize(store.find_by_term("nobody@customer.example", 101)); });
    if (found.size() != 1 || store.trail(found.front()).size() != 1) {
      state.SkipWithError("the trail does not find the last message");
      return;
    }
    time("explain_ms", [&] {
      const auto delivery = store.delivery(found.front(), 0);
      benchmark::DoNotOptimize(store.count_before(*delivery, 100'000));
      benchmark::DoNotOptimize(store.trail(found.front()));
    });
    time("due_ms",
         [&] { benchmark::DoNotOptimize(store.due("smarthost:d0.example", std::nullopt, 1000)); });
    time("fsck_ms", [&] { benchmark::DoNotOptimize(store.check(nullptr)); });
    state.counters["messages"] = static_cast<double>(messages);
    state.counters["peak_rss_mb"] = peak_rss_mb();
  }
}
BENCHMARK(backlog)->Name("queue/backlog")->Iterations(1)->Unit(benchmark::kMillisecond);

// A queue that is never empty: how much disk it takes while one message in 500 stays, and how long
// the slowest answers take while survivors are copied forward. Argument: do any stay?
void churn(benchmark::State& state) {
  const std::int64_t messages = asked_for("RELAYD_BENCH_CHURN", 20'000);
  constexpr std::size_t kOctets = 1000;
  for (auto _ : state) {
    bench::ScratchStore scratch;
    scratch.limits.segment_size = 8 * base::kMiB;
    scratch.open();
    std::deque<base::Id> window;
    std::vector<double> waits;
    waits.reserve(static_cast<std::size_t>(messages));
    std::counting_semaphore<4096> room(100);
    double most_mb = 0;
    std::int64_t stayed = 0;
    const auto begin = Clock::now();
    for (std::int64_t i = 0; i < messages; ++i) {
      queue::NewMessage message = scratch.message(i, kOctets);
      if (state.range(0) != 0 && i % 500 == 0) {
        ++stayed;
      } else {
        window.push_back(message.message.id);
      }
      room.acquire();
      // Answers come one after the other, from the committer's thread.
      scratch.store->submit(std::move(message), [&, start = Clock::now()](queue::Failure) {
        waits.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
        room.release();
      });
      if (window.size() > 500) {
        queue::DeliveryUpdate update;
        update.id = window.front();
        update.finished = true;
        window.pop_front();
        room.acquire();
        scratch.store->update(std::move(update), [&](queue::Failure) { room.release(); });
      }
      if (i % 1000 == 0) most_mb = std::max(most_mb, scratch.segments_mb());
    }
    for (int i = 0; i < 100; ++i) room.acquire();
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::sort(waits.begin(), waits.end());
    const auto at = [&](double share) {
      return waits[static_cast<std::size_t>(share * static_cast<double>(waits.size() - 1))];
    };
    state.counters["per_s"] = static_cast<double>(messages) / took.count();
    state.counters["p50_ms"] = at(0.5);
    state.counters["p99_ms"] = at(0.99);
    state.counters["p999_ms"] = at(0.999);
    state.counters["max_ms"] = at(1);
    state.counters["most_mb"] = most_mb;
    state.counters["through_mb"] = static_cast<double>(messages) * kOctets / 1e6;
    state.counters["alive_mb"] = static_cast<double>(stayed + 500) * kOctets / 1e6;
  }
}
BENCHMARK(churn)->Name("queue/churn")->Arg(0)->Arg(1)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
