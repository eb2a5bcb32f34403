// Every available row of sdpa on native x the bench cases that it takes: the vendor's kernel beside
// flash's tiles. oneDNN never waits here in threads of its own (backends/native/sdpa_onednn.cc), so
// that OMP_WAIT_POLICY does not matter.
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"

int main(int argc, char** argv) {
  attend::bench::register_operator(attend::OpId::kSdpa);
  return attend::bench::run(argc, argv);
}
