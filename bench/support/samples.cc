#include "bench/support/samples.h"

#include <algorithm>
#include <cmath>

#include "bench/support/peak.h"

namespace attend::bench {

double Samples::best() const {
  return seconds.empty() ? NAN : *std::min_element(seconds.begin(), seconds.end());
}

double Samples::median() const {
  if (seconds.empty()) return NAN;
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

void count(benchmark::State& state, const Samples& samples) {
  state.counters["best_us"] = samples.best() * 1e6;
  state.counters["median_us"] = samples.median() * 1e6;
}

void count(benchmark::State& state, const Samples& samples, const Work& work, DType dtype,
           int threads) {
  count(state, samples);
  const Peak& machine = peak(threads);
  state.counters["FLOP/s"] = work.flop / samples.best();
  state.counters["FLOP/s_median"] = work.flop / samples.median();
  state.counters["of_fma_peak"] = work.flop / samples.best() / machine.flops(dtype);
  count_bytes(state, samples, work.bytes, threads);
}

void count_bytes(benchmark::State& state, const Samples& samples, double bytes, int threads) {
  state.counters["bytes/s"] = bytes / samples.best();
  state.counters["bytes/s_median"] = bytes / samples.median();
  state.counters["of_read_peak"] = bytes / samples.best() / peak(threads).read;
}

}  // namespace attend::bench
