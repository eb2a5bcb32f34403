// Where kernels take their scratch from, and that what tiles want grows with threads, never with
// sequence lengths.
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "attend/error.h"
#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

// Counts what a call takes; refuses everything beyond `limit`.
struct Counter {
  uint64_t limit = UINT64_MAX, taken = 0, given_back = 0;

  Allocator allocator() {
    return {[](void* user, Device, uint64_t bytes, uint64_t alignment, void*) -> void* {
              auto& self = *static_cast<Counter*>(user);
              if (bytes > self.limit) return nullptr;
              self.taken += bytes;
              return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
            },
            [](void* user, Device, void* data, uint64_t bytes, void*) {
              static_cast<Counter*>(user)->given_back += bytes;
              std::free(data);
            },
            this};
  }
};

// A call of an operator with this many rows and keys in each sequence.
AttentionCase call_of(OpId op, int64_t seqlen_q, int64_t seqlen_k) {
  AttentionCase c;
  c.label = "scratch";
  c.seqlen_q = op == OpId::kDecode ? 1 : seqlen_q;
  c.seqlen_k = seqlen_k;
  c.heads = 2, c.kv_heads = 1, c.head_dim = 32;
  c.causal = true;
  if (op == OpId::kDecode) c.family = Family::kDecode;
  if (op == OpId::kPaged) {
    c.family = Family::kPaged;
    c.page_size = 16;
    c.k_lens = {seqlen_k};
    c.own_rows = OwnRows::kStored;
  }
  return c;
}

std::vector<AttentionKernel> rows_that_take(OpId op) {
  const CaseTensors t = make_tensors(call_of(op, 3, 5), Fill::kPlain);
  std::vector<AttentionKernel> rows;
  for (const AttentionKernel& row : Registry::global().attention_kernels(op, DeviceType::kNative))
    if (row.available({}) && row.supports(t.args, t.params, {})) rows.push_back(row);
  return rows;
}

class ScratchOf : public ::testing::TestWithParam<OpId> {
 protected:
  void SetUp() override { threads_ = num_threads(); }
  void TearDown() override { set_num_threads(threads_); }

 private:
  int32_t threads_ = 1;
};

TEST_P(ScratchOf, TilesDoesNotGrowWithTheSequences) {
  set_num_threads(1);
  const auto rows = rows_that_take(GetParam());
  ASSERT_GE(rows.size(), 1u);
  for (const AttentionKernel& row : rows) {
    uint64_t taken[2] = {};
    for (int i = 0; i < 2; ++i) {
      CaseTensors t = make_tensors(
          i == 0 ? call_of(GetParam(), 64, 1100) : call_of(GetParam(), 700, 6000), Fill::kPlain);
      Counter counter;
      ExecContext context;
      context.allocator = counter.allocator();
      attention_op(GetParam()).run_kernel(row.name, t.args, t.params, context);
      EXPECT_EQ(counter.taken, counter.given_back) << row.name;
      taken[i] = counter.taken;
    }
    EXPECT_GT(taken[0], 0u) << row.name;
    EXPECT_EQ(taken[0], taken[1]) << row.name;
    EXPECT_LT(taken[1], uint64_t{4} << 20) << row.name << " takes over 4 MiB a thread";
  }
}

TEST_P(ScratchOf, AWorkspaceOfTheToldSizeIsEnoughAndGivesTheSameBits) {
  for (const AttentionKernel& row : rows_that_take(GetParam())) {
    CaseTensors t = make_tensors(call_of(GetParam(), 37, 1300), Fill::kPlain);
    attention_op(GetParam()).run_kernel(row.name, t.args, t.params);
    const std::vector<std::byte> expected = t.output_bytes();
    const uint64_t bytes = row.workspace_bytes(t.args, t.params, num_threads());
    void* workspace = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    Counter counter;
    ExecContext context;
    context.allocator = counter.allocator();
    context.workspace = workspace;
    context.workspace_bytes = bytes;
    t.reset_outputs();
    attention_op(GetParam()).run_kernel(row.name, t.args, t.params, context);
    EXPECT_EQ(counter.taken, 0u) << row.name << " has a workspace and allocates";
    EXPECT_TRUE(t.output_bytes() == expected) << row.name;
    std::free(workspace);
  }
}

// On a device: with a workspace nothing else is taken for the row itself (the check of indices has
// memory of its own).
TEST_P(ScratchOf, OnADeviceAWorkspaceOfTheToldSizeIsEnough) {
  const auto none = [](void*, Device, uint64_t, uint64_t, void*) -> void* { return nullptr; };
  for (const AttentionKernel& row : test_rows(GetParam())) {
    if (row.device == DeviceType::kNative) continue;
    const Device device{row.device, 0};
    AttentionCase c = call_of(GetParam(), 3, 1300);
    c.head_dim = 8;
    CaseTensors t = make_tensors(c, Fill::kPlain);
    ExecContext context;
    context.check_indices = CheckIndices::kOff;
    try {
      run_row(row, t.args, t.params, context);
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
      continue;
    }
    const std::vector<std::byte> expected = t.output_bytes();
    AttentionArgs args = t.args;
    AttentionParams params = t.params;
    relabel(args, params, device);
    const auto bytes = static_cast<int64_t>(row.workspace_bytes(args, params, 1));
    const Tensor workspace = Tensor::empty(DType::kI8, {std::max<int64_t>(1, bytes)}, device);
    context.workspace = workspace.view().data;
    context.workspace_bytes = static_cast<uint64_t>(bytes);
    context.allocator = {none, [](void*, Device, void*, uint64_t, void*) {}, nullptr};
    t.reset_outputs();
    run_row(row, t.args, t.params, context);
    EXPECT_TRUE(t.output_bytes() == expected) << row.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Native, ScratchOf,
                         ::testing::Values(OpId::kFlash, OpId::kPaged, OpId::kSplash,
                                           OpId::kDecode),
                         [](const auto& p) { return std::string(name(p.param)); });

class NoScratch : public ::testing::TestWithParam<OpId> {};

// Rows that paged would store are not stored either.
TEST_P(NoScratch, IsOutOfMemoryAndNothingIsWritten) {
  CaseTensors t = make_tensors(call_of(GetParam(), 9, 17), Fill::kPlain);
  const std::vector<std::byte> before = t.output_bytes();
  Counter counter;
  counter.limit = 0;
  ExecContext context;
  context.allocator = counter.allocator();
  const Thrown error = thrown([&] { attention_op(GetParam()).forward(t.args, t.params, context); });
  EXPECT_EQ(error.code, ErrorCode::kOutOfMemory) << error.what;
  EXPECT_TRUE(error.says("scratch memory")) << error.what;
  EXPECT_TRUE(t.output_bytes() == before);
}

INSTANTIATE_TEST_SUITE_P(Native, NoScratch,
                         ::testing::Values(OpId::kVanilla, OpId::kFlash, OpId::kPaged,
                                           OpId::kSplash, OpId::kDecode, OpId::kSdpa, OpId::kRing),
                         [](const auto& p) { return std::string(name(p.param)); });

}  // namespace
}  // namespace attend::testing
