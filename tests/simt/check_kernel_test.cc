// The kernels that check indices, as they are: many blocks that finish in any order, and duplicate
// slots, which only debug builds of the library look for.
#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "backends/gpu/body/check.h"
#include "tests/simt/run_kernel.h"

namespace attend::simt {
namespace {

using Slots = std::vector<int64_t>;

TensorView vector_of(const Slots& values) {
  TensorView t;
  t.data = const_cast<int64_t*>(values.data());
  t.dtype = DType::kI64;
  t.rank = 1;
  t.shape[0] = static_cast<int64_t>(values.size());
  t.stride[0] = 1;
  return t;
}
// A tensor of which only the shape is looked at.
TensorView shaped(std::initializer_list<int64_t> shape) {
  TensorView t;
  for (int64_t n : shape) t.shape[static_cast<size_t>(t.rank++)] = n;
  return t;
}

TensorView contiguous_view(std::vector<float>& values, std::initializer_list<int64_t> shape) {
  TensorView t = shaped(shape);
  t.data = values.data();
  for (int64_t d = t.rank - 1, step = 1; d >= 0; step *= t.shape[static_cast<size_t>(d--)])
    t.stride[static_cast<size_t>(d)] = step;
  return t;
}

// What a launch of a check leaves behind.
struct Checked {
  std::vector<uint8_t> skip;
  std::vector<ErrorWord> first;
  ErrorWord error;

