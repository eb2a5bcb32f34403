#include "tests/ops/refused_call.h"

#include <algorithm>
#include <numeric>

namespace attend::testing {
namespace {

std::vector<double> constant(int64_t n, double value) {
  return std::vector<double>(static_cast<size_t>(n), value);
}

}  // namespace

RefusedCall::RefusedCall(bool ragged) {
  constexpr int64_t kBatch = 2, kRows = 3, kKeys = 5;
  const auto make = [&](DType dtype, int64_t seqlen, int64_t heads, int64_t dim, double value) {
    const auto all = constant(kBatch * seqlen * heads * dim, value);
    return ragged ? Values(dtype, {kBatch * seqlen, heads, dim}, all)
                  : Values(dtype, {kBatch, seqlen, heads, dim}, all);
  };
  q = make(DType::kF32, kRows, 4, 8, 0.5);
  k = make(DType::kF32, kKeys, 2, 8, 0.5);
  v = make(DType::kF32, kKeys, 2, 6, 0.5);
  out = make(DType::kF32, kRows, 4, 6, 42);
  lse = ragged ? Values(DType::kF32, {4, kBatch * kRows}, constant(24, 42))
               : Values(DType::kF32, {kBatch, 4, kRows}, constant(24, 42));
  weights = Values(DType::kF32, {kBatch, 4, kRows, kKeys}, constant(120, 42));
  scores = Values(DType::kF32, {kBatch, 4, kRows, kKeys}, constant(120, 42));
  args.q = q;
  args.k = k;
  args.v = v;
  args.out = out;
  args.lse = lse;
  if (ragged) {
    args.seq.cu_seqlens_q = indices({0, 3, 6});
    args.seq.cu_seqlens_k = indices({0, 5, 10});
  }
}

TensorView RefusedCall::indices(const std::vector<double>& list, DType dtype) {
  more.emplace_back(dtype, std::initializer_list<int64_t>{static_cast<int64_t>(list.size())}, list);
  return more.back().view;
}

TensorView RefusedCall::values(DType dtype, std::initializer_list<int64_t> shape) {
  const int64_t n = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  more.emplace_back(dtype, shape, constant(n, 0));
  return more.back().view;
}

bool RefusedCall::outputs_untouched() const {
  for (const Values* output : {&out, &lse, &weights, &scores}) {
    const auto all = output->all();
    if (std::any_of(all.begin(), all.end(), [](double x) { return x != 42; })) return false;
  }
  return true;
}

}  // namespace attend::testing
