#pragma once
#include <algorithm>

#include "backends/native/convert.h"
#include "backends/native/tile_worker.h"
#include "ops/common/layout.h"

namespace attend::native {

// Where the keys of one sequence and kv head are, in k or in v: rows side by side, in pages, or
// among the call's own new rows. A tile of keys is read through pointers to its rows.
class KeyRows {
 public:
  KeyRows(const AttentionArgs& a, const Sequence& s, int64_t kv_head, const TensorView& cache,
          const TensorView& own, const TensorView& descale)
      : cached_(s.k_cached), scale_(descale_of(descale, s.b, kv_head)) {
    if (is_paged(a)) {
      pages_ = page_table(a, s.b);
      page_size_ = cache.dim(1);
      page_bytes_ = cache.stride[0] * size_bytes(cache.dtype);
      head_stride_ = cache.stride[2];
      cache_ = {element(cache, kv_head * cache.stride[2]), cache.stride[1], 0, cache.stride[3],
                cache.dtype};
    } else {
      cache_ = rows_of(cache, s.b, s.k_first);
      head_stride_ = cache_.head;
      cache_.base = cache_.at(0, kv_head);
    }
    if (!own) return;
    own_ = rows_of(own, own.rank == 4 ? s.b : 0, own.rank == 4 ? 0 : first_new_row(a, s.b));
    own_.base = own_.at(0, kv_head);
    one_format_ = own_.dtype == cache_.dtype && own_.dim == cache_.dim && scale_ == 1.0f;
  }

  // Writes the addresses of keys [begin, end) to rows.
  void locate(int64_t begin, int64_t end, const void** rows) const {
    const int64_t last_cached = std::min(end, cached_);
    for (; begin < last_cached && page_size_ > 0;) {
      const int64_t page = begin / page_size_, offset = begin % page_size_;
      const int64_t count = std::min(last_cached - begin, page_size_ - offset);
      const std::byte* base = cache_.base + pages_.page(page) * page_bytes_;
      for (int64_t n = 0; n < count; ++n)
        *rows++ = base + (offset + n) * cache_.row * size_bytes(cache_.dtype);
      begin += count;
    }
    for (; begin < last_cached; ++begin) *rows++ = cache_.at(begin, 0);
    for (; begin < end; ++begin) *rows++ = own_.at(begin - cached_, 0);
  }

  // The located keys [begin, end) as the tiles take them. Where cached and own rows differ in
  // format, or elements must be adjacent and are not, they are brought to one form in `staged`,
  // which holds `dim` floats a key.
  RowPointers pointers(int64_t begin, int64_t end, const void** rows, int64_t dim, float* staged,
                       bool adjacent) const {
    const bool mixed = begin < cached_ && end > cached_ && !one_format_;
    const RowsView& first = begin < cached_ ? cache_ : own_;
    const float scale = begin < cached_ ? scale_ : 1.0f;
    if (!mixed && (!adjacent || first.dim == 1))
      return {rows, first.dim, elem_of(first.dtype), scale};
    const bool convert = mixed && (own_.dtype != cache_.dtype || scale_ != 1.0f);
    const DType to = convert ? DType::kF32 : first.dtype;
    auto* at = reinterpret_cast<std::byte*>(staged);
    for (int64_t j = begin; j < end; ++j, at += dim * static_cast<int64_t>(sizeof(float))) {
      const void*& row = rows[j - begin];
      if (row == nullptr) continue;
      stage(static_cast<const std::byte*>(row), j < cached_ ? cache_ : own_,
            convert && j < cached_ ? scale_ : 1.0f, dim, at, to);
      row = at;
    }
    return {rows, 1, elem_of(to), convert ? 1.0f : scale};
  }

  // Bytes of a row that lie together, 0 where its elements do not.
  int64_t row_bytes(int64_t dim) const {
    const bool own_differs = own_.base != nullptr && (own_.dim != 1 || own_.dtype != cache_.dtype);
    return cache_.dim == 1 && !own_differs ? dim * size_bytes(cache_.dtype) : 0;
  }
  // Whether the rows of one key lie side by side, head by head.
  bool heads_adjacent(int64_t dim) const {
    return head_stride_ == dim && (own_.base == nullptr || own_.head == dim) && row_bytes(dim) != 0;
  }

 private:
  static void stage(const std::byte* row, const RowsView& from, float scale, int64_t dim,
                    std::byte* at, DType to) {
    const int64_t size = size_bytes(from.dtype), step = from.dim * size;
    for (int64_t d = 0; d < dim; ++d)
      if (from.dtype == to)
        std::memcpy(at + d * size, row + d * step, static_cast<size_t>(size));
      else
        store(at + d * size_bytes(to), to, load(row + d * step, from.dtype) * scale);
  }

  int64_t cached_ = 0;
  float scale_ = 1.0f;
  RowsView cache_, own_;  // of one kv head
  bool one_format_ = true;
  PageTable pages_;
  int64_t page_size_ = 0, page_bytes_ = 0;  // page_size 0 = no pages
  int64_t head_stride_ = 0;
};

}  // namespace attend::native