  std::vector<int64_t> skipped() const {
    std::vector<int64_t> list;
    for (size_t b = 0; b < skip.size(); ++b)
      if (skip[b] != 0) list.push_back(static_cast<int64_t>(b));
    return list;
  }
};

template <class Body>
Checked check(typename Body::Args call, int64_t requests, const Order& order, bool duplicates,
              const ErrorWord& before = {}) {
  const auto n = static_cast<size_t>(requests);
  Checked to{std::vector<uint8_t>(n, 0xaa), std::vector<ErrorWord>(n), before};
  int32_t done = 0;
  const auto blocks =
      static_cast<int32_t>((requests + gpu::kCheckRequests - 1) / gpu::kCheckRequests);
  call.result = {to.skip.data(), to.first.data(), &done, &to.error, requests, blocks, duplicates};
  EXPECT_EQ(run_kernel([call](gpu::Thread& x) { Body::run(x, call); },
                       {.grid = {blocks, 1, 1}, .shared_bytes = gpu::kCheckShared, .order = order}),
            "");
  EXPECT_EQ(done, blocks);
  return to;
}

void expect_error(const ErrorWord& got, ErrorCode code, ErrorArgument argument, int64_t position,
                  int64_t value) {
  EXPECT_EQ(got.code, static_cast<int32_t>(code));
  EXPECT_EQ(got.argument, static_cast<int32_t>(argument));
  EXPECT_EQ(got.position, position);
  EXPECT_EQ(got.value, value);
}

class CheckKernel : public testing::TestWithParam<Order> {
 protected:
  // append alone: 3 pages of 5 slots.
  Checked append(const Slots& slots, bool duplicates) const {
    gpu::CheckAttentionCall call{};
    call.args.k = shaped({3, 5, 2, 8});
    call.args.seq.slot_mapping = vector_of(slots);
    return check<gpu::CheckAttention>(call, static_cast<int64_t>(slots.size()), GetParam(),
                                      duplicates);
  }
};
INSTANTIATE_TEST_SUITE_P(Executor, CheckKernel, testing::ValuesIn(kOrders));

TEST_P(CheckKernel, OfManyRequestsTheLowestBadOneIsNamed) {
  Slots used(41, 4);
  used[39] = 9, used[17] = -1, used[18] = 6;
  gpu::CheckAttentionCall call{};
  call.args.q = shaped({41, 5, 2, 8});
  call.args.k = shaped({41, 7, 2, 8});
  call.args.seq.seqused_q = vector_of(used);
  const Checked got = check<gpu::CheckAttention>(call, 41, GetParam(), false);
  EXPECT_EQ(got.skipped(), (Slots{17, 18, 39}));
  expect_error(got.error, ErrorCode::kOutOfRange, ErrorArgument::kSequsedQ, 17, -1);
}

TEST_P(CheckKernel, AnErrorThatIsThereStays) {
  Slots used = {1, 8};
  gpu::CheckAttentionCall call{};
  call.args.q = shaped({2, 5, 2, 8});
  call.args.k = shaped({2, 7, 2, 8});
  call.args.seq.seqused_q = vector_of(used);
  const ErrorWord before{6, 4, 123, 456};
  const Checked got = check<gpu::CheckAttention>(call, 2, GetParam(), false, before);
  EXPECT_EQ(got.skipped(), (Slots{1}));
  expect_error(got.error, ErrorCode::kOutOfRange, ErrorArgument::kSequsedK, 123, 456);
}

TEST_P(CheckKernel, GoodIndicesRecordNothing) {
  const Checked got = append({0, 14, -1, -1, 7, 3}, true);
  EXPECT_TRUE(got.skipped().empty());
  expect_error(got.error, ErrorCode::kOk, ErrorArgument::kNone, 0, 0);
}

TEST_P(CheckKernel, DuplicateSlotsOfAppend) {
  const Slots slots = {0, 14, -1, 7, -1, 14, 3, 7};
  const Checked got = append(slots, true);
  EXPECT_EQ(got.skipped(), (Slots{5, 7}));
  expect_error(got.error, ErrorCode::kInvalidArgument, ErrorArgument::kSlotMapping, 5, 14);
  EXPECT_TRUE(append(slots, false).skipped().empty()) << "looked for without being asked";
}

// Three requests of 2 rows: the row of the first that is not in use holds what another stores.
TEST_P(CheckKernel, DuplicateSlotsOfRequests) {
  const Slots slots = {3, 8, 4, 8, 5, 4}, used = {1, 2, 2}, context = {0, 0, 0};
  const Slots pages = {0, 1, 2};
  gpu::CheckAttentionCall call{};
  call.args.q = shaped({3, 2, 2, 8});
  call.args.k = shaped({3, 5, 2, 8});
  call.args.k_new = shaped({6, 2, 8});
  call.args.seq.slot_mapping = vector_of(slots);
  call.args.seq.seqused_q = vector_of(used);
  call.args.seq.context_lens = vector_of(context);
  call.args.seq.block_table = vector_of(pages);
  call.args.seq.block_table.rank = 2;
  call.args.seq.block_table.shape[1] = 1, call.args.seq.block_table.stride[1] = 1;
  const Checked got = check<gpu::CheckAttention>(call, 3, GetParam(), true);
  EXPECT_EQ(got.skipped(), (Slots{2}));
  expect_error(got.error, ErrorCode::kInvalidArgument, ErrorArgument::kSlotMapping, 5, 4);
}

TEST_P(CheckKernel, DuplicateStatesOfGdn) {
  const Slots slots = {2, 0, 5, 0, 0, 2, 6, 1, 1};
  gpu::CheckGdnCall call{};
  call.args.state = shaped({6, 1, 4, 4});
  call.args.state_indices = vector_of(slots);
  call.params.padding_slot = 0;
  const Checked got = check<gpu::CheckGdn>(call, 9, GetParam(), true);
  EXPECT_EQ(got.skipped(), (Slots{5, 6, 8}));
  expect_error(got.error, ErrorCode::kInvalidArgument, ErrorArgument::kStateIndices, 5, 2);
}

TEST_P(CheckKernel, LengthsOfGdn) {
  const Slots cu = {0, 4, 3, 9, 11};
  gpu::CheckGdnCall call{};
  call.args.cu_seqlens = vector_of(cu);
  call.shape.rows = 10;
  const Checked got = check<gpu::CheckGdn>(call, 4, GetParam(), false);
  EXPECT_EQ(got.skipped(), (Slots{1, 3}));
  expect_error(got.error, ErrorCode::kInvalidArgument, ErrorArgument::kCuSeqlens, 2, 3);
}

// Sequences of 5, 0, 2 and 3 tokens, 3 heads of 2 channels; the third is padding.
TEST_P(CheckKernel, GatesOfGdn) {
  const Slots cu = {0, 5, 5, 7, 10}, slots = {1, 2, 0, 3};
  std::vector<float> g(60, -0.5f), beta(30, 1.5f);
  g[6 * 6 + 1] = 1.0f;      // of padding
  beta[8 * 3 + 1] = 2.25f;  // of the last
  g[9 * 6 + 5] = 0.125f;    // of the last: the decay is told first
  gpu::CheckGdnCall call{};
  call.args.cu_seqlens = vector_of(cu);
  call.args.state = shaped({6, 3, 4, 2});
  call.args.state_indices = vector_of(slots);
  call.args.g = contiguous_view(g, {10, 3, 2});
  call.args.beta = contiguous_view(beta, {10, 3});
  call.params.padding_slot = 0;
  call.shape.ragged = true, call.shape.batch = 4, call.shape.rows = 10;
  std::vector<int32_t> found(20, 77);
  call.gates = found.data();
  const int blocks = (10 + gpu::kCheckRequests - 1) / gpu::kCheckRequests;
  EXPECT_EQ(run_kernel([call](gpu::Thread& x) { gpu::CheckGates::run(x, call); },
                       {.grid = {blocks, 1, 1}, .order = GetParam()}),
            "");
  std::vector<int32_t> want(20, -1);
  want[12] = 1, want[17] = 1, want[18] = 5;
  EXPECT_EQ(found, want);
  const Checked got = check<gpu::CheckGdn>(call, 4, GetParam(), false);
  EXPECT_EQ(got.skipped(), (Slots{3}));
  expect_error(got.error, ErrorCode::kOutOfRange, ErrorArgument::kG, 9 * 6 + 5,
               std::bit_cast<int32_t>(0.125f));
  EXPECT_EQ(got.error.inner[0], 3);
  EXPECT_EQ(got.error.inner[1], 2);
  found[18] = -1;  // the decay is good: beta is left
  expect_error(check<gpu::CheckGdn>(call, 4, GetParam(), false).error, ErrorCode::kOutOfRange,
               ErrorArgument::kBeta, 8 * 3 + 1, std::bit_cast<int32_t>(2.25f));
}

}  // namespace
}  // namespace attend::simt
