// The commit path: messages a second with as many in flight as sessions would have, fsync included.
#include <benchmark/benchmark.h>

#include <atomic>
#include <filesystem>
#include <semaphore>
#include <string>

#include "queue/store.h"

namespace {

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
    const auto store = queue::Store::open(std::move(options)).take();
    const std::string body(static_cast<std::size_t>(state.range(1)), 'x');
    std::counting_semaphore<4096> room(state.range(0));
    std::atomic<int> failed{0};
    for (auto _ : state) {
      room.acquire();
      queue::NewMessage message;
      message.message.id = ids.next();
      message.message.tenant = "acme";
      message.message.envelope.recipients.push_back({"support@acme.example", "", ""});
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
  }
  std::filesystem::remove_all(directory);
}
// In flight, octets.
BENCHMARK(commit)
    ->Args({1, 4096})
    ->Args({10, 4096})
    ->Args({256, 4096})
    ->Args({10, 65536})
    ->UseRealTime();

}  // namespace
