#pragma once
#include "ops/common/index_check.h"

namespace attend {

// The entries of a request's page table that some row of it may see: only these ids are looked at,
// by checks and by kernels. None of a request whose other indices are not good.
class LivePages {
 public:
  ATTEND_HD LivePages(const AttentionArgs& a, const AttentionParams& p, int64_t b, bool good)
      : a_(a) {
    if (!good || !is_paged(a)) return;
    s_ = sequence(a, p, b);
    if (s_.q_len == 0) return;
    begin_ = s_.mask.keys(0).begin;
    end_ = s_.mask.keys(s_.q_len - 1).end;
    if (end_ > s_.k_cached) end_ = s_.k_cached;
    if (begin_ >= end_) return;
    table_ = page_table(a, b);
    first_ = begin_ / a.k.dim(1);
    count_ = (end_ - 1) / a.k.dim(1) + 1 - first_;
  }
  ATTEND_HD int64_t count() const { return count_; }

  // Of entry n: no page has its id, and a hole does not hide all of its keys.
  ATTEND_HD bool bad(int64_t n) const {
    const int64_t page = table_.page(first_ + n), size = a_.k.dim(1), from = (first_ + n) * size;
    if (page >= 0 && page < a_.k.dim(0)) return false;
    const int64_t low = from > begin_ ? from : begin_;
    const int64_t high = from + size < end_ ? from + size : end_;
    return !(s_.mask.in_hole(low) && s_.mask.in_hole(high - 1));
  }
  ATTEND_HD ErrorWord word(int64_t n) const {
    const TensorView& table = a_.seq.block_table;
    const int64_t row = table ? s_.b * table.dim(1) : index_at(a_.seq.kv_indptr, s_.b);
    ErrorWord word = bad_index(
        ErrorCode::kOutOfRange, table ? ErrorArgument::kBlockTable : ErrorArgument::kKvIndices,
        row + first_ + n, table_.page(first_ + n), ErrorRule::kPage, a_.k.dim(0));
    if (table) word.inner[0] = table.dim(1);
    return word;
  }

 private:
  const AttentionArgs& a_;
  Sequence s_;
  PageTable table_;
  int64_t begin_ = 0, end_ = 0;  // keys
  int64_t first_ = 0, count_ = 0;
};

}  // namespace attend
