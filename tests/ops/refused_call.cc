#include "tests/ops/refused_call.h"

#include <algorithm>
#include <numeric>

namespace attend::testing {
namespace {

std::vector<double> constant(int64_t n, double value) {
  return std::vector<double>(static_cast<size_t>(n), value);
}

}  // namespace

RefusedCall::RefusedCall(OpId op, bool ragged) {
  constexpr int64_t kBatch = 2, kKeys = 5;
  const int64_t rows = op == OpId::kDecode ? 1 : 3;
  const bool paged = op == OpId::kPaged;
  const auto make = [&](int64_t seqlen, int64_t heads, int64_t dim, double value) {
    const auto all = constant(kBatch * seqlen * heads * dim, value);
    return ragged ? Values(DType::kF32, {kBatch * seqlen, heads, dim}, all)
                  : Values(DType::kF32, {kBatch, seqlen, heads, dim}, all);
  };
  const auto keys = [&](int64_t dim) {
    return paged ? Values(DType::kF32, {8, 2, 2, dim}, constant(32 * dim, 0.5))
                 : make(kKeys, 2, dim, 0.5);
  };
  q = make(rows, 4, 8, 0.5);
  k = keys(8);
  v = keys(6);
  out = make(rows, 4, 6, 42);
  lse = ragged ? Values(DType::kF32, {4, kBatch * rows}, constant(8 * rows, 42))
               : Values(DType::kF32, {kBatch, 4, rows}, constant(8 * rows, 42));
  weights = Values(DType::kF32, {kBatch, 4, rows, kKeys}, constant(40 * rows, 42));
  scores = Values(DType::kF32, {kBatch, 4, rows, kKeys}, constant(40 * rows, 42));
  args.q = q;
  args.k = k;
  args.v = v;
  args.out = out;
  args.lse = lse;
  if (ragged) args.seq.cu_seqlens_q = indices({0, 3, 6});
  if (ragged && !paged) args.seq.cu_seqlens_k = indices({0, 5, 10});
  if (!paged) return;
  args.seq.block_table = table({0, 1, 2, 3, 4, 5});
  args.seq.seqused_k = indices({5, 5});
}

TensorView RefusedCall::table(const std::vector<double>& pages, DType dtype) {
  more.emplace_back(
      dtype, std::initializer_list<int64_t>{2, static_cast<int64_t>(pages.size()) / 2}, pages);
  return more.back().view;
}

void RefusedCall::bring_rows() {
  args.k_new = values(DType::kF32, {6, 2, 8});
  args.v_new = values(DType::kF32, {6, 2, 6});
  args.seq.seqused_k = {};
  args.seq.context_lens = indices({2, 2});
  args.seq.slot_mapping = indices({2, 3, 4, 8, 9, 10});
}

void RefusedCall::use_csr() {
  args.seq.block_table = args.seq.seqused_k = {};
  args.seq.kv_indptr = indices({0, 3, 6});
  args.seq.kv_indices = indices({0, 1, 2, 3, 4, 5});
  args.seq.kv_last_page_len = indices({1, 1});
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
  for (const Values* cache : {&k, &v}) {
    const auto all = cache->all();
    if (std::any_of(all.begin(), all.end(), [](double x) { return x != 0.5; })) return false;
  }
  return true;
}

}  // namespace attend::testing
