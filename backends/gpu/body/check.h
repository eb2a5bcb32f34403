#pragma once
// The index tensors and gates of a call, checked by content before its kernels run (contract 6).
//
//   team     32 threads, one request: all of them read its few lengths (ops/common/index_check.h);
//            its page ids, slots and rows of gates are shared out, and the first bad one in their order is found by
//            exchange; kCheckRequests teams a block
//   result   skip and the first bad index of every request; the block that finishes last looks
//            for the lowest request with one and records it: the same word on every run
//   reads    nothing that a bad index leads to
#include "backends/gpu/call/check.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/live_pages.h"
#include "ops/gdn/contents.h"

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

// Looks through a request's list unless something bad has been found.
template <class List>
ATTEND_DEVICE void look(Thread& x, const CheckedRequest& r, ErrorWord& bad, const List& list) {
  const int64_t count = bad.code == 0 ? list.count() : 0;
  const int64_t n = first_bad(x, r.lane, count, [&](int64_t i) { return list.bad(i); });
  if (n < count) bad = list.word(n);
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

  ATTEND_DEVICE SlotRows(const CheckAttentionCall& call, int64_t b) {
    const AttentionArgs& a = call.args;
    if (!a.seq.slot_mapping) return;
    first = b;
    count = 1;
    if (!a.q) return;
    count = 0;
    if (WordCheck(a, call.params, b, call.most).bad().code != 0) return;
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
    ErrorWord bad = WordCheck(a, call.params, r.b, call.most).bad();
    if (a.q && is_paged(a)) look(x, r, bad, LivePages(a, call.params, r.b, bad.code == 0));
    look(x, r, bad, slots(call, r.b));
    report(x, call.result, r, bad);
  }

 private:
  // The rows of a request that are stored, or a token of append.
  struct Slots {
    const CheckAttentionCall& call;
    int64_t b;
    int64_t first, number;

    ATTEND_DEVICE int64_t count() const { return number; }
    ATTEND_DEVICE int64_t at(int64_t token) const {
      return index_at(call.args.seq.slot_mapping, token);
    }
    ATTEND_DEVICE bool bad(int64_t n) const {
      return bad_slot(call.args, first + n).code != 0 ||
             (call.result.duplicates && at(first + n) >= 0 && holder(n) >= 0);
    }
    // The earlier row that is stored at row n's slot, of this request or another; -1 if none is.
    ATTEND_DEVICE int64_t holder(int64_t n) const {
      const int64_t slot = at(first + n);
      for (int64_t c = 0; c <= b; ++c) {
        const SlotRows other(call, c);
        const int64_t rows_before = c < b ? other.count : n;
        for (int64_t i = 0; i < rows_before; ++i)
          if (at(other.first + i) == slot) return other.first + i;
      }
      return -1;
    }
    ATTEND_DEVICE ErrorWord word(int64_t n) const {
      const ErrorWord outside = bad_slot(call.args, first + n);
      if (outside.code != 0) return outside;
      return taken_slot(ErrorArgument::kSlotMapping, first + n, at(first + n), holder(n));
    }
  };
  static ATTEND_DEVICE Slots slots(const CheckAttentionCall& call, int64_t b) {
    const SlotRows rows(call, b);
    return {call, b, rows.first, rows.count};
  }
};

// A gdn call: cu_seqlens, the slots of its sequences, and the gates as CheckGates found them.
struct CheckGdn {
  using Args = CheckGdnCall;
  static constexpr int kThreads = kCheckGdn.threads;

  static ATTEND_DEVICE void run(Thread& x, const CheckGdnCall& call) {
    const GdnArgs& a = call.args;
    const CheckedRequest r(x, call.result.requests);
    ErrorWord bad{};
    if (a.cu_seqlens)
      bad = bad_cumulative(a.cu_seqlens, ErrorArgument::kCuSeqlens, r.b, call.shape.rows, 0);
    if (a.state_indices && bad.code == 0) bad = slot_word(call, r.b);
    Gates gates{call};
    if (bad.code == 0) gates.take(r.b);
    look(x, r, bad, gates);
    gates.beta = true;
    look(x, r, bad, gates);
    report(x, call.result, r, bad);
  }

 private:
  static ATTEND_DEVICE ErrorWord slot_word(const CheckGdnCall& call, int64_t b) {
    const GdnArgs& a = call.args;
    const ErrorWord outside = bad_state_slot(a, b);
    const int64_t slot = index_at(a.state_indices, b);
    if (outside.code != 0 || !call.result.duplicates || slot == call.params.padding_slot)
      return outside;
    for (int64_t c = 0; c < b; ++c)
      if (index_at(a.state_indices, c) == slot)
        return taken_slot(ErrorArgument::kStateIndices, b, slot, c);
    return {};
  }

  // The rows of a sequence, each with its first bad value; none of one that is padding.
  struct Gates {
    const CheckGdnCall& call;
    int64_t first = 0, number = 0;
    bool beta = false;

    ATTEND_DEVICE void take(int64_t b) {
      const GdnSequence s = gdn_sequence(call.args, call.params, call.shape, b);
      first = call.shape.ragged ? s.first : b * call.shape.rows;
      number = s.padding || call.gates == nullptr ? 0 : s.len;
    }
    ATTEND_DEVICE int64_t count() const { return number; }
    ATTEND_DEVICE int32_t found(int64_t n) const { return call.gates[(first + n) * 2 + beta]; }
    ATTEND_DEVICE bool bad(int64_t n) const { return found(n) >= 0; }
    ATTEND_DEVICE ErrorWord word(int64_t n) const {
      const GdnGate gate =
          beta ? gdn_beta_gate(call.args, call.shape) : gdn_decay_gate(call.args, call.shape);
      return gate.word(first + n, found(n) / gate.inner(), found(n) % gate.inner());
    }
  };
};

// Of every row of gates: a team of 32 threads finds the first value out of range.
struct CheckGates {
  using Args = CheckGdnCall;
  static constexpr int kThreads = kCheckGates.threads;

  static ATTEND_DEVICE void run(Thread& x, const CheckGdnCall& call) {
    const int64_t rows = check_gate_rows(call.shape);
    const CheckedRequest r(x, rows);
    find(x, r, gdn_decay_gate(call.args, call.shape), call.gates);
    find(x, r, gdn_beta_gate(call.args, call.shape), call.gates + 1);
  }

 private:
  static ATTEND_DEVICE void find(Thread& x, const CheckedRequest& r, const GdnGate& gate,
                                 int32_t* to) {
    const auto inner = static_cast<int32_t>(gate.inner());
    const int32_t count = static_cast<int32_t>(gate.heads()) * inner;
    const float* const row = count > 0 ? gate.row(r.b) : nullptr;
    const auto n = static_cast<int32_t>(first_bad(x, r.lane, count, [&](int64_t i) {
      const auto at = static_cast<int32_t>(i);
      return !gate.good(gate.at(row, at / inner, at % inner));
    }));
    if (r.live && r.lane == 0) to[r.b * 2] = n < count ? n : -1;
  }
};

}  // namespace attend::gpu
