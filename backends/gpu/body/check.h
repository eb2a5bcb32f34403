#pragma once
// The index tensors of a call, checked by content before its kernels run (contract 6).
//
//   team     32 threads, one request: all of them read its few lengths (check_words.h); its page
//            ids and slots are shared out, and the first bad one in their order is found by
//            exchange; kCheckRequests teams a block
//   result   skip and the first bad index of every request; the block that finishes last looks
//            for the lowest request with one and records it: the same word on every run
//   reads    nothing that a bad index leads to
#include "backends/gpu/body/check_words.h"
#include "backends/gpu/call/check.h"
#include "ops/common/pages.h"

namespace attend::gpu {

// The request of this thread's team. Teams without one look at the last and write nothing.
struct CheckedRequest {
  int64_t b;
  int lane;
  bool live;

  ATTEND_DEVICE CheckedRequest(Thread& x, int64_t requests) : lane(x.tid() % kCheckTeam) {
    const int64_t at = int64_t{x.block().x} * kCheckRequests + x.tid() / kCheckTeam;
    live = at < requests;
    b = live ? at : requests - 1;
  }
};

// The least of a team's values; every thread of the block calls.
ATTEND_DEVICE int32_t team_least(Thread& x, int32_t value) {
  for (int mask = kCheckTeam / 2; mask > 0; mask /= 2) {
    const int32_t other = x.shfl_xor(value, mask);
    value = other < value ? other : value;
  }
  return value;
}

// The lowest n in [0, count) for which bad(n), shared out over a team; count if there is none.
template <class Bad>
ATTEND_DEVICE int64_t first_bad(Thread& x, int lane, int64_t count, Bad&& bad) {
  int64_t found = count;
  for (int64_t n = lane; n < count && found == count; n += kCheckTeam)
    if (bad(n)) found = n;
  return team_least(x, static_cast<int32_t>(found));
}

// Records what each request of this block has; the last block to come here hands the lowest on.
ATTEND_DEVICE void report(Thread& x, const CheckResult& to, const CheckedRequest& r,
                          const ErrorWord& bad) {
  if (r.live && r.lane == 0) {
    to.skip[r.b] = bad.code != 0;
    to.first[r.b] = bad;
  }
  x.fence();
  x.sync();
  auto* const last = reinterpret_cast<int32_t*>(x.shared());
  if (x.tid() == 0) *last = x.atomic_add(to.done, 1) == to.blocks - 1;
  x.sync();
  if (*last == 0) return;
  x.fence();
  const int64_t lowest =
      first_bad(x, r.lane, to.requests, [&](int64_t b) { return to.skip[b] != 0; });
  if (x.tid() == 0 && lowest < to.requests && to.error->code == 0) *to.error = to.first[lowest];
}

// The rows of a request in slot_mapping; none of one whose lengths are bad.
struct SlotRows {
  int64_t first = 0, count = 0;

  ATTEND_DEVICE SlotRows(const AttentionArgs& a, const AttentionParams& p, int64_t b) {
    if (!a.seq.slot_mapping) return;
    first = b;
    count = 1;
    if (!a.q) return;
    count = 0;
    if (WordCheck(a, p, b).bad().code != 0) return;
    first = first_new_row(a, b);
    count = query_rows(a, b);
  }
};

struct CheckAttention {
  using Args = CheckAttentionCall;
  static constexpr int kThreads = kCheckAttention.threads;

  static ATTEND_DEVICE void run(Thread& x, const CheckAttentionCall& call) {
    const AttentionArgs& a = call.args;
    const CheckedRequest r(x, call.result.requests);
    ErrorWord bad = WordCheck(a, call.params, r.b).bad();
    look(x, r, bad, live_pages(a, call.params, r.b, bad.code == 0));
    look(x, r, bad, slots(call, r.b));
    report(x, call.result, r, bad);
  }

 private:
  // The entries of a page table that some row of the request may need.
  struct LivePages {
    const AttentionArgs& a;
    Sequence s;
    PageTable table;
    int64_t begin = 0, end = 0;  // keys
    int64_t first = 0, count = 0;

