// Prints what this machine can do, one line of JSON for each number of threads: 1 and all.
#include <iostream>
#include <nlohmann/json.hpp>

#include "attend/parallel.h"
#include "bench/support/machine.h"
#include "bench/support/peak.h"

int main() {
  using namespace attend;
  for (int threads = 1;; threads = num_threads()) {
    const bench::Peak p = bench::measure_peak(threads);
    std::cout << nlohmann::json{{"cpu", bench::cpu_model()},
                                {"threads", p.threads},
                                {"isa", p.isa},
                                {"f32_fma_gflops", p.f32_fma / 1e9},
                                {"bf16_dot_gflops", p.bf16_dot / 1e9},
                                {"bf16_peak_gflops", p.flops(DType::kBF16) / 1e9},
                                {"read_gbytes", p.read / 1e9},
                                {"read_buffer_mib", bench::bytes_beyond_cache() >> 20},
                                {"last_level_cache_mib", bench::last_level_cache_bytes() >> 20}}
              << std::endl;
    if (threads == num_threads()) return 0;
  }
}
