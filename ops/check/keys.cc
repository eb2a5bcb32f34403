#include <string>

#include "ops/check/checker.h"
#include "ops/common/layout.h"

// What k and v look like: rows beside q's, a cache with an element type of its own, or pages.
namespace attend {
namespace {

constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16;

bool quantised(DType dtype) {
  return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2 || dtype == DType::kI8;
}

void check_dtypes(const Checker& c, const AttentionArgs& a, KeyForm keys) {
  if (keys == KeyForm::kRows) {
    c.dtype("k", a.k, {a.q.dtype}, " like q");
    c.dtype("v", a.v, {a.q.dtype}, " like q");
    return;
  }
  c.dtype("k", a.k, {kF32, kF16, kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI8});
  c.dtype("v", a.v, {kF32, kF16, kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI8});
  check_descale(c, "k_descale", a.k_descale, a.k, call_shape(a).batch);
  check_descale(c, "v_descale", a.v_descale, a.v, call_shape(a).batch);
}

// The page table in one of its two forms, and what tells the keys in use.
void check_page_table(const Checker& c, const AttentionArgs& a, int64_t batch) {
  const SeqLayout& s = a.seq;
  const bool csr = s.kv_indptr || s.kv_indices || s.kv_last_page_len;
  if (s.block_table && csr)
    throw_invalid(c.where(),
                  "block_table and kv_indptr are both given, expected one form of page table");
  if (!s.block_table && !csr)
    throw_invalid(c.where(),
                  "block_table is absent, expected a page table; give block_table, or kv_indptr, "
                  "kv_indices and kv_last_page_len");
  if (csr) {
    c.given("kv_indptr", s.kv_indptr, "it with kv_indices and kv_last_page_len");
    c.given("kv_indices", s.kv_indices, "it with kv_indptr and kv_last_page_len");
    c.given("kv_last_page_len", s.kv_last_page_len, "it with kv_indptr and kv_indices");
    c.index("kv_indptr", s.kv_indptr, batch + 1, "batch + 1");
    c.rank("kv_indices", s.kv_indices, 1, "[kv_indptr[batch]]");
    c.dtype("kv_indices", s.kv_indices, {DType::kI32, DType::kI64});
    c.index("kv_last_page_len", s.kv_last_page_len, batch, "batch");
  } else {
    c.rank("block_table", s.block_table, 2, "[batch, max_pages]");
    c.dtype("block_table", s.block_table, {DType::kI32, DType::kI64});
    c.dim("block_table", s.block_table, 0, batch, "batch");
  }
  c.index("context_lens", s.context_lens, batch, "batch");
  c.index("cu_seqlens_k", s.cu_seqlens_k, batch + 1, "batch + 1");
  if (a.k_new && !s.context_lens)
    throw_invalid(
        c.where(),
        "context_lens is absent, expected it with k_new, whose rows come after those keys");
  if (!a.k_new && s.block_table && !s.seqused_k && !s.cu_seqlens_k && !s.context_lens)
    throw_invalid(c.where(),
                  "seqused_k is absent, expected the keys in use behind block_table; give "
                  "seqused_k, cu_seqlens_k or context_lens");
}

void check_new_rows(const Checker& c, const AttentionArgs& a) {
  if (static_cast<bool>(a.k_new) != static_cast<bool>(a.v_new))
    throw_invalid(c.where(), std::string(a.k_new ? "v_new" : "k_new") +
                                 " is absent, expected it with " + (a.k_new ? "k_new" : "v_new"));
  if (a.seq.slot_mapping && !a.k_new)
    throw_invalid(c.where(),
                  "slot_mapping is given without k_new, expected rows to store; give k_new and "
                  "v_new");
  if (!a.k_new) return;
  const bool ragged = static_cast<bool>(a.seq.cu_seqlens_q);
  const int64_t tokens = ragged ? a.q.dim(0) : a.q.dim(0) * a.q.dim(1);
  const auto rows = [&](const char* arg, const TensorView& t, int64_t dim, const char* why) {
    c.dtype(arg, t, {a.q.dtype}, " like q");
    if (!ragged && t.rank == 4) {
      c.dim(arg, t, 0, a.q.dim(0), "batch of q");
      c.dim(arg, t, 1, a.q.dim(1), "seqlen_q of q");
    } else {
      c.rank(arg, t, 3, "[tokens, kv_heads, dim]");
      c.dim(arg, t, 0, tokens, "rows of q");
    }
    c.dim(arg, t, -2, a.k.dim(-2), "kv_heads of k");
    c.dim(arg, t, -1, dim, why);
  };
  rows("k_new", a.k_new, a.k.dim(-1), "head_dim of k");
  rows("v_new", a.v_new, a.v.dim(-1), "v_dim of v");
  if (a.k_new.rank != a.v_new.rank) c.rank("v_new", a.v_new, a.k_new.rank, "like k_new");
  c.index("slot_mapping", a.seq.slot_mapping, tokens, "rows of q");
}

}  // namespace

void check_descale(const Checker& c, const char* arg, const TensorView& t, const TensorView& cache,
                   int64_t batch) {
  if (!t) return;
  if (!quantised(cache.dtype))
    throw_invalid(c.where(), std::string(arg) + " is given for a cache of " + name(cache.dtype) +
                                 ", expected it only with f8_e4m3, f8_e5m2 or i8");
  c.dtype(arg, t, {kF32});
  const int64_t kv_heads = cache.dim(-2);
  if (t.rank == 0 || (t.rank == 1 && t.dim(0) == 1)) return;
  if (t.rank == 2)
    c.dim(arg, t, 0, batch, "batch");
  else
    c.rank(arg, t, 1, "[kv_heads], or 2 [batch, kv_heads], or a scalar");
  c.dim(arg, t, -1, kv_heads, "kv_heads of k");
}

void check_keys(const Checker& c, const AttentionArgs& a, KeyForm keys) {
  const bool ragged = static_cast<bool>(a.seq.cu_seqlens_q) && keys != KeyForm::kPages;
  const bool pages = keys == KeyForm::kPages;
  const int rank = ragged ? 3 : 4;
  c.rank("k", a.k, rank,
         pages    ? "[pages, page_size, kv_heads, head_dim]"
         : ragged ? "[total_k, kv_heads, head_dim], as cu_seqlens_q is given"
                  : "[batch, seqlen_k, kv_heads, head_dim]");
  c.rank("v", a.v, rank,
         pages    ? "[pages, page_size, kv_heads, v_dim]"
         : ragged ? "[total_k, kv_heads, v_dim], as cu_seqlens_q is given"
                  : "[batch, seqlen_k, kv_heads, v_dim]");
  check_dtypes(c, a, keys);
  c.dim("k", a.k, -1, a.q.dim(-1), "head_dim of q");
  if (!pages && !ragged) {
    c.dim("k", a.k, 0, a.q.dim(0), "batch of q");
    c.dim("v", a.v, 0, a.q.dim(0), "batch of q");
  }
  if (pages) {
    c.dim("v", a.v, 0, a.k.dim(0), "pages of k");
    if (a.k.dim(1) < 1) throw_invalid(c.where(), "k page_size is 0, expected 1 or more");
  }
  c.dim("v", a.v, rank - 3, a.k.dim(rank - 3),
        pages    ? "page_size of k"
        : ragged ? "total_k of k"
                 : "seqlen_k of k");
  c.dim("v", a.v, -2, a.k.dim(-2), "kv_heads of k");
  c.dim("out", a.out, -1, a.v.dim(-1), "v_dim of v");
  const int64_t heads = a.q.dim(-2), kv_heads = a.k.dim(-2);
  if (kv_heads == 0 ? heads != 0 : heads % kv_heads != 0)
    throw_invalid(c.where(), "q heads is " + str(heads) +
                                 ", expected a multiple of kv_heads of k, " + str(kv_heads));
  if (heads == 0 && kv_heads > 0)
    throw_invalid(c.where(),
                  "q heads is 0, expected 1 or more, as kv_heads of k is " + str(kv_heads));
  if (a.v.dim(-1) < 1) throw_invalid(c.where(), "v v_dim is 0, expected 1 or more");
  if (keys == KeyForm::kCache) {
    c.index("start", a.seq.start, a.q.dim(0), "batch of q");
    c.index("end", a.seq.end, a.q.dim(0), "batch of q");
  }
  if (!pages) return;
  check_page_table(c, a, call_shape(a).batch);
  check_new_rows(c, a);
}

}  // namespace attend
