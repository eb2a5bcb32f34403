#include "bench/support/bench_main.h"

#include <cstdio>

#include "attend/registry.h"
#include "bench/support/machine.h"

namespace attend::bench {
namespace {

int g_failures = 0;

}  // namespace

void fail(benchmark::State& state, const std::string& why) {
  ++g_failures;
  state.SkipWithError(why.substr(0, why.find_last_not_of('\n') + 1).c_str());
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("cpu", cpu_model());
  benchmark::AddCustomContext("native_isa", native_isa());
  for (const Backend& b : Registry::global().backends())
    if (b.table != nullptr && b.device_count > 0)
      benchmark::AddCustomContext(b.name, b.table->device_name(0));
  const size_t ran = benchmark::RunSpecifiedBenchmarks();
  if (g_failures > 0) std::fprintf(stderr, "%d benchmarks failed\n", g_failures);
  return ran == 0 || g_failures > 0 ? 1 : 0;
}

}  // namespace attend::bench
