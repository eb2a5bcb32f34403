// sdpa/cuda/cudnn on a device: ragged calls by the oracle, and what a neighbour's values may not
// reach. Where no device has the row, its own words say why.
#include <gtest/gtest.h>

#include <cstring>

#include "attend/error.h"
#include "tests/support/devices.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

class CudnnOnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const AttentionKernel& row : test_rows(OpId::kSdpa)) {
      if (std::string(row.name) != "sdpa/cuda/cudnn") continue;
      if (const Status s = row.available({DeviceType::kCuda, 0}); !s) GTEST_SKIP() << to_string(s);
      row_ = &row;
    }
    if (row_ == nullptr) GTEST_SKIP() << "no row of cuDNN under test";
  }
  const AttentionKernel* row_ = nullptr;
};

AttentionCase ragged(DType dtype, int64_t head_dim) {
  AttentionCase c;
  c.layout = Layout::kRagged;
  c.dtype = dtype;
  c.batch = 4;
  c.seqlen_q = 150, c.seqlen_k = 210;  // neither whole tiles
  c.heads = 4, c.kv_heads = 2;
  c.head_dim = head_dim;
  c.diagonal = Diagonal::kTopLeft;
  c.lse = true;
  return c;
}

// None may be refused: they are of the validated list.
TEST_F(CudnnOnDevice, RaggedCallsMatchTheOracle) {
  for (const DType dtype : {DType::kBF16, DType::kF16})
    for (const int64_t head_dim : {64, 128})
      for (const bool causal : {false, true})
        for (const Diagonal diagonal : {Diagonal::kTopLeft, Diagonal::kBottomRight})
          for (const int32_t window : {-1, 33}) {
            if (!causal && (window >= 0 || diagonal == Diagonal::kBottomRight)) continue;
            AttentionCase c = ragged(dtype, head_dim);
            c.causal = causal, c.diagonal = diagonal, c.window_left = window;
            SCOPED_TRACE(name(c));
            CaseTensors t = make_tensors(c);
            const Judge judge(t.args, t.params);
            t.reset_outputs();
            run_row(*row_, t.args, t.params);
            EXPECT_EQ(t.damaged_guard(), "");
            const auto verdicts = judge.compare(t.args);
            EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
          }
}

// NaN in one sequence's keys and values changes no bit of another's rows (contract 4): tiles at the
// end of a sequence reach into the next.
TEST_F(CudnnOnDevice, NaNStaysInItsSequence) {
  for (const bool causal : {false, true}) {
    AttentionCase c = ragged(DType::kBF16, 64);
    c.causal = causal;
    CaseTensors t = make_tensors(c);
    const auto rows_of_others = [&](int64_t b) {
      run_row(*row_, t.args, t.params);
      std::vector<std::byte> bytes;
      const TensorView &out = t.args.out, &cu = t.args.seq.cu_seqlens_q;
      for (int64_t i = 0; i < load_int(cu, 4); ++i) {
        if (i >= load_int(cu, b) && i < load_int(cu, b + 1)) continue;
        for (int64_t h = 0; h < 4; ++h)
          for (int64_t d = 0; d < 64; ++d) {
            const auto* at = static_cast<const std::byte*>(address_of(out, {i, h, d}));
            bytes.insert(bytes.end(), at, at + 2);
          }
      }
      return bytes;
    };
    for (int64_t b = 0; b < 4; ++b) {
      t = make_tensors(c);
      t.reset_outputs();
      const std::vector<std::byte> before = rows_of_others(b);
      const TensorView& cu = t.args.seq.cu_seqlens_k;
      const uint16_t nan = 0x7FC0;
      for (int64_t j = load_int(cu, b); j < load_int(cu, b + 1); ++j)
        for (int64_t h = 0; h < 2; ++h)
          for (int64_t d = 0; d < 64; ++d)
            for (const TensorView* kv : {&t.args.k, &t.args.v})
              std::memcpy(address_of(*kv, {j, h, d}), &nan, sizeof nan);
      t.reset_outputs();
      EXPECT_EQ(rows_of_others(b), before) << "sequence " << b << (causal ? ", causal" : "");
    }
  }
}

}  // namespace
}  // namespace attend::testing
