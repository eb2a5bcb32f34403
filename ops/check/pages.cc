#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ops/check/indices.h"
#include "ops/common/layout.h"

namespace attend {
namespace {

// The CSR form says by itself how many pages and keys each sequence has.
void check_csr(const char* where, const AttentionArgs& a, int64_t batch) {
  const SeqLayout& s = a.seq;
  check_cumulative(where, "kv_indptr", s.kv_indptr, s.kv_indices.dim(0), 0);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t pages = index_at(s.kv_indptr, b + 1) - index_at(s.kv_indptr, b),
                  last = index_at(s.kv_last_page_len, b);
    const int64_t low = pages == 0 ? 0 : 1, high = pages == 0 ? 0 : a.k.dim(1);
    if (last < low || last > high)
      out_of_range(where, at("kv_last_page_len", b) + " is " + std::to_string(last) +
                              ", expected " +
                              (pages == 0 ? std::string("0, as the request has no page")
                                          : "1 to " + std::to_string(high) + ", page_size of k"));
  }
}

// Every word that tells the keys of sequence b tells the same, and the table has room for them.
void check_lengths(const char* where, const AttentionArgs& a, int64_t b) {
  const SeqLayout& s = a.seq;
  const int64_t room = table_keys(a, b), own = a.k_new ? query_rows(a, b) : 0;
  const auto within = [&](const char* arg, const TensorView& t, int64_t most) {
    if (const int64_t n = t ? index_at(t, b) : 0; n < 0 || n > most)
      out_of_range(where, at(arg, b) + " is " + std::to_string(n) + ", expected 0 to " +
                              std::to_string(most) + ", which the page table" +
                              (own > 0 ? " and the new rows hold" : " holds"));
  };
  within("seqused_k", s.seqused_k, room + own);
  within("context_lens", s.context_lens, room);
  const PagedKeys keys = paged_keys(a, b);
  if (keys.cached > room)
    out_of_range(where, "keys of sequence " + std::to_string(b) + " in the pages are " +
                            std::to_string(keys.cached) + ", expected at most " +
                            std::to_string(room) + ", which its page table holds");
  if (s.max_seqlen_k > 0 && keys.total() > s.max_seqlen_k)
    out_of_range(where, "keys of sequence " + std::to_string(b) + " are " +
                            std::to_string(keys.total()) + ", expected at most max_seqlen_k " +
                            std::to_string(s.max_seqlen_k));
  const auto agrees = [&](const char* arg, int64_t told) {
    if (told != keys.total())
      throw_invalid(where, std::string(arg) + " gives sequence " + std::to_string(b) + " " +
                               std::to_string(told) + " keys, expected " +
                               std::to_string(keys.total()) +
                               " as the call's other words tell; give one of them");
  };
  if (s.seqused_k) agrees("seqused_k", index_at(s.seqused_k, b));
  if (s.cu_seqlens_k)
    agrees("cu_seqlens_k", index_at(s.cu_seqlens_k, b + 1) - index_at(s.cu_seqlens_k, b));
  if (s.context_lens) agrees("context_lens", index_at(s.context_lens, b) + query_rows(a, b));
}

// Pages that some row may see are live: only their ids are looked at, here and by kernels.
void check_live_pages(const char* where, const AttentionArgs& a, const Sequence& s) {
  if (s.q_len == 0) return;
  const int64_t page_size = a.k.dim(1), pages = a.k.dim(0);
  const int64_t begin = s.mask.keys(0).begin,
                end = std::min(s.mask.keys(s.q_len - 1).end, s.k_cached);
  const PageTable table = page_table(a, s.b);
  for (int64_t n = begin / page_size; n * page_size < end; ++n) {
    const int64_t page = table.page(n);
    if (page >= 0 && page < pages) continue;
    if (s.mask.in_hole(std::max(begin, n * page_size)) &&
        s.mask.in_hole(std::min(end, (n + 1) * page_size) - 1))
      continue;
    const std::string entry = a.seq.block_table
                                  ? at("block_table", s.b) + "[" + std::to_string(n) + "]"
                                  : at("kv_indices", index_at(a.seq.kv_indptr, s.b) + n);
    out_of_range(where, entry + " is " + std::to_string(page) + ", expected 0 <= page < " +
                            std::to_string(pages) + " (pages in k)");
  }
}

}  // namespace

void check_pages(const char* where, const AttentionArgs& a, const AttentionParams& p) {
  const int64_t batch = call_shape(a).batch;
  if (a.seq.kv_indptr) check_csr(where, a, batch);
  if (a.seq.cu_seqlens_k)
    check_cumulative(where, "cu_seqlens_k", a.seq.cu_seqlens_k, INT64_MAX, a.seq.max_seqlen_k);
  for (int64_t b = 0; b < batch; ++b) {
    check_lengths(where, a, b);
    check_live_pages(where, a, sequence(a, p, b));
  }
  check_slots(where, a);
}

void check_slots(const char* where, const AttentionArgs& a) {
  if (!a.seq.slot_mapping) return;
  const int64_t slots = a.k.dim(0) * a.k.dim(1);
  std::vector<std::pair<int64_t, int64_t>> live;  // (slot, token)
  const auto look_at = [&](int64_t token) {
    const int64_t slot = index_at(a.seq.slot_mapping, token);
    if (slot < 0) return;
    if (slot >= slots)
      out_of_range(where, at("slot_mapping", token) + " is " + std::to_string(slot) +
                              ", expected below " + std::to_string(slots) +
                              " (pages x page_size of k), or negative");
    live.emplace_back(slot, token);
  };
  if (a.q) {
    for (int64_t b = 0; b < call_shape(a).batch; ++b)
      for (int64_t t = 0, first = first_new_row(a, b); t < query_rows(a, b); ++t)
        look_at(first + t);
  } else {
    for (int64_t t = 0; t < a.seq.slot_mapping.dim(0); ++t) look_at(t);
  }
  std::sort(live.begin(), live.end());
  for (size_t i = 1; i < live.size(); ++i)
    if (live[i].first == live[i - 1].first)
      throw_invalid(where, at("slot_mapping", live[i].second) + " is " +
                               std::to_string(live[i].first) + ", expected a slot of its own; " +
                               at("slot_mapping", live[i - 1].second) + " has it");
}

}  // namespace attend
