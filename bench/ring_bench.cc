// Every available row of ring on native x the bench cases that it takes, in one process; and the
// prefill cases on 2, 4 and 8 ranks of this machine, one thread each: what the exchange, the cut
// and the joins cost beside the same work in one process.
#include <memory>
#include <string>
#include <thread>

#include "attend/parallel.h"
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"
#include "bench/support/samples.h"
#include "tests/ring/ranks.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::bench {
namespace {

using testing::AttentionCase;
using testing::Placing;

// Empty, or what is wrong.
std::string run_once(testing::Ranks& ranks) {
  for (const testing::RankResult& r : ranks.run())
    if (r.code != ErrorCode::kOk) return r.what;
  return "";
}

void run_ranks(benchmark::State& state, const AttentionCase& c, const Placing& placing) {
  set_num_threads(1);  // a rank is a thread
  testing::CaseTensors t = testing::make_tensors(c, testing::Fill::kPlain);
  testing::Ranks ranks(t.args, t.params, placing);
  std::string fault = run_once(ranks);
  if (fault.empty()) fault = ranks.gather();
  if (!fault.empty()) return fail(state, fault);
  const auto verdicts = testing::judge(t.args, t.params, {64});
  if (!all_ok(verdicts)) return fail(state, to_string(verdicts));
  const Samples samples =
      take_samples(state, 1, placing.ranks, [&] { static_cast<void>(run_once(ranks)); });
  count(state, samples, work_of(t.args, t.params), c.dtype, placing.ranks);
}

void register_ranks() {
  for (const AttentionCase& c : testing::cases(testing::Tier::kBench)) {
    if (c.label.rfind("prefill", 0) != 0) continue;
    for (const int32_t ranks : {2, 4, 8})
      for (const RingPlacement placement : {RingPlacement::kContiguous, RingPlacement::kZigzag}) {
        const std::string name = "ring/native/" + testing::name(c) +
                                 "/ranks:" + std::to_string(ranks) +
                                 (placement == RingPlacement::kZigzag ? "/zigzag" : "/contiguous");
        benchmark::RegisterBenchmark(name.c_str(), [&c, ranks, placement](benchmark::State& state) {
          run_ranks(state, c, {ranks, placement, {}});
        })->Unit(benchmark::kMicrosecond);
      }
  }
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  attend::bench::register_operator(attend::OpId::kRing);
  attend::bench::register_ranks();
  return attend::bench::run(argc, argv);
}
