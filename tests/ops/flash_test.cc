// What flash alone promises: no score matrix in memory, and parts that merge by lse.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <mutex>

#include "tests/ops/rows.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

class Flash : public RowTest {};

INSTANTIATE_TEST_SUITE_P(Rows, Flash, ::testing::ValuesIn(rows_and_dtypes({OpId::kFlash})),
                         [](const auto& p) { return test_name(p.param); });

AttentionCase square(DType dtype, int64_t seqlen) {
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = seqlen;
  c.heads = 2;
  c.kv_heads = 1;
  c.causal = true;
  c.lse = true;
  c.dtype = dtype;
  return c;
}

// Merges two halves of the keys in float64 and compares with the whole, sequence by sequence.
TEST_P(Flash, PartsOfTheKeysMergeByLse) {
  for (int64_t cut : {0, 1, 150}) {
    AttentionCase c = square(dtype(), 200);
    c.causal = false;
    c.out_f32 = true;
    CaseTensors whole = make_tensors(c, Fill::kPlain), a = make_tensors(c, Fill::kPlain),
                b = make_tensors(c, Fill::kPlain);
    for (TensorView* t : {&a.args.k, &a.args.v}) t->shape[1] = cut;
    for (TensorView* t : {&b.args.k, &b.args.v}) {
      t->data = address_of(*t, {0, cut, 0, 0});
      t->shape[1] = 200 - cut;
    }
    if (!run(whole.args, whole.params) || !run(a.args, a.params) || !run(b.args, b.params)) return;
    const double unit = dtype() == DType::kF32   ? 1e-6
                        : dtype() == DType::kF16 ? 1e-3
                                                 : 8e-3;  // weights may be 16-bit
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < 200; ++i) {
        const double la = load(a.args.lse, {0, h, i}), lb = load(b.args.lse, {0, h, i});
        const double top = std::max(la, lb),
                     l = top + std::log(std::exp(la - top) + std::exp(lb - top));
        ASSERT_NEAR(load(whole.args.lse, {0, h, i}), l, 1e-5);
        for (int64_t e = 0; e < 64; ++e) {
          const double merged = std::exp(la - l) * load(a.args.out, {0, i, h, e}) +
                                std::exp(lb - l) * load(b.args.out, {0, i, h, e});
          ASSERT_NEAR(load(whole.args.out, {0, i, h, e}), merged, 2 * unit)
              << cut << " " << i << " " << e;
        }
      }
    }
  }
}

// Counts what a call takes from its allocator.
struct Counter {
  std::mutex mutex;
  uint64_t bytes = 0, most = 0;
  int live = 0;

  static void* allocate(void* user, Device, uint64_t size, uint64_t alignment, void*) {
    auto* self = static_cast<Counter*>(user);
    const std::lock_guard lock(self->mutex);
    self->bytes += size;
    self->most = std::max(self->most, self->bytes);
    ++self->live;
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  static void deallocate(void* user, Device, void* data, uint64_t size, void*) {
    auto* self = static_cast<Counter*>(user);
    const std::lock_guard lock(self->mutex);
    self->bytes -= size;
    --self->live;
    std::free(data);
  }
  ExecContext context() {
    ExecContext c;
    c.allocator = {allocate, deallocate, this};
    return c;
  }
};

uint64_t scratch_of(const AttentionKernel& row, const CaseTensors& t, int32_t workers) {
  AttentionParams params = t.params;
  params.softmax_scale = 1.0f;  // kernels get words resolved
  params.mask.diagonal = Diagonal::kBottomRight;
  return row.workspace_bytes(t.args, params, workers);
}

// For each element type; kernels/scratch_test asks for the rest of what scratch promises.
TEST_P(Flash, ScratchGrowsWithThreadsNotWithSequences) {
  const AttentionKernel& row = *GetParam().row;
  if (row.device != DeviceType::kNative) GTEST_SKIP() << "a device has no threads of the caller's";
  CaseTensors small = make_tensors(square(dtype(), 300), Fill::kPlain),
              large = make_tensors(square(dtype(), 1200), Fill::kPlain);
  Counter of_small, of_large;
  if (!run(small.args, small.params, of_small.context()) ||
      !run(large.args, large.params, of_large.context()))
    return;
  EXPECT_GT(of_small.most, 0u);
  EXPECT_EQ(of_large.most, of_small.most);
  EXPECT_EQ(of_small.live, 0);
  EXPECT_EQ(of_large.bytes, 0u);
  EXPECT_EQ(scratch_of(row, large, 4), scratch_of(row, small, 4));
  EXPECT_LE(scratch_of(row, small, 8), 2 * scratch_of(row, small, 4) + 4096);
}

TEST_P(Flash, ManyKeysForOneRow) {
  AttentionCase c = square(dtype(), 1);
  c.seqlen_k = 16500;  // more than 16k keys: the wider rule
  CaseTensors t = make_tensors(c);
  if (!run(t.args, t.params)) return;
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

}  // namespace
}  // namespace attend::testing
