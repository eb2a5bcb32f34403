#pragma once
#include <benchmark/benchmark.h>

#include <vector>

#include "attend/tensor.h"
#include "bench/support/machine.h"
#include "bench/support/work.h"

namespace attend::bench {

// Seconds per call, one entry for each sample.
struct Samples {
  std::vector<double> seconds;
  double best() const;
  double median() const;
};

// Runs a benchmark's loop in samples of `calls` calls, so that a clock's own cost disappears.
template <class F>
Samples take_samples(benchmark::State& state, int64_t calls, int threads, F&& call) {
  Samples samples;
  while (state.KeepRunningBatch(calls)) {
    const double begin = clock_seconds(threads);
    for (int64_t n = 0; n < calls; ++n) call();
    samples.seconds.push_back((clock_seconds(threads) - begin) / static_cast<double>(calls));
  }
  return samples;
}

// How many calls make a sample of a tenth of a millisecond. Runs call().
template <class F>
int64_t calls_per_sample(F&& call) {
  for (int64_t calls = 1;; calls *= 2) {
    const double begin = wall_seconds();
    for (int64_t n = 0; n < calls; ++n) call();
    if (wall_seconds() - begin > 1e-4 || calls >= 4096) return calls;
  }
}

// best_us, median_us; for work: FLOP/s and bytes/s of the best sample and of the median, and shares
// of the machine's peak at the best. bench/README.md says what each means.
void count(benchmark::State& state, const Samples& samples);
void count(benchmark::State& state, const Samples& samples, const Work& work, DType dtype,
           int threads);
// Of calls that move bytes and multiply next to nothing.
void count_bytes(benchmark::State& state, const Samples& samples, double bytes, int threads);

}  // namespace attend::bench
