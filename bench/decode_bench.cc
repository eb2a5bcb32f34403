// Every available row of decode on native x the bench cases that it takes, K and V coming from
// memory: caches of the queries' type, fp8 and int8.
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"

int main(int argc, char** argv) {
  attend::bench::register_operator(attend::OpId::kDecode);
  return attend::bench::run(argc, argv);
}
