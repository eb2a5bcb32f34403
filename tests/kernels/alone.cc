#include "tests/kernels/alone.h"

#include <algorithm>

#include "tests/support/element.h"
#include "tests/support/oracle.h"
#include "tests/support/oracle_keys.h"

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

int64_t difference(const TensorView& cu, int64_t b) {
  return load_int(cu, b + 1) - load_int(cu, b);
}

}  // namespace

Part part(const AttentionArgs& args, const AttentionParams& params, int64_t first, int64_t count) {
  Part one = {args, params, {}};
  AttentionArgs& a = one.args;
  AttentionParams& p = one.params;
  const SeqLayout& seq = args.seq;
  const bool ragged = bool(seq.cu_seqlens_q), paged = seq.block_table || seq.kv_indptr;
  // What a vector of positions says about these sequences, in a vector of its own that starts at 0;
  // returns where it started and what is between.
  const auto positions = [&](TensorView& cu) {
    one.positions.push_back(std::make_unique<std::vector<int64_t>>());
    std::vector<int64_t>& own = *one.positions.back();
    const int64_t start = load_int(cu, first);
    for (int64_t b = first; b <= first + count; ++b) own.push_back(load_int(cu, b) - start);
    cu = contiguous(own.data(), DType::kI64, {count + 1});
    return std::pair(start, own.back());
  };

  for (TensorView* per_sequence :
       {&a.seq.seqused_q, &a.seq.seqused_k, &a.seq.context_lens, &a.seq.block_table,
        &a.seq.kv_last_page_len, &a.seq.start, &a.seq.end, &p.mask.q_start, &p.mask.block_origin,
        &p.mask.prefix_lens, &p.mask.hole_starts, &p.mask.hole_ends, &a.weights, &a.scores}) {
    narrow(*per_sequence, 0, first, count);
  }
  for (TensorView* spread : {&p.mask.keep, &p.bias, &p.mask.block_mask}) {
    if (spread->rank == 4 && spread->dim(0) != 1) narrow(*spread, 0, first, count);
  }
  for (TensorView* by_head : {&p.alibi_slopes, &a.k_descale, &a.v_descale})
    if (by_head->rank == 2) narrow(*by_head, 0, first, count);
  for (TensorView* ids : {&p.mask.q_segment_ids, &p.mask.kv_segment_ids})
    if (ids->rank == 2) narrow(*ids, 0, first, count);

  // Masks keep the width of the whole batch.
  int64_t most_rows = 0, most_keys = 0;
  const int64_t batch = Oracle(args, params).batch();
  for (int64_t x = 0; x < batch; ++x) {
    most_keys = std::max(most_keys, paged    ? keys_in_use(args, x)
                                    : ragged ? difference(seq.cu_seqlens_k, x)
                                             : 0);
    most_rows = std::max(most_rows, ragged ? difference(seq.cu_seqlens_q, x) : 0);
  }
  if (a.seq.max_seqlen_q == 0) a.seq.max_seqlen_q = most_rows;
  if (a.seq.max_seqlen_k == 0) a.seq.max_seqlen_k = most_keys;

  if (seq.kv_indptr) {
    const auto [start, n] = positions(a.seq.kv_indptr);
    narrow(a.seq.kv_indices, 0, start, n);
  }
  if (seq.cu_seqlens_k) {
    const auto [start, n] = positions(a.seq.cu_seqlens_k);
    for (TensorView* keys : {&a.k, &a.v, &p.mask.kv_segment_ids})
      if (!paged) narrow(*keys, 0, start, n);
  }
  if (ragged) {
    const auto [start, n] = positions(a.seq.cu_seqlens_q);
    for (TensorView* rows :
         {&a.q, &a.out, &p.mask.q_segment_ids, &a.k_new, &a.v_new, &a.seq.slot_mapping})
      narrow(*rows, 0, start, n);
    narrow(a.lse, 1, start, n);
    return one;
  }
  for (TensorView* rows : {&a.q, &a.out, &a.lse}) narrow(*rows, 0, first, count);
  for (TensorView* keys : {&a.k, &a.v})
    if (!paged) narrow(*keys, 0, first, count);
  const int64_t rows = args.q.dim(1);
  for (TensorView* own : {&a.k_new, &a.v_new, &a.seq.slot_mapping})
    narrow(*own, 0, own->rank == 4 ? first : first * rows, own->rank == 4 ? count : count * rows);
  return one;
}

}  // namespace attend::testing
