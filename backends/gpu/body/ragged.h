#pragma once
// ragged_words, ragged_finish: around a vendor's kernel that is told lengths and offsets by tensors.
//
//   words    a thread a sequence: its rows, the keys that some row of it sees, and where these begin.
//            Other keys are cut off, so that NaN in their values never meets a weight of 0; a sequence
//            of which no row sees a key is said to have no rows
//   finish   a team of 32 threads a row: rows that see no key become 0 and -inf, whatever the vendor's
//            kernel made of them; the lse of others comes home from rows of all heads
//   traffic  lse is read and written once; out is written where a row sees no key
#include "backends/gpu/body/requests.h"
#include "backends/gpu/call/ragged.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"
#include "ops/common/layout.h"

namespace attend::gpu {

struct RaggedWords {
  using Args = RaggedCall;
  static constexpr int kThreads = kRaggedWords.threads;

  static ATTEND_DEVICE void run(Thread& x, const RaggedCall& call) {
    const AttentionArgs& a = call.args;
    const int64_t batch = a.seq.cu_seqlens_q.dim(0) - 1,
                  b = int64_t{x.block().x} * kThreads + x.tid();
    if (b > batch) return;
    // Behind the last sequence: the ends of the tensors, whatever the lengths say.
    if (b == batch) return place(call, b, a.q.dim(0), a.k.dim(0));
    Sequence s;
    if (call.skip == nullptr || call.skip[b] == 0) s = sequence(a, call.params, b);
    KeyRange seen;
    if (s.q_len > 0) seen = {s.mask.keys(0).begin, s.mask.keys(s.q_len - 1).end};
    const bool none = seen.begin >= seen.end;
    call.rows[b] = none ? 0 : static_cast<int32_t>(s.q_len);
    call.keys[b] = none ? 0 : static_cast<int32_t>(seen.end - seen.begin);
    place(call, b, s.q_first, s.k_first + (none ? 0 : seen.begin));
  }

 private:
  static ATTEND_DEVICE void place(const RaggedCall& call, int64_t b, int64_t row, int64_t key) {
    const AttentionArgs& a = call.args;
    call.q[b] = row * a.q.stride[0];
    call.k[b] = key * a.k.stride[0];
    call.v[b] = key * a.v.stride[0];
    call.out[b] = row * a.out.stride[0];
    call.sums_at[b] = row * a.q.dim(1);
  }
};

struct RaggedFinish {
  using Args = RaggedCall;
  static constexpr int kThreads = kRaggedFinish.threads;

  static ATTEND_DEVICE void run(Thread& x, const RaggedCall& call) {
    const AttentionArgs& a = call.args;
    const int64_t row = int64_t{x.block().x} * kRaggedRows + x.tid() / kRaggedTeam;
    if (row >= a.q.dim(0)) return;
    const int64_t batch = a.seq.cu_seqlens_q.dim(0) - 1,
                  b = request_of(a.seq.cu_seqlens_q, batch, call.skip, row);
    if (b == batch) return;
    const Sequence s = sequence(a, call.params, b);
    const KeyRange seen = s.mask.keys(row - s.q_first);
    const bool none = seen.begin >= seen.end;
    const int lane = x.tid() % kRaggedTeam;
    const int64_t heads = a.q.dim(1), v_dim = a.out.dim(2);
    if (call.sums != nullptr) {
      const RowsView lse = lse_rows_of(a.lse, b, row);
      for (int64_t h = lane; h < heads; h += kRaggedTeam)
        store(lse.at(0, h), DType::kF32, none ? -math::kInfinity : call.sums[row * heads + h]);
    }
    if (!none) return;
    const RowsView out = rows_of(a.out, b, row);
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t d = lane; d < v_dim; d += kRaggedTeam)
        store(out.at(0, h) + d * out.dim * size_bytes(out.dtype), out.dtype, 0.0f);
  }
};

}  // namespace attend::gpu
