#include "bench/support/operator_bench.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/device_bench.h"
#include "bench/support/rotation.h"
#include "bench/support/samples.h"
#include "tests/kernels/rows.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::bench {
namespace {

using testing::AttentionCase;

// Small cases are judged whole, large ones by a sample of their rows that takes under a second.
constexpr int64_t kJudgedPairs = int64_t{1} << 19;

int64_t judged_rows(const AttentionCase& c) {
  return std::max<int64_t>(64, kJudgedPairs / std::max<int64_t>(1, c.seqlen_k));
}

// A case's tensors and what is expected of them. Benchmarks of one case come one after another.
struct Prepared {
  const AttentionCase* of;
  testing::CaseTensors tensors;
  testing::Judge judge;
  Work work;
  Rotation rotation;
  std::map<std::string, int64_t> calls;  // by benchmark: those that were right, calls in a sample

  explicit Prepared(const AttentionCase& c)
      : of(&c),
        tensors(testing::make_tensors(c, testing::Fill::kPlain)),
        judge(tensors.args, tensors.params, {judged_rows(c)}),
        work(work_of(tensors.args, tensors.params)),
        rotation(tensors.args, copies_to_rotate(tensors.args, work)) {}
};

Prepared& prepared(const AttentionCase& c) {
  static std::unique_ptr<Prepared> last;
  if (last == nullptr || last->of != &c) {
    last.reset();
    last = std::make_unique<Prepared>(c);
  }
  return *last;
}

// Empty, or what is wrong with the row's result.
std::string verify(OpId op, const AttentionKernel& row, Prepared& p) {
  p.tensors.reset_outputs();
  attention_op(op).run_kernel(row.name, p.tensors.args, p.tensors.params);
  if (const std::string damage = p.tensors.damaged_guard(); !damage.empty()) return damage;
  const auto verdicts = p.judge.compare(p.tensors.args);
  return all_ok(verdicts) ? "" : to_string(verdicts);
}

void run_case(benchmark::State& state, const std::string& name, OpId op, const AttentionKernel& row,
              const AttentionCase& c, int threads) {
  try {
    set_num_threads(threads);
    Prepared& p = prepared(c);
    const AttentionOp& attention = attention_op(op);
    const auto call = [&] { attention.run_kernel(row.name, p.rotation.next(), p.tensors.params); };
    if (!p.calls.contains(name)) {  // once: the library enters again to set the length of a run
      if (const std::string fault = verify(op, row, p); !fault.empty()) return fail(state, fault);
      p.calls[name] = calls_per_sample(call);
    }
    const Samples samples = take_samples(state, p.calls[name], threads, call);
    count(state, samples, p.work, c.dtype, threads);
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

// Whether the row takes the case. Asked with the case's own shapes, whose memory nobody reads or
// writes, or, where words hold tensors, with a small call in the same words.
bool takes(OpId op, const AttentionKernel& row, const AttentionCase& c) {
  AttentionCase small = c;
  small.batch = 1;
  small.seqlen_q = std::min<int64_t>(c.seqlen_q, 32);
  small.seqlen_k = std::min<int64_t>(c.seqlen_k, 64);
  const testing::CaseTensors words = testing::make_tensors(small, testing::Fill::kPlain);
  AttentionArgs args = words.args;
  Tensor q, k, v, out;
  if (c.family == testing::Family::kPlain) {
    args.q = q = Tensor::empty(c.dtype, {c.batch, c.seqlen_q, c.heads, c.head_dim});
    args.k = k = Tensor::empty(c.dtype, {c.batch, c.seqlen_k, c.kv_heads, c.head_dim});
    args.v = v = Tensor::empty(c.dtype, {c.batch, c.seqlen_k, c.kv_heads, c.dim_v()});
    args.out = out = Tensor::empty(c.dtype, {c.batch, c.seqlen_q, c.heads, c.dim_v()});
  }
  try {
    for (const KernelAnswer& answer : attention_op(op).explain(args, words.params, Device{}))
      if (std::string(answer.kernel) == row.name) return bool(answer.status);
  } catch (const Error&) {  // the operator itself refuses the shape
  }
  return false;
}

// The bench cases in an operator's words. They live as long as the process.
const std::vector<AttentionCase>& cases_of(OpId op) {
  auto& of_op = *new std::vector<AttentionCase>;
  for (const AttentionCase& c : testing::cases(testing::Tier::kBench))
    if (testing::in_domain(op, c)) of_op.push_back(testing::as_read_by(op, c));
  return of_op;
}

}  // namespace

void register_operator(OpId op) {
  const std::vector<AttentionCase>& cases = cases_of(op);
  register_on_devices(op, cases);
  for (const AttentionCase& c : cases) {
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(op, DeviceType::kNative)) {
      if (!row.available(Device{}) || !takes(op, row, c)) continue;
      add_at_threads(std::string(row.name) + "/" + testing::name(c),
                     [=, &row, &c](benchmark::State& state, const std::string& name, int threads) {
                       run_case(state, name, op, row, c, threads);
                     });
    }
  }
}

}  // namespace attend::bench
