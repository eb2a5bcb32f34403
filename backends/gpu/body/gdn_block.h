#pragma once
// What a block of the gated delta rule works on, and what it has in shared memory.
#include "backends/gpu/body/gdn_gates.h"
#include "backends/gpu/body/gdn_team.h"

namespace attend::gpu {

// 16 bytes, which a thread moves at once.
struct alignas(16) Word {
  float x[4];
};
ATTEND_DEVICE const Word& word(const float* row, int n) {
  return reinterpret_cast<const Word*>(row)[n];
}
ATTEND_DEVICE Word& word(float* row, int n) { return reinterpret_cast<Word*>(row)[n]; }

template <GdnRuleShape shape>
struct GdnShared {
  // An odd number of words a row, so that the same word of different rows is in different banks.
  static constexpr int kKeyStride = shape.most_k + 4, kValueStride = shape.slice + 4;
  static constexpr int kTriangle = kGdnTile + 4;

  alignas(16) float k[kGdnTile][kKeyStride];
  alignas(16) float q[kGdnTile][kKeyStride];
  alignas(16) float state[shape.slice][kKeyStride];
  alignas(16) float u[kGdnTile][kValueStride];  // v; in the chunk form then U
  alignas(16) float w[kGdnTile][kValueStride];  // U, each token by the decay of those after it
  alignas(16) float a[kGdnTile][kTriangle];     // triangles of the chunk form: A by columns,
  alignas(16) float p[kGdnTile][kTriangle];     // P by rows
  GdnGates gates;
  GdnHead head;

  // Of tokens that go step by step, at most half a tile: each channel's decay less 1.
  ATTEND_DEVICE float* growth(int i) { return k[kGdnTile / 2 + i]; }
};

template <GdnRuleShape shape>
struct GdnBlock {
  static constexpr int kThreads = kGdnRuleThreads, kSlice = shape.slice, kMostK = shape.most_k;
  using Shared = GdnShared<shape>;
  static_assert(sizeof(Shared) == shape.shared_bytes);

  Thread& x;
  const GdnCall& call;
  GdnSequence s;
  int head;
  int64_t v_first;  // of the slice
  Shared& shared;

  ATTEND_DEVICE GdnBlock(Thread& thread, const GdnCall& c)
      : x(thread), call(c), shared(*reinterpret_cast<Shared*>(thread.shared())) {
    const auto heads = static_cast<int>(c.shape.heads);
    const auto slices = static_cast<int>((c.shape.v_dim + kSlice - 1) / kSlice);
    const int task = x.block().x / slices;
    head = task % heads;
    s = gdn_sequence(c.args, c.params, c.shape, task / heads);
    v_first = int64_t{x.block().x % slices} * kSlice;
  }

  // Once; the block waits before anything of it is read.
  ATTEND_DEVICE void make_head() const {
    const int64_t left = call.shape.v_dim - v_first;
    gpu::make_head(x, call, s, head, v_first, left < kSlice ? static_cast<int>(left) : kSlice,
                   shared.head);
  }
  ATTEND_DEVICE int k_dim() const { return shared.head.k_dim; }
  ATTEND_DEVICE int words() const { return (k_dim() + 3) / 4; }  // of a row, zeros fill it up
  ATTEND_DEVICE int v_count() const { return shared.head.v_count; }

  // Writes an element of the rule's result: value dim v of the slice.
  ATTEND_DEVICE void put(int64_t token, int v, float value) const {
    const RowsView& out = shared.head.rows[GdnCall::kRule];
    store_activation(out.at(token, 0) + v * out.dim * size_bytes(out.dtype), out.dtype, value);
  }
};

}  // namespace attend::gpu
