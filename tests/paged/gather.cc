#include "tests/paged/gather.h"

#include <algorithm>
#include <cstring>

#include "tests/support/element.h"
#include "tests/support/oracle.h"
#include "tests/support/oracle_keys.h"

namespace attend::testing {

std::unique_ptr<Gathered> gather(const AttentionArgs& args, const AttentionParams& params) {
  if (args.k_new && (args.k.dtype != args.q.dtype || args.v.dtype != args.q.dtype)) return nullptr;
  auto g = std::make_unique<Gathered>();
  g->args = args;
  g->params = params;
  const Oracle oracle(args, params);
  const bool ragged = bool(args.seq.cu_seqlens_q);
  int64_t width = args.seq.max_seqlen_k, total = 0;
  for (int64_t b = 0; b < oracle.batch(); ++b) {
    total += oracle.seqlen_k(b);
    if (args.seq.max_seqlen_k == 0) width = std::max(width, oracle.seqlen_k(b));
  }
  const int64_t rows = ragged ? total : oracle.batch() * width;
  const auto contiguous_rows = [&](std::vector<std::byte>& memory, DType dtype, int64_t dim) {
    memory.assign(static_cast<size_t>(rows * oracle.kv_heads() * dim * size_bytes(dtype)),
                  std::byte{0xFF});  // NaN in every float format
    return ragged
               ? contiguous(memory.data(), dtype, {total, oracle.kv_heads(), dim})
               : contiguous(memory.data(), dtype, {oracle.batch(), width, oracle.kv_heads(), dim});
  };
  g->args.k = contiguous_rows(g->k, args.k.dtype, oracle.head_dim());
  g->args.v = contiguous_rows(g->v, args.v.dtype, oracle.v_dim());

  int64_t first = 0;
  if (ragged) g->keys.push_back(0);
  for (int64_t b = 0; b < oracle.batch(); ++b) {
    const int64_t n = oracle.seqlen_k(b);
    const auto copy = [&](const TensorView& to, auto&& element) {
      for (int64_t j = 0; j < n; ++j)
        for (int64_t h = 0; h < oracle.kv_heads(); ++h)
          for (int64_t e = 0; e < to.dim(-1); ++e)
            std::memcpy(ragged ? address_of(to, {first + j, h, e}) : address_of(to, {b, j, h, e}),
                        element(args, b, j, h, e).address,
                        static_cast<size_t>(size_bytes(to.dtype)));
    };
    copy(g->args.k, key_element);
    copy(g->args.v, value_element);
    first += n;
    g->keys.push_back(ragged ? first : n);
    for (int64_t j = 0; params.mask.kv_segment_ids && j < (ragged ? n : width); ++j)
      g->kv_segment_ids.push_back(static_cast<int64_t>(load(params.mask.kv_segment_ids, {b, j})));
  }

  SeqLayout& seq = g->args.seq;
  seq.block_table = seq.kv_indptr = seq.kv_indices = seq.kv_last_page_len = {};
  seq.context_lens = seq.slot_mapping = seq.seqused_k = seq.cu_seqlens_k = {};
  g->args.k_new = g->args.v_new = {};
  const auto lengths =
      contiguous(g->keys.data(), DType::kI64, {static_cast<int64_t>(g->keys.size())});
  (ragged ? seq.cu_seqlens_k : seq.seqused_k) = lengths;
  if (ragged) seq.max_seqlen_k = width;
  if (params.mask.kv_segment_ids) {
    TensorView& ids = g->params.mask.kv_segment_ids;
    ids = ragged ? contiguous(g->kv_segment_ids.data(), DType::kI64, {total})
                 : contiguous(g->kv_segment_ids.data(), DType::kI64, {oracle.batch(), width});
  }
  return g;
}

}  // namespace attend::testing
