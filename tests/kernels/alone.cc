#include "tests/kernels/alone.h"

#include <algorithm>

#include "tests/support/element.h"

namespace attend::testing {
namespace {

void narrow(TensorView& view, int dim, int64_t first, int64_t length) {
  if (!view) return;
  const auto d = static_cast<size_t>(dim);
  if (view.data && length > 0) {
    view.data =
        static_cast<std::byte*>(view.data) + first * view.stride[d] * size_bytes(view.dtype);
  }
  view.shape[d] = length;
}

int64_t longest(const TensorView& cu_seqlens) {
  int64_t most = 0;
  for (int64_t b = 0; b + 1 < cu_seqlens.dim(0); ++b) {
    most = std::max(most, load_int(cu_seqlens, b + 1) - load_int(cu_seqlens, b));
  }
  return most;
}

}  // namespace

Alone alone(const AttentionArgs& args, const AttentionParams& params, int64_t b) {
  Alone one = {args, params, nullptr};
  AttentionArgs& a = one.args;
  AttentionParams& p = one.params;
  for (TensorView* per_sequence :
       {&a.seq.seqused_q, &a.seq.seqused_k, &p.mask.q_start, &p.mask.block_origin,
        &p.mask.prefix_lens, &p.mask.hole_starts, &p.mask.hole_ends, &a.weights, &a.scores}) {
    narrow(*per_sequence, 0, b, 1);
  }
  for (TensorView* spread : {&p.mask.keep, &p.bias}) {
    if (spread->rank == 4 && spread->dim(0) != 1) narrow(*spread, 0, b, 1);
  }
  if (p.alibi_slopes.rank == 2) narrow(p.alibi_slopes, 0, b, 1);
  if (!args.seq.cu_seqlens_q) {
    for (TensorView* dense :
         {&a.q, &a.k, &a.v, &a.out, &a.lse, &p.mask.q_segment_ids, &p.mask.kv_segment_ids}) {
      narrow(*dense, 0, b, 1);
    }
    return one;
  }
  const int64_t q0 = load_int(args.seq.cu_seqlens_q, b),
                q1 = load_int(args.seq.cu_seqlens_q, b + 1);
  const int64_t k0 = load_int(args.seq.cu_seqlens_k, b),
                k1 = load_int(args.seq.cu_seqlens_k, b + 1);
  for (TensorView* rows : {&a.q, &a.out, &p.mask.q_segment_ids}) narrow(*rows, 0, q0, q1 - q0);
  for (TensorView* keys : {&a.k, &a.v, &p.mask.kv_segment_ids}) narrow(*keys, 0, k0, k1 - k0);
  narrow(a.lse, 1, q0, q1 - q0);
  // Masks keep the width of the whole batch.
  if (a.seq.max_seqlen_q == 0) a.seq.max_seqlen_q = longest(args.seq.cu_seqlens_q);
  if (a.seq.max_seqlen_k == 0) a.seq.max_seqlen_k = longest(args.seq.cu_seqlens_k);
  one.cu_seqlens =
      std::make_unique<std::vector<int64_t>>(std::vector<int64_t>{0, q1 - q0, 0, k1 - k0});
  a.seq.cu_seqlens_q = contiguous(one.cu_seqlens->data(), DType::kI64, {2});
  a.seq.cu_seqlens_k = contiguous(one.cu_seqlens->data() + 2, DType::kI64, {2});
  return one;
}

}  // namespace attend::testing
