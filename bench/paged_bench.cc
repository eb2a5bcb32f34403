// Every available row of paged on native x the bench cases that it takes: one row a request, chunks
// of a prompt and blocks of diffusion on pages of 16, caches of the queries' type, fp8 and int8.
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"

int main(int argc, char** argv) {
  attend::bench::register_operator(attend::OpId::kPaged);
  return attend::bench::run(argc, argv);
}
