#pragma once
#include <benchmark/benchmark.h>

#include <string>

#include "attend/parallel.h"

namespace attend::bench {

// Ends a benchmark with words in place of a time, and makes run() return 1.
void fail(benchmark::State& state, const std::string& why);

// Registers run(state, name, threads) for one thread and for all: <call>/threads:<n>.
template <class F>
void add_at_threads(const std::string& call, const F& run) {
  const int all = num_threads();
  for (int threads : {1, all}) {
    const std::string name = call + "/threads:" + std::to_string(threads);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      run(state, name, threads);
    })->Unit(benchmark::kMicrosecond);
    if (all == 1) break;
  }
}

// The body of main, once a process: runs what the words of the command line choose. 0 if something
// ran and nothing failed.
int run(int argc, char** argv);

}  // namespace attend::bench
