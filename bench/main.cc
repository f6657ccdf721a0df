// bench_relayd: every operation as a benchmark, beside those that are benchmarks of their own.
#include <benchmark/benchmark.h>

#include "allocations.h"
#include "operation.h"

namespace {

void measure(benchmark::State& state, const bench::Operation& operation) {
  const bench::Run run = operation.make();
  run();
  const std::int64_t before = bench::allocations();
  for (auto _ : state) run();
  const std::int64_t allocations = bench::allocations() - before;
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(allocations), benchmark::Counter::kAvgIterations);
  state.SetItemsProcessed(state.iterations() * operation.items);
  if (operation.octets != 0) state.SetBytesProcessed(state.iterations() * operation.octets);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const bench::Operation& operation : bench::all_operations()) {
    benchmark::RegisterBenchmark(operation.name.c_str(), [operation](benchmark::State& state) {
      measure(state, operation);
    });
  }
  benchmark::RunSpecifiedBenchmarks();
}
