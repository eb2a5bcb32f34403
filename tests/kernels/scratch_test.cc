// Where kernels take their scratch from, and that flash's grows with threads and tiles, never with
// sequence lengths.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"

namespace attend {
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

struct Call {
  Tensor q, k, v, out;
  AttentionArgs args;

  Call(int64_t seqlen_q, int64_t seqlen_k)
      : q(Tensor::empty(DType::kF32, {1, seqlen_q, 2, 32})),
        k(Tensor::empty(DType::kF32, {1, seqlen_k, 1, 32})),
        v(Tensor::empty(DType::kF32, {1, seqlen_k, 1, 32})),
        out(Tensor::empty(DType::kF32, {1, seqlen_q, 2, 32})) {
    for (const Tensor* t : {&q, &k, &v})
      for (int64_t i = 0; i < t->view().num_elements(); ++i)
        t->data<float>()[i] = std::sin(static_cast<float>(i));
    for (int64_t i = 0; i < out.view().num_elements(); ++i) out.data<float>()[i] = NAN;
    args.q = q;
    args.k = k;
    args.v = v;
    args.out = out;
  }
  std::vector<float> result() const {
    return {out.data<float>(), out.data<float>() + out.view().num_elements()};
  }
};

class FlashRows : public ::testing::Test {
 protected:
  void SetUp() override { threads_ = num_threads(); }
  void TearDown() override { set_num_threads(threads_); }

  static std::vector<AttentionKernel> rows() {
    std::vector<AttentionKernel> available;
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(OpId::kFlash, DeviceType::kNative))
      if (row.available({}) && row.supports(Call(1, 1).args, {}, {})) available.push_back(row);
    return available;
  }

 private:
  int32_t threads_ = 1;
};

TEST_F(FlashRows, ScratchDoesNotGrowWithTheSequences) {
  set_num_threads(1);
  for (const AttentionKernel& row : rows()) {
    uint64_t taken[2] = {};
    for (int i = 0; i < 2; ++i) {
      const Call call = i == 0 ? Call(64, 64) : Call(700, 6000);
      Counter counter;
      ExecContext context;
      context.allocator = counter.allocator();
      FlashAttention().run_kernel(row.name, call.args, {}, context);
      EXPECT_EQ(counter.taken, counter.given_back) << row.name;
      taken[i] = counter.taken;
    }
    EXPECT_GT(taken[0], 0u) << row.name;
    EXPECT_EQ(taken[0], taken[1]) << row.name;
    EXPECT_LT(taken[1], uint64_t{4} << 20) << row.name << " takes over 4 MiB a thread";
  }
}

TEST_F(FlashRows, AWorkspaceOfTheToldSizeIsEnoughAndGivesTheSameBits) {
  for (const AttentionKernel& row : rows()) {
    const Call call(37, 300);
    FlashAttention().run_kernel(row.name, call.args, {});
    const std::vector<float> expected = call.result();
    const uint64_t bytes = row.workspace_bytes(call.args, {}, num_threads());
    void* workspace = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    Counter counter;
    ExecContext context;
    context.allocator = counter.allocator();
    context.workspace = workspace;
    context.workspace_bytes = bytes;
    const Call again(37, 300);
    FlashAttention().run_kernel(row.name, again.args, {}, context);
    EXPECT_EQ(counter.taken, 0u) << row.name << " has a workspace and allocates";
    EXPECT_EQ(again.result(), expected) << row.name;
    std::free(workspace);
  }
}

TEST(Scratch, AnAllocatorThatHasNoneIsOutOfMemoryAndNothingIsWritten) {
  for (OpId op : {OpId::kFlash, OpId::kVanilla}) {
    const Call call(9, 17);
    Counter counter;
    counter.limit = 0;
    ExecContext context;
    context.allocator = counter.allocator();
    try {
      attention_op(op).forward(call.args, {}, context);
      FAIL() << name(op) << " ran without memory";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory) << e.what();
      EXPECT_NE(std::string(e.what()).find("scratch memory"), std::string::npos) << e.what();
    }
    for (float x : call.result()) EXPECT_TRUE(std::isnan(x));
  }
}

}  // namespace
}  // namespace attend
