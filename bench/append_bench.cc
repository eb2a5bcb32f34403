// Every available row of append on native: the rows of a prompt and of a step of many requests, in
// the pages' own type (bits are copied), fp8 and int8 (divided, rounded, saturated). Bytes are what
// is read and what is written, once each; the pages that rows go to lie in a shuffled order.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/samples.h"
#include "tests/support/element.h"
#include "tests/support/noise.h"
#include "tests/support/stored.h"

namespace attend::bench {
namespace {

constexpr int64_t kPageSize = 16, kKvHeads = 8, kDim = 128;

struct AppendCase {
  std::string label;
  int64_t tokens;
  bool in_a_row;  // the rows of one prompt fill pages; those of a step stand one in each page
  DType rows, cache;

  std::string name() const {
    return label + "_t" + std::to_string(tokens) + "_h" + std::to_string(kKvHeads) + "_d" +
           std::to_string(kDim) + "_page" + std::to_string(kPageSize) + "_" + attend::name(rows) +
           "_k" + attend::name(cache);
  }
};

std::vector<AppendCase> append_cases() {
  std::vector<AppendCase> list;
  for (auto [label, tokens, in_a_row] : {std::tuple{"tiny", int64_t{3}, true},
                                         {"step256", int64_t{256}, false},
                                         {"prompt2k", int64_t{2048}, true}})
    for (auto [rows, cache] : {std::pair{DType::kF32, DType::kF32},
                               {DType::kBF16, DType::kBF16},
                               {DType::kBF16, DType::kF8E4M3},
                               {DType::kBF16, DType::kI8}})
      list.push_back({label, tokens, in_a_row, rows, cache});
  return list;
}

struct AppendCall {
  Tensor k, v, k_new, v_new, slots, k_descale, v_descale;
  AttentionArgs args;
  double bytes = 0;

  explicit AppendCall(const AppendCase& c) {
    const int64_t pages = c.in_a_row ? (c.tokens + kPageSize - 1) / kPageSize : c.tokens;
    const auto cache = [&] {
      Tensor t = Tensor::empty(c.cache, {pages, kPageSize, kKvHeads, kDim});
      std::fill_n(t.data<char>(), t.view().num_elements() * size_bytes(c.cache), '\1');
      return t;
    };
    uint64_t seed = 0;
    const auto rows = [&] {
      Tensor t = Tensor::empty(c.rows, {c.tokens, kKvHeads, kDim});
      ++seed;
      for (int64_t n = 0; n < t.view().num_elements(); ++n)
        testing::store(c.rows, t.data<char>() + n * size_bytes(c.rows),
                       testing::normal(testing::hash(seed, static_cast<uint64_t>(n))));
      return t;
    };
    args.k = k = cache();
    args.v = v = cache();
    args.k_new = k_new = rows();
    args.v_new = v_new = rows();
    std::vector<int64_t> order(static_cast<size_t>(pages));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    slots = Tensor::empty(DType::kI64, {c.tokens});
    for (int64_t t = 0; t < c.tokens; ++t)
      slots.data<int64_t>()[t] =
          c.in_a_row ? order[static_cast<size_t>(t / kPageSize)] * kPageSize + t % kPageSize
                     : order[static_cast<size_t>(t)] * kPageSize + t % kPageSize;
    args.seq.slot_mapping = slots;
    if (size_bytes(c.cache) == 1) {
      k_descale = Tensor::empty(DType::kF32, {1}), v_descale = Tensor::empty(DType::kF32, {1});
      *k_descale.data<float>() = *v_descale.data<float>() = 0.03125f;
      args.k_descale = k_descale, args.v_descale = v_descale;
    }
    bytes = static_cast<double>(2 * c.tokens * kKvHeads * kDim *
                                (size_bytes(c.rows) + size_bytes(c.cache)));
  }
};

void run_case(benchmark::State& state, const AttentionKernel& row, const AppendCase& c,
              int threads) {
  try {
    set_num_threads(threads);
    AppendCall append(c);
    const auto call = [&] { AppendKv().run_kernel(row.name, append.args, {}); };
    call();
    if (const std::string fault = testing::wrong_slot(append.args); !fault.empty())
      return fail(state, "WRONG stored: " + fault);
    const Samples samples = take_samples(state, calls_per_sample(call), threads, call);
    count(state, samples);
    count_bytes(state, samples, append.bytes, threads);
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

bool takes(const AttentionKernel& row, const AppendCase& c) {
  AppendCase small = c;
  small.tokens = 1;
  const AppendCall append(small);
  for (const KernelAnswer& answer : AppendKv().explain(append.args, {}, Device{}))
    if (std::string(answer.kernel) == row.name) return bool(answer.status);
  return false;
}

void register_append() {
  static const std::vector<AppendCase> cases = append_cases();
  for (const AppendCase& c : cases)
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(OpId::kAppend, DeviceType::kNative))
      if (row.available(Device{}) && takes(row, c))
        add_at_threads(std::string(row.name) + "/" + c.name(),
                       [&row, &c](benchmark::State& state, const std::string&, int threads) {
                         run_case(state, row, c, threads);
                       });
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  attend::bench::register_append();
  return attend::bench::run(argc, argv);
}
