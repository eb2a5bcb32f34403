// What forward() costs beside its kernel: a call of 1 x 1 head x 16 keys, its parts alone, and a
// call without rows, whose kernel has nothing to do.
//   forward    all of it: checks, choice of a row, the row
//   supports   checks and choice alone
//   kernel     the row alone
//   empty      forward() with seqlen_q = 0: what is left is the cost of a call
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/samples.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::bench {
namespace {

using testing::AttentionCase;

struct TinyCall {
  testing::CaseTensors tensors;
  AttentionParams resolved;  // as forward() hands them to a row

  explicit TinyCall(const AttentionCase& c)
      : tensors(testing::make_tensors(c, testing::Fill::kPlain)), resolved(tensors.params) {
    resolved.softmax_scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    resolved.mask.diagonal = Diagonal::kBottomRight;
  }
};

template <class F>
void time_calls(benchmark::State& state, TinyCall& tiny, F&& call) {
  set_num_threads(1);
  tiny.tensors.reset_outputs();
  try {
    call();
    const auto verdicts = testing::judge(tiny.tensors.args, tiny.tensors.params);
    if (!all_ok(verdicts)) return fail(state, to_string(verdicts));
    count(state, take_samples(state, calls_per_sample(call), 1, call));
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

template <class F>
void add(const char* part, const AttentionCase& c, F&& body) {
  const std::string name = std::string("dispatch/") + part + "/" + testing::name(c) + "/threads:1";
  benchmark::RegisterBenchmark(name.c_str(), [c, body](benchmark::State& state) {
    TinyCall tiny(c);
    body(state, tiny);
  });
}

void add_all(OpId op, const AttentionCase& tiny) {
  const AttentionOp& attention = attention_op(op);
  const std::string of = name(op);
  const auto forward = [&attention](benchmark::State& state, TinyCall& t) {
    time_calls(state, t, [&] { attention.forward(t.tensors.args, t.tensors.params); });
  };
  AttentionCase empty = tiny;
  empty.seqlen_q = 0;
  add((of + "/forward").c_str(), tiny, forward);
  add((of + "/empty").c_str(), empty, forward);
  add((of + "/kernel").c_str(), tiny, [op](benchmark::State& state, TinyCall& t) {
    const AttentionKernel& row =
        Registry::global().select(op, t.tensors.args, t.resolved, Device{});
    time_calls(state, t, [&] { row.run(t.tensors.args, t.resolved, ExecContext{}); });
  });
  add((of + "/supports").c_str(), tiny, [&attention](benchmark::State& state, TinyCall& t) {
    set_num_threads(1);
    const auto ask = [&] {
      benchmark::DoNotOptimize(attention.supports(t.tensors.args, t.tensors.params, Device{}));
    };
    if (const Support s = attention.supports(t.tensors.args, t.tensors.params, Device{}); !s)
      return fail(state, s.message);
    count(state, take_samples(state, calls_per_sample(ask), 1, ask));
  });
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  using namespace attend;
  testing::AttentionCase tiny;
  tiny.label = "tiny16";
  tiny.seqlen_k = 16;
  for (OpId op : {OpId::kFlash, OpId::kVanilla}) bench::add_all(op, tiny);
  return bench::run(argc, argv);
}
