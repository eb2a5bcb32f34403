#include "tests/support/oracle_keys.h"

#include "tests/support/element.h"

namespace attend::testing {
namespace {

bool paged(const AttentionArgs& a) { return a.seq.block_table || a.seq.kv_indptr; }

int64_t difference(const TensorView& cu, int64_t b) {
  return load_int(cu, b + 1) - load_int(cu, b);
}

// The page that holds a request's keys from number n * page_size on.
int64_t page_of(const AttentionArgs& a, int64_t b, int64_t n) {
  if (a.seq.block_table) return static_cast<int64_t>(load(a.seq.block_table, {b, n}));
  return load_int(a.seq.kv_indices, load_int(a.seq.kv_indptr, b) + n);
}

// Keys that precede the call's own rows.
int64_t cached_keys(const AttentionArgs& a, int64_t b) {
  const SeqLayout& s = a.seq;
  if (a.k_new) return load_int(s.context_lens, b);
  if (s.seqused_k) return load_int(s.seqused_k, b);
  if (s.cu_seqlens_k) return difference(s.cu_seqlens_k, b);
  if (s.context_lens) return load_int(s.context_lens, b) + rows_in_use(a, b);
  const int64_t pages = difference(s.kv_indptr, b);
  return pages == 0 ? 0 : (pages - 1) * a.k.dim(1) + load_int(s.kv_last_page_len, b);
}

// own is k_new or v_new.
StoredElement element_of(const AttentionArgs& a, const TensorView& cache, const TensorView& own,
                         const TensorView& descale, int64_t b, int64_t j, int64_t h, int64_t e) {
  if (own && j >= cached_keys(a, b)) {
    const int64_t t = j - cached_keys(a, b);
    if (own.rank == 4) return {own.dtype, address_of(own, {b, t, h, e}), 1};
    const int64_t first = a.seq.cu_seqlens_q ? load_int(a.seq.cu_seqlens_q, b) : b * a.q.dim(1);
    return {own.dtype, address_of(own, {first + t, h, e}), 1};
  }
  const double scale = descale_of(descale, b, h);
  if (!paged(a)) return {cache.dtype, row_address(cache, a.seq.cu_seqlens_k, b, j, h, e), scale};
  const int64_t page_size = cache.dim(1), page = page_of(a, b, j / page_size);
  return {cache.dtype, address_of(cache, {page, j % page_size, h, e}), scale};
}

}  // namespace

void* row_address(const TensorView& t, const TensorView& cu_seqlens, int64_t b, int64_t s,
                  int64_t h, int64_t e) {
  if (cu_seqlens) return address_of(t, {load_int(cu_seqlens, b) + s, h, e});
  return address_of(t, {b, s, h, e});
}

double descale_of(const TensorView& descale, int64_t b, int64_t h) {
  if (!descale.data) return 1;
  if (descale.rank == 2) return load(descale, {b, h});
  return descale.rank == 1 && descale.dim(0) > 1 ? load(descale, {h}) : load(descale, {0});
}

int64_t rows_in_use(const AttentionArgs& a, int64_t b) {
  if (a.seq.seqused_q) return load_int(a.seq.seqused_q, b);
  return a.seq.cu_seqlens_q ? difference(a.seq.cu_seqlens_q, b) : a.q.dim(1);
}

int64_t keys_in_use(const AttentionArgs& a, int64_t b) {
  if (paged(a)) return cached_keys(a, b) + (a.k_new ? rows_in_use(a, b) : 0);
  if (a.seq.end) return load_int(a.seq.end, b);
  if (a.seq.seqused_k) return load_int(a.seq.seqused_k, b);
  return a.seq.cu_seqlens_k ? difference(a.seq.cu_seqlens_k, b) : a.k.dim(1);
}

StoredElement key_element(const AttentionArgs& a, int64_t b, int64_t j, int64_t h, int64_t e) {
  return element_of(a, a.k, a.k_new, a.k_descale, b, j, h, e);
}
StoredElement value_element(const AttentionArgs& a, int64_t b, int64_t j, int64_t h, int64_t e) {
  return element_of(a, a.v, a.v_new, a.v_descale, b, j, h, e);
}

}  // namespace attend::testing
