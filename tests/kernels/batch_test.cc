// Contract 7: a sequence's bits do not depend on its batch. One batch of 257 sequences, long beside
// short, cut into batches of every size down to one.
#include <gtest/gtest.h>

#include "attend/error.h"
#include "tests/kernels/alone.h"
#include "tests/kernels/rows.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

constexpr int64_t kBatch = 257;

// Rows: mostly decode steps, some prefills, some of none. Keys: some beyond one split (1024).
AttentionCase mixed(OpId op, DType dtype) {
  AttentionCase c;
  c.label = "mixed";
  c.batch = kBatch, c.seqlen_q = 19, c.seqlen_k = 1090;
  c.heads = 2, c.kv_heads = 1, c.head_dim = 8;
  c.dtype = dtype;
  c.lse = c.causal = true;
  c.window_left = op == OpId::kSplash ? 300 : -1;
  for (int64_t b = 0; b < kBatch; ++b) {
    c.q_lens.push_back(b % 16 == 5 ? 19 : b % 16 == 9 ? 0 : b % 16 == 11 ? 3 : 1);
    c.k_lens.push_back(b % 64 == 20 ? 1025 + b % 65 : b % 32 == 3 ? 0 : 1 + b * 37 % 70);
  }
  if (op == OpId::kDecode) {
    c.family = Family::kDecode;
    c.seqlen_q = 1;
    c.q_lens.clear();
    c.end = true;
  } else {
    c.layout = Layout::kRagged;
    if (op == OpId::kPaged) c.family = Family::kPaged, c.page_size = 16;
  }
  return c;
}

class AnyBatch : public ::testing::TestWithParam<OpOnDevice> {};

TEST_P(AnyBatch, GivesASequenceTheSameBits) {
  const auto& [op, device] = GetParam();
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const AttentionCase c = mixed(op, dtype);
    ASSERT_TRUE(in_domain(op, c));
    CaseTensors t = make_tensors(c, Fill::kPlain);
    for (const AttentionKernel& row : Registry::global().attention_kernels(op, device)) {
      const auto run = [&](const AttentionArgs& args, const AttentionParams& params) {
        run_row(row, args, params);
      };
      t.reset_outputs();
      try {
        run(t.args, t.params);
      } catch (const Error& e) {
        ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
        continue;
      }
      const std::vector<std::byte> whole = t.output_bytes();
      for (int64_t size : {1, 2, 3, 17, 64, 256}) {
        t.reset_outputs();
        // The first batch is short, so that sequences stand at other places and beside others.
        for (int64_t first = 0, n = size / 3 + 1; first < kBatch; first += n, n = size) {
          const Part some = part(t.args, t.params, first, std::min(n, kBatch - first));
          run(some.args, some.params);
        }
        EXPECT_TRUE(t.output_bytes() == whole) << row.name << ", batches of " << size;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, AnyBatch,
                         ::testing::ValuesIn(on_test_devices({OpId::kFlash, OpId::kPaged,
                                                              OpId::kDecode, OpId::kSplash,
                                                              OpId::kVanilla})),
                         [](const auto& p) { return test_name_of(p.param); });

}  // namespace
}  // namespace attend::testing
