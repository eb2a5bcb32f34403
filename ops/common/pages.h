#pragma once
#include <cstdint>

#include "attend/kernel.h"
#include "ops/common/index.h"

// Where the keys of a paged call are: in the pages that a table names, then in the call's own rows.
namespace attend {

ATTEND_HD bool is_paged(const AttentionArgs& a) { return a.seq.block_table || a.seq.kv_indptr; }

// The pages of one sequence, in the order of its keys.
struct PageTable {
  IndexVector ids;
  int64_t count = 0;  // entries; of a block_table not all of them are live

  ATTEND_HD int64_t page(int64_t n) const { return index_at(ids, n); }
};

ATTEND_HD PageTable page_table(const AttentionArgs& a, int64_t b) {
  const SeqLayout& s = a.seq;
  PageTable table;
  const TensorView& ids = s.block_table ? s.block_table : s.kv_indices;
  int64_t first = 0;
  if (s.block_table) {
    first = b * ids.stride[0];
    table.ids.stride = ids.stride[1];
    table.count = ids.shape[1];
  } else {
    first = index_at(s.kv_indptr, b) * ids.stride[0];
    table.ids.stride = ids.stride[0];
    table.count = length_at(s.kv_indptr, b);
  }
  table.ids.data = static_cast<const std::byte*>(ids.data) + first * size_bytes(ids.dtype);
  table.ids.wide = ids.dtype == DType::kI64;
  return table;
}

// Keys that a sequence's table has room for; in CSR form, that it holds.
ATTEND_HD int64_t table_keys(const AttentionArgs& a, int64_t b) {
  const SeqLayout& s = a.seq;
  const int64_t page_size = a.k.dim(1);
  if (s.block_table) return s.block_table.dim(1) * page_size;
  const int64_t pages = length_at(s.kv_indptr, b);
  if (pages == 0) return 0;
  // As in length_at: contents may not have been checked.
  const auto full = (static_cast<uint64_t>(pages) - 1) * static_cast<uint64_t>(page_size);
  return static_cast<int64_t>(full + static_cast<uint64_t>(index_at(s.kv_last_page_len, b)));
}

// Rows of q in use.
ATTEND_HD int64_t query_rows(const AttentionArgs& a, int64_t b) {
  const SeqLayout& s = a.seq;
  if (s.seqused_q) return index_at(s.seqused_q, b);
  return s.cu_seqlens_q ? length_at(s.cu_seqlens_q, b) : a.q.dim(1);
}

// Of a sequence's own rows in k_new, v_new and slot_mapping, counted in tokens.
ATTEND_HD int64_t first_new_row(const AttentionArgs& a, int64_t b) {
  return a.seq.cu_seqlens_q ? index_at(a.seq.cu_seqlens_q, b) : b * a.q.dim(1);
}

// Keys of one sequence: those in the pages, then its own rows.
struct PagedKeys {
  int64_t cached = 0, own = 0;
  ATTEND_HD int64_t total() const { return sum(cached, own); }
  // Asked before contents are checked, too: whatever stands there must not overflow.
  ATTEND_HD static int64_t sum(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
};

ATTEND_HD PagedKeys paged_keys(const AttentionArgs& a, int64_t b) {
  const SeqLayout& s = a.seq;
  if (a.k_new) return {index_at(s.context_lens, b), query_rows(a, b)};
  if (s.seqused_k) return {index_at(s.seqused_k, b), 0};
  if (s.cu_seqlens_k) return {length_at(s.cu_seqlens_k, b), 0};
  // The rows that stand behind these keys were stored before the call.
  if (s.context_lens) return {PagedKeys::sum(index_at(s.context_lens, b), query_rows(a, b)), 0};
  return {table_keys(a, b), 0};
}

}  // namespace attend
