// Every available row of merge on native: the rows of a decode step and of a prompt, parts and
// result in one type, parts in f32 with a narrower result (as cascades keep them), and in place.
// Bytes are what is read and what is written, once each.
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/samples.h"
#include "tests/support/element.h"
#include "tests/support/noise.h"

namespace attend::bench {
namespace {

constexpr int64_t kHeads = 32, kDim = 128;

struct MergeCase {
  std::string label;
  int64_t batch, seqlen;
  DType parts, out;
  bool in_place;

  std::string name() const {
    return label + "_b" + std::to_string(batch) + "_sq" + std::to_string(seqlen) + "_h" +
           std::to_string(kHeads) + "_d" + std::to_string(kDim) + "_" + attend::name(parts) + "_o" +
           attend::name(out) + (in_place ? "_inplace" : "");
  }
};

const std::vector<MergeCase>& merge_cases() {
  static const std::vector<MergeCase> list = [] {
    std::vector<MergeCase> all = {{"tiny", 1, 1, DType::kF32, DType::kF32, false}};
    for (auto [label, batch, seqlen] :
         {std::tuple{"decode64", int64_t{64}, int64_t{1}}, {"prompt512", int64_t{1}, int64_t{512}}})
      for (auto [parts, out, in_place] : {std::tuple{DType::kF32, DType::kF32, false},
                                          {DType::kF32, DType::kF32, true},
                                          {DType::kF32, DType::kBF16, false},
                                          {DType::kBF16, DType::kBF16, false},
                                          {DType::kF16, DType::kF16, false}})
        all.push_back({label, batch, seqlen, parts, out, in_place});
    return all;
  }();
  return list;
}

struct MergeCall {
  Tensor out_a, lse_a, out_b, lse_b, out, lse;
  MergeArgs args;
  double bytes = 0;

  explicit MergeCall(const MergeCase& c) {
    uint64_t seed = 0;
    const auto filled = [&](DType dtype, std::initializer_list<int64_t> shape) {
      Tensor t = Tensor::empty(dtype, shape);
      ++seed;
      for (int64_t n = 0; n < t.view().num_elements(); ++n)
        testing::store(dtype, t.data<char>() + n * size_bytes(dtype),
                       testing::normal(testing::hash(seed, static_cast<uint64_t>(n))));
      return t;
    };
    args.out_a = out_a = filled(c.parts, {c.batch, c.seqlen, kHeads, kDim});
    args.out_b = out_b = filled(c.parts, {c.batch, c.seqlen, kHeads, kDim});
    args.lse_a = lse_a = filled(DType::kF32, {c.batch, kHeads, c.seqlen});
    args.lse_b = lse_b = filled(DType::kF32, {c.batch, kHeads, c.seqlen});
    args.out = out = filled(c.out, {c.batch, c.seqlen, kHeads, kDim});
    args.lse = lse = filled(DType::kF32, {c.batch, kHeads, c.seqlen});
    if (c.in_place) args.out = args.out_a;
    bytes = static_cast<double>(c.batch * c.seqlen * kHeads *
                                (kDim * (2 * size_bytes(c.parts) + size_bytes(c.out)) + 12));
  }
};

// The first element that is not the two parts joined in float64, in words; "" if all are. The parts
// are those before the call.
std::string wrong_element(const MergeArgs& parts, const MergeArgs& got) {
  for (int64_t b = 0; b < got.out.dim(0); ++b)
    for (int64_t i = 0; i < got.out.dim(1); ++i)
      for (int64_t h = 0; h < kHeads; ++h) {
        const double la = testing::load(parts.lse_a, {b, h, i}),
                     lb = testing::load(parts.lse_b, {b, h, i}),
                     lse = std::log(std::exp(la) + std::exp(lb)), share_a = std::exp(la - lse),
                     share_b = std::exp(lb - lse);
        if (!(std::abs(testing::load(got.lse, {b, h, i}) - lse) < 1e-6 * (1 + std::abs(lse))))
          return "lse of row " + std::to_string(i);
        for (int64_t d = 0; d < kDim; ++d) {
          const double x = testing::load(parts.out_a, {b, i, h, d}),
                       y = testing::load(parts.out_b, {b, i, h, d}),
                       gold = share_a * x + share_b * y,
                       allowed = testing::unit_roundoff(got.out.dtype) * std::abs(gold) +
                                 5e-7 * (std::abs(x) + std::abs(y)) +
                                 testing::least_normal(got.out.dtype);
          if (!(std::abs(testing::load(got.out, {b, i, h, d}) - gold) <= allowed))
            return "out of row " + std::to_string(i) + " element " + std::to_string(d);
        }
      }
  return "";
}

void run_case(benchmark::State& state, const MergeKernel& row, const MergeCase& c, int threads) {
  try {
    set_num_threads(threads);
    MergeCall merge(c);
    const MergeCall before(c);
    const auto call = [&] { MergePartials().run_kernel(row.name, merge.args, {}); };
    call();
    if (const std::string fault = wrong_element(before.args, merge.args); !fault.empty())
      return fail(state, "WRONG " + fault);
    const Samples samples = take_samples(state, calls_per_sample(call), threads, call);
    count(state, samples);
    count_bytes(state, samples, merge.bytes, threads);
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

void register_merge() {
  for (const MergeCase& c : merge_cases())
    for (const MergeKernel& row : Registry::global().merge_kernels(DeviceType::kNative))
      if (row.available(Device{}))
        add_at_threads(std::string(row.name) + "/" + c.name(),
                       [&row, &c](benchmark::State& state, const std::string&, int threads) {
                         run_case(state, row, c, threads);
                       });
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  attend::bench::register_merge();
  return attend::bench::run(argc, argv);
}
