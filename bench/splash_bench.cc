// Every available row of splash on native x the bench cases that it takes: causal, a window of a
// quarter of all pairs, a block mask of a quarter of its blocks.
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"

int main(int argc, char** argv) {
  attend::bench::register_operator(attend::OpId::kSplash);
  return attend::bench::run(argc, argv);
}
