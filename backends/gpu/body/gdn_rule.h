#pragma once
// gdn: the gated delta rule, S = decay S; d = beta (v - S k); S = S + d k^T; out = S q.
//
//   block    one sequence x one head x kSlice value dims, which never meet: its part of the state is
//            read once, stays in shared memory [value dim][k_dim] over the sequence, and is written
//            once
//   run      kGdnTile tokens in the chunk form (gdn_chunk.h), or up to half of that step by step
//            (gdn_steps.h): a decode step, the last tokens of a chunk, decays per channel, chunks
//            of one; rows of q, k, v and gates come to shared memory first (gdn_rows.h)
//   memory   2 kGdnTile + kSlice rows of k_dim, the chunk's triangles and U: 41 KiB for a
//            k_dim to 128, 55 KiB to 256
//   traffic  q and k are read once for each slice; v, out and state once
//   bits     runs are cut by a token's place in its sequence alone: no result depends on the batch
//            or the slots; a sequence that is cut at a multiple of chunk_size and resumed from its
//            states has the bits of one pass
//   missing  the next run's rows are not fetched while this one is computed
#include "backends/gpu/body/gdn_chunk.h"
#include "backends/gpu/body/gdn_rows.h"
#include "backends/gpu/body/gdn_steps.h"

namespace attend::gpu {

template <GdnRuleShape shape>
struct GdnRule {
  using Args = GdnCall;
  using Block = GdnBlock<shape>;
  static constexpr int kThreads = Block::kThreads;
  static constexpr int kBlocks = 4;  // as many as fit by their shared memory

  static ATTEND_DEVICE void run(Thread& x, const GdnCall& call) {
    const Block b(x, call);
    if (call.skip && call.skip[b.s.b] != 0) return;
    b.make_head();
    x.sync();
    if (b.s.padding) return put_zeros(b);
    if (b.s.len == 0) return hand_on(b);
    load_state(b);
#pragma unroll 1
    for (int64_t first = 0; first < b.s.len;) {
      const Run run = next_run(b, first);
      const int rows = run.steps ? run.tokens : kGdnTile;
      read_gates(x, b.shared.head, first, run.tokens, b.shared.gates);
      load_keys(b, first, run.tokens, rows);
      load_values(b, first, run.tokens, rows);
      if (b.shared.head.per_channel()) load_channel_growth(b, first, run.tokens);
      x.sync();
      if (run.steps)
        run_steps(b, first, run.tokens);
      else
        GdnChunk<Block>(b).run(first, run.tokens);
      x.sync();
      first += run.tokens;
    }
    store_state(b);
  }

 private:
  struct Run {
    int tokens;
    bool steps;
  };
  static ATTEND_DEVICE Run next_run(const Block& b, int64_t first) {
    const int chunk = b.shared.head.chunk;
    const bool stepwise = chunk == 1 || b.shared.head.per_channel();
    const int most = stepwise ? kGdnFewTokens : kGdnTile;
    const int64_t of_chunk = stepwise ? most : chunk - first % chunk, left = b.s.len - first;
    const int64_t room = of_chunk < left ? of_chunk : left;
    const int tokens = room < most ? static_cast<int>(room) : most;
    return {tokens, tokens <= kGdnFewTokens};
  }

  // Padding: its rows are 0.
  static ATTEND_DEVICE void put_zeros(const Block& b) {
    for (int64_t i = b.x.tid() / kTeam; i < b.s.len; i += kThreads / kTeam)
      for (int v = b.x.tid() % kTeam; v < b.v_count(); v += kTeam) b.put(i, v, 0.0f);
  }

  // A sequence without tokens: final_state gets the bits of state.
  static ATTEND_DEVICE void hand_on(const Block& b) {
    if (!b.call.args.final_state) return;
    const StateElement<Block> from(b, b.shared.head.from), to(b, b.shared.head.to);
    move_state(
        b, [&](int v, int k) { return from.get(v, k); },
        [&](int v, int k, float value) { to.put(v, k, value); });
  }
};

}  // namespace attend::gpu
