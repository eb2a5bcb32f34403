#pragma once
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"
#include "ops/common/layout.h"

namespace attend::gpu {

// Where the keys of one sequence and kv head are, in k or in v: rows side by side, in pages, or
// among the call's own new rows.
struct KeyRows {
  RowsView cache, own;  // of one kv head
  int64_t cached = 0;   // keys before it are in the cache
  float scale = 1.0f;   // of what the cache holds
  PageTable pages;
  int64_t page_size = 0, page_bytes = 0;  // page_size 0 = no pages

  KeyRows() = default;
  ATTEND_DEVICE KeyRows(const AttentionArgs& a, const Sequence& s, int64_t kv_head,
                        const TensorView& in, const TensorView& new_rows, const TensorView& descale)
      : cached(s.k_cached), scale(descale_of(descale, s.b, kv_head)) {
    if (is_paged(a)) {
      pages = page_table(a, s.b);
      page_size = in.shape[1];
      page_bytes = in.stride[0] * size_bytes(in.dtype);
      cache = {element(in, kv_head * in.stride[2]), in.stride[1], 0, in.stride[3], in.dtype};
    } else {
      cache = rows_of(in, s.b, s.k_first);
      cache.base = cache.at(0, kv_head);
    }
    if (!new_rows) return;
    const bool batched = new_rows.rank == 4;
    own = rows_of(new_rows, batched ? s.b : 0, batched ? 0 : first_new_row(a, s.b));
    own.base = own.at(0, kv_head);
  }

  ATTEND_DEVICE bool is_own(int64_t j) const { return j >= cached; }
  // Element 0 of key j.
  ATTEND_DEVICE const std::byte* row(int64_t j) const {
    if (is_own(j)) return own.at(j - cached, 0);
    if (page_size == 0) return cache.at(j, 0);
    return cache.base + pages.page(j / page_size) * page_bytes +
           j % page_size * cache.row * size_bytes(cache.dtype);
  }
  // Element d of the row that row(j) gave, widened and descaled.
  ATTEND_DEVICE float value(const std::byte* row, bool own_row, int64_t d) const {
    const RowsView& from = own_row ? own : cache;
    const float x = load(row + d * from.dim * size_bytes(from.dtype), from.dtype);
    return own_row ? x : x * scale;
  }
};

}  // namespace attend::gpu
