// Where rows are and where each sequence stands on the key axis.
#include "ops/common/layout.h"

#include <gtest/gtest.h>

#include <vector>

namespace attend {
namespace {

struct Call {
  AttentionArgs args;
  AttentionParams params;
};

Call dense(int64_t seqlen_q, int64_t seqlen_k, float* memory) {
  Call c;
  c.args.q = contiguous(memory, DType::kF32, {2, seqlen_q, 4, 3});
  c.args.k = contiguous(memory, DType::kF32, {2, seqlen_k, 2, 3});
  c.args.v = contiguous(memory, DType::kF32, {2, seqlen_k, 2, 5});
  c.params.mask.diagonal = Diagonal::kBottomRight;
  return c;
}

TEST(Layout, ShiftFollowsDiagonalLengthsAndStart) {
  float memory[1000];
  Call c = dense(3, 7, memory);
  EXPECT_EQ(sequence(c.args, c.params, 1).mask.d, 4);
  c.params.mask.diagonal = Diagonal::kTopLeft;
  EXPECT_EQ(sequence(c.args, c.params, 1).mask.d, 0);
  c.params.mask.diagonal = Diagonal::kBottomRight;
  // Lengths in use, not capacities.
  int64_t used_q[2] = {3, 1};
  int32_t used_k[2] = {7, 2};
  c.args.seq.seqused_q = contiguous(used_q, DType::kI64, {2});
  c.args.seq.seqused_k = contiguous(used_k, DType::kI32, {2});
  EXPECT_EQ(sequence(c.args, c.params, 0).mask.d, 4);
  const Sequence s = sequence(c.args, c.params, 1);
  EXPECT_EQ(s.mask.d, 1);
  EXPECT_EQ(s.q_len, 1);
  EXPECT_EQ(s.k_len, 2);
  EXPECT_EQ(s.mask.seqlen_k, 2);
  // q_start overrides both.
  int32_t start[2] = {6, -2};
  c.params.mask.q_start = contiguous(start, DType::kI32, {2});
  EXPECT_EQ(sequence(c.args, c.params, 0).mask.d, 6);
  c.params.mask.diagonal = Diagonal::kTopLeft;
  EXPECT_EQ(sequence(c.args, c.params, 1).mask.d, -2);
}

TEST(Layout, RaggedSequencesBeginWhereTheyAreTold) {
  float memory[1000];
  int32_t cu_q[4] = {0, 2, 2, 7};
  int64_t cu_k[4] = {0, 5, 9, 9};
  Call c;
  c.args.q = contiguous(memory, DType::kF32, {7, 4, 3});
  c.args.k = contiguous(memory, DType::kF32, {9, 2, 3});
  c.args.v = contiguous(memory, DType::kF32, {9, 2, 5});
  c.args.seq.cu_seqlens_q = contiguous(cu_q, DType::kI32, {4});
  c.args.seq.cu_seqlens_k = contiguous(cu_k, DType::kI64, {4});
  const CallShape shape = call_shape(c.args);
  EXPECT_EQ(shape.batch, 3);
  EXPECT_EQ(shape.group(), 2);
  EXPECT_EQ(shape.v_dim, 5);
  const int64_t want[3][5] = {{0, 2, 0, 5, 3}, {2, 0, 5, 4, 4}, {2, 5, 9, 0, -5}};
  for (int64_t b = 0; b < 3; ++b) {
    const Sequence s = sequence(c.args, c.params, b);
    const int64_t got[5] = {s.q_first, s.q_len, s.k_first, s.k_len, s.mask.d};
    for (int n = 0; n < 5; ++n) EXPECT_EQ(got[n], want[b][n]) << b << " " << n;
  }
  const Sequence s = sequence(c.args, c.params, 2);
  EXPECT_EQ(rows_of(c.args.q, 2, s.q_first).at(1, 3),
            static_cast<void*>(memory + (2 + 1) * 12 + 3 * 3));
}

TEST(Layout, RowsFollowAnyStride) {
  float memory[1000];
  TensorView t = contiguous(memory + 500, DType::kF32, {2, 3, 4, 5});
  t.stride = {100, -7, 0, 1, 0};
  EXPECT_EQ(rows_of(t, 1, 0).at(2, 3), static_cast<void*>(memory + 500 + 100 - 14));
  TensorView lse = contiguous(memory, DType::kF32, {2, 4, 6});  // [batch, heads, seqlen_q]
  EXPECT_EQ(lse_rows_of(lse, 1, 0).at(5, 3), static_cast<void*>(memory + 24 + 3 * 6 + 5));
  lse = contiguous(memory, DType::kF32, {4, 9});  // [heads, total_q]
  EXPECT_EQ(lse_rows_of(lse, 1, 2).at(5, 3), static_cast<void*>(memory + 3 * 9 + 2 + 5));
}

TEST(Layout, BroadcastIsRightAligned) {
  float memory[1000];
  const auto offset = [&](const TensorView& t) {
    const BroadcastView view(t);
    const auto* row = reinterpret_cast<const float*>(view.at(1, 2, 3));
    return row + 4 * view.j - memory;
  };
  EXPECT_EQ(offset(contiguous(memory, DType::kF32, {5})), 4);
  EXPECT_EQ(offset(contiguous(memory, DType::kF32, {1})), 0);
  EXPECT_EQ(offset(contiguous(memory, DType::kF32, {4, 5})), 3 * 5 + 4);
  EXPECT_EQ(offset(contiguous(memory, DType::kF32, {3, 4, 5})),
            2 * 20 + 3 * 5 + 4);  // heads x q x k
  EXPECT_EQ(offset(contiguous(memory, DType::kF32, {2, 3, 4, 5})), 60 + 2 * 20 + 3 * 5 + 4);
  EXPECT_EQ(offset(contiguous(memory, DType::kF32, {2, 1, 4, 1})), 4 + 3);
  EXPECT_FALSE(BroadcastView(TensorView{}));
}

TEST(Layout, SmallTensorsOfEitherRank) {
  int64_t ids[8] = {10, 11, 12, 13, 14, 15, 16, 17};
  EXPECT_EQ(index_at(ids_of(contiguous(ids, DType::kI64, {2, 4}), 1, 99), 2), 16);
  EXPECT_EQ(index_at(ids_of(contiguous(ids, DType::kI64, {8}), 1, 5), 2), 17);
  TensorView backwards = contiguous(ids + 7, DType::kI64, {8});
  backwards.stride[0] = -1;
  EXPECT_EQ(index_at(backwards, 7), 10);
  float f[6] = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(alibi_slope(contiguous(f, DType::kF32, {3}), 1, 2), 2.0f);
  EXPECT_EQ(alibi_slope(contiguous(f, DType::kF32, {2, 3}), 1, 2), 5.0f);
  EXPECT_EQ(alibi_slope({}, 1, 2), 0.0f);
  EXPECT_EQ(sink_count({}), 0);
  EXPECT_EQ(sink_count(contiguous(f, DType::kF32, {6})), 1);
  EXPECT_EQ(sink_count(contiguous(f, DType::kF32, {2, 3})), 3);
  EXPECT_EQ(sink_logit(contiguous(f, DType::kF32, {6}), 4, 0), 4.0f);
  EXPECT_EQ(sink_logit(contiguous(f, DType::kF32, {2, 3}), 1, 2), 5.0f);
}

}  // namespace
}  // namespace attend
