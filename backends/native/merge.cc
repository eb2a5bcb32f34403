// merge/native: two partial results over disjoint keys become one, out = a * factor_a + b * factor_b.
//
//   task     kRows rows: a row is one head of one query position
//   per row  two lse make two factors and the lse of both (ops/common/online_softmax.h), then the
//            row's elements: by vectors (isa/rows-inl.h) where the machine has them and the elements
//            lie together, else in pieces of kPiece, widened to f32
//   traffic  each element of out_a, out_b and out moves once; nothing else grows with dim
//   in place out may be out_a or out_b: a piece is read whole before it is written
//   bits     a row's result depends on its own two parts alone
#include <algorithm>
#include <cmath>

#include "attend/registry.h"
#include "backends/native/convert.h"
#include "backends/native/cpu_features.h"
#include "backends/native/elem.h"
#include "backends/native/isa/row_ops.h"
#include "backends/native/kernels.h"
#include "backends/native/thread_pool.h"
#include "ops/common/layout.h"
#include "ops/common/online_softmax.h"

namespace attend::native {
namespace {

constexpr int64_t kRows = 64, kPiece = 256;

// An empty part weighs nothing whatever its memory holds: 0 * NaN must not happen. Sums are those of
// `by_vectors`, where it is given: how a row lies in memory does not change its bits.
void merge_row(const RowOps* by_vectors, const RowsView& a, const RowsView& b, const RowsView& out,
               int64_t i, int64_t h, int64_t dim, const MergeWeights& w, bool empty_a,
               bool empty_b) {
  float x[kPiece], y[kPiece];
  for (int64_t d0 = 0; d0 < dim; d0 += kPiece) {
    const int64_t n = std::min(kPiece, dim - d0);
    const auto read = [&](const RowsView& from, float* to) {
      load_row(from.at(i, h) + d0 * from.dim * size_bytes(from.dtype), from.dim, from.dtype, n, to);
    };
    if (empty_a && empty_b) {
      std::fill_n(x, n, 0.0f);
    } else if (empty_a || empty_b) {  // the other part's factor is 1, or NaN with its lse
      read(empty_a ? b : a, x);
      const float factor = empty_a ? w.factor_b : w.factor_a;
      for (int64_t d = 0; d < n; ++d) x[d] *= factor;
    } else {
      read(a, x);
      read(b, y);
      if (by_vectors != nullptr)
        by_vectors->join(x, w.factor_a, y, w.factor_b, Elem::kF32, n, x, Elem::kF32);
      else
        for (int64_t d = 0; d < n; ++d) x[d] = x[d] * w.factor_a + y[d] * w.factor_b;
    }
    store_row(x, n, out.at(i, h) + d0 * out.dim * size_bytes(out.dtype), out.dim, out.dtype);
  }
}

// The same for rows whose elements lie together, which are not both empty.
void join_row(const RowOps& ops, const RowsView& a, const RowsView& b, const RowsView& out,
              int64_t i, int64_t h, int64_t dim, const MergeWeights& w, bool empty_a,
              bool empty_b) {
  const RowsView& first = empty_a ? b : a;
  ops.join(first.at(i, h), empty_a ? w.factor_b : w.factor_a,
           empty_a || empty_b ? nullptr : b.at(i, h), w.factor_b, elem_of(first.dtype), dim,
           out.at(i, h), elem_of(out.dtype));
}

// by_vectors may be null.
Status run_merge(const RowOps* by_vectors, const MergeArgs& m, const ExecContext& context) {
  const bool ragged = m.out.rank == 3;
  const int64_t batch = ragged ? 1 : m.out.dim(0), heads = m.out.dim(-2), dim = m.out.dim(-1);
  const int64_t seqlen = m.out.dim(-3), rows = batch * seqlen * heads;
  const int64_t tasks = (rows + kRows - 1) / kRows;
  const bool together = by_vectors != nullptr && m.out_a.step(-1) == 1 && m.out_b.step(-1) == 1 &&
                        m.out.step(-1) == 1 && m.out_a.dtype == m.out_b.dtype;
  parallel(context, worker_count(context, tasks), tasks, [&](int64_t task, int32_t) {
    for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
      const int64_t h = r % heads, i = r / heads % seqlen, b = r / heads / seqlen;
      const auto lse_of = [&](const TensorView& t) {
        return load_as<float>(lse_rows_of(t, b, 0).at(i, h));
      };
      const float lse_a = lse_of(m.lse_a), lse_b = lse_of(m.lse_b);
      const MergeWeights w = merge_weights(lse_a, lse_b);
      const RowsView from_a = rows_of(m.out_a, b, 0), from_b = rows_of(m.out_b, b, 0),
                     to = rows_of(m.out, b, 0);
      const bool empty_a = lse_a == -INFINITY, empty_b = lse_b == -INFINITY;
      if (together && !(empty_a && empty_b))
        join_row(*by_vectors, from_a, from_b, to, i, h, dim, w, empty_a, empty_b);
      else
        merge_row(by_vectors, from_a, from_b, to, i, h, dim, w, empty_a, empty_b);
      if (m.lse) store(lse_rows_of(m.lse, b, 0).at(i, h), DType::kF32, w.lse);
    }
  });
  return {};
}

template <Isa isa, const RowOps* by_vectors>
MergeKernel kernel_row(const char* name, const char* summary, int32_t priority) {
  return {OpId::kMerge,
          DeviceType::kNative,
          name,
          summary,
          priority,
          [](const Device&) { return available(isa); },
          [](const MergeArgs&, const MergeParams&, const Device&) { return available(isa); },
          [](const MergeArgs&, const MergeParams&, int32_t) { return uint64_t{0}; },
          [](const MergeArgs& m, const MergeParams&, const ExecContext& context) {
            return run_merge(by_vectors, m, context);
          }};
}

}  // namespace

void add_merge(Registry& registry) {
  registry.add(kernel_row<Isa::kPortable, nullptr>(
      "merge/native/portable",
      "f32 f16 bf16, each tensor its own; dense, ragged; in place; any CPU", 0));
#if defined(__x86_64__)
  registry.add(kernel_row<Isa::kAvx2, &kAvx2RowOps>(
      "merge/native/avx2",
      "f32 f16 bf16, each tensor its own; dense, ragged; in place; AVX2 with FMA", 10));
  registry.add(kernel_row<Isa::kAvx512, &kAvx512RowOps>(
      "merge/native/avx512", "f32 f16 bf16, each tensor its own; dense, ragged; in place; AVX-512",
      20));
#endif
}

}  // namespace attend::native
