// Every available row of vanilla on native x the bench cases that it takes.
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"

int main(int argc, char** argv) {
  attend::bench::register_operator(attend::OpId::kVanilla);
  return attend::bench::run(argc, argv);
}