    ATTEND_DEVICE bool bad(int64_t n) const {
      const int64_t page = table.page(first + n), size = a.k.dim(1), from = (first + n) * size;
      if (page >= 0 && page < a.k.dim(0)) return false;
      const int64_t low = from > begin ? from : begin, high = from + size < end ? from + size : end;
      return !(s.mask.in_hole(low) && s.mask.in_hole(high - 1));
    }
    ATTEND_DEVICE ErrorWord word(int64_t n) const {
      const int64_t row =
          a.seq.block_table ? s.b * a.seq.block_table.dim(1) : index_at(a.seq.kv_indptr, s.b);
      return bad_index(ErrorCode::kOutOfRange,
                       a.seq.block_table ? ErrorArgument::kBlockTable : ErrorArgument::kKvIndices,
                       row + first + n, table.page(first + n));
    }
  };
  static ATTEND_DEVICE LivePages live_pages(const AttentionArgs& a, const AttentionParams& p,
                                            int64_t b, bool good) {
    LivePages pages{a, {}, {}};
    if (!good || !a.q || !is_paged(a)) return pages;
    pages.s = sequence(a, p, b);
    if (pages.s.q_len == 0) return pages;
    pages.table = page_table(a, b);
    pages.begin = pages.s.mask.keys(0).begin;
    pages.end = pages.s.mask.keys(pages.s.q_len - 1).end;
    if (pages.end > pages.s.k_cached) pages.end = pages.s.k_cached;
    if (pages.begin >= pages.end) return pages;
    pages.first = pages.begin / a.k.dim(1);
    pages.count = (pages.end - 1) / a.k.dim(1) + 1 - pages.first;
    return pages;
  }

  struct Slots {
    const CheckAttentionCall& call;
    int64_t b;
    int64_t first, count;

    ATTEND_DEVICE int64_t at(int64_t token) const {
      return index_at(call.args.seq.slot_mapping, token);
    }
    ATTEND_DEVICE bool outside(int64_t slot) const {
      return slot >= call.args.k.dim(0) * call.args.k.dim(1);
    }
    ATTEND_DEVICE bool bad(int64_t n) const {
      const int64_t slot = at(first + n);
      return slot >= 0 && (outside(slot) || (call.result.duplicates && taken(slot, n)));
    }
    // By an earlier row that is stored, of this request or another.
    ATTEND_DEVICE bool taken(int64_t slot, int64_t n) const {
      for (int64_t c = 0; c <= b; ++c) {
        const SlotRows other(call.args, call.params, c);
        const int64_t rows_before = c < b ? other.count : n;
        for (int64_t i = 0; i < rows_before; ++i)
          if (at(other.first + i) == slot) return true;
      }
      return false;
    }
    ATTEND_DEVICE ErrorWord word(int64_t n) const {
      const int64_t slot = at(first + n);
      return bad_index(outside(slot) ? ErrorCode::kOutOfRange : ErrorCode::kInvalidArgument,
                       ErrorArgument::kSlotMapping, first + n, slot);
    }
  };
  static ATTEND_DEVICE Slots slots(const CheckAttentionCall& call, int64_t b) {
    const SlotRows rows(call.args, call.params, b);
    return {call, b, rows.first, rows.count};
  }

  // Looks through a list unless something bad has been found.
  template <class List>
  static ATTEND_DEVICE void look(Thread& x, const CheckedRequest& r, ErrorWord& bad,
                                 const List& list) {
    const int64_t count = bad.code == 0 ? list.count : 0;
    const int64_t n = first_bad(x, r.lane, count, [&](int64_t i) { return list.bad(i); });
    if (n < count) bad = list.word(n);
  }
};

// A gdn call: cu_seqlens, and the slots of its sequences.
struct CheckGdn {
  using Args = CheckGdnCall;
  static constexpr int kThreads = kCheckGdn.threads;

  static ATTEND_DEVICE void run(Thread& x, const CheckGdnCall& call) {
    const CheckedRequest r(x, call.result.requests);
    ErrorWord bad{};
    if (call.args.cu_seqlens)
      bad =
          bad_cumulative(call.args.cu_seqlens, ErrorArgument::kCuSeqlensQ, r.b, call.shape.rows, 0);
    if (call.args.state_indices && bad.code == 0) bad = bad_slot(call, r.b);
    report(x, call.result, r, bad);
  }

 private:
  static ATTEND_DEVICE ErrorWord bad_slot(const CheckGdnCall& call, int64_t b) {
    const GdnArgs& a = call.args;
    const TensorView& pool = a.state ? a.state : a.final_state ? a.final_state : a.conv_state;
    const int64_t slot = index_at(a.state_indices, b);
    if (slot < 0 || slot >= pool.dim(0))
      return bad_index(ErrorCode::kOutOfRange, ErrorArgument::kStateIndices, b, slot);
    if (!call.result.duplicates || slot == call.padding_slot) return {};
    for (int64_t c = 0; c < b; ++c)
      if (index_at(a.state_indices, c) == slot)
        return bad_index(ErrorCode::kInvalidArgument, ErrorArgument::kStateIndices, b, slot);
    return {};
  }
};

}  // namespace attend::gpu
