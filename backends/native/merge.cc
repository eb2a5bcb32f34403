// merge/native: two partial results over disjoint keys become one, out = a * factor_a + b * factor_b.
//
//   task     kRows rows: a row is one head of one query position
//   per row  two lse make two factors and the lse of both (ops/common/online_softmax.h), then the
//            row's elements in pieces of kPiece, widened to f32
//   traffic  each element of out_a, out_b and out moves once; nothing else grows with dim
//   in place out may be out_a or out_b: a piece is read whole before it is written
//   bits     a row's result depends on its own two parts alone
#include <algorithm>
#include <cmath>

#include "attend/registry.h"
#include "backends/native/convert.h"
#include "backends/native/kernels.h"
#include "backends/native/thread_pool.h"
#include "ops/common/layout.h"
#include "ops/common/online_softmax.h"

namespace attend::native {
namespace {

constexpr int64_t kRows = 64, kPiece = 256;

// An empty part weighs nothing whatever its memory holds: 0 * NaN must not happen.
void merge_row(const RowsView& a, const RowsView& b, const RowsView& out, int64_t i, int64_t h,
               int64_t dim, const MergeWeights& w, bool empty_a, bool empty_b) {
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
      for (int64_t d = 0; d < n; ++d) x[d] = x[d] * w.factor_a + y[d] * w.factor_b;
    }
    store_row(x, n, out.at(i, h) + d0 * out.dim * size_bytes(out.dtype), out.dim, out.dtype);
  }
}

Status run_merge(const MergeArgs& m, const MergeParams&, const ExecContext& context) {
  const bool ragged = m.out.rank == 3;
  const int64_t batch = ragged ? 1 : m.out.dim(0), heads = m.out.dim(-2), dim = m.out.dim(-1);
  const int64_t seqlen = m.out.dim(-3), rows = batch * seqlen * heads;
  const int64_t tasks = (rows + kRows - 1) / kRows;
  parallel(context, worker_count(context, tasks), tasks, [&](int64_t task, int32_t) {
    for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
      const int64_t h = r % heads, i = r / heads % seqlen, b = r / heads / seqlen;
      const auto lse_of = [&](const TensorView& t) {
        return load_as<float>(lse_rows_of(t, b, 0).at(i, h));
      };
      const float lse_a = lse_of(m.lse_a), lse_b = lse_of(m.lse_b);
      const MergeWeights w = merge_weights(lse_a, lse_b);
      merge_row(rows_of(m.out_a, b, 0), rows_of(m.out_b, b, 0), rows_of(m.out, b, 0), i, h, dim, w,
                lse_a == -INFINITY, lse_b == -INFINITY);
      if (m.lse) store(lse_rows_of(m.lse, b, 0).at(i, h), DType::kF32, w.lse);
    }
  });
  return {};
}

}  // namespace

void add_merge(Registry& registry) {
  registry.add(MergeKernel{
      OpId::kMerge, DeviceType::kNative, "merge/native/portable",
      "f32 f16 bf16, each tensor its own; dense, ragged; in place; any CPU", 0,
      [](const Device&) { return Status{}; },
      [](const MergeArgs&, const MergeParams&, const Device&) { return Status{}; },
      [](const MergeArgs&, const MergeParams&, int32_t) { return uint64_t{0}; }, run_merge});
}

}  // namespace attend::native
