// Attention of layers 0 and 5 of all-MiniLM-L6-v2 on four sentences: inputs, and outputs computed
// in float64, from a file. No oracle of ours takes part.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/ops/rows.h"
#include "tests/support/element.h"
#include "tests/support/safetensors.h"

namespace attend::testing {
namespace {

class RealActivations : public RowTest {
 protected:
  static const std::map<std::string, Tensor>& file() {
    static const auto tensors = read_safetensors(ATTEND_TEST_DATA "/minilm_attention.safetensors");
    return tensors;
  }

  // The tensor in the test's element type.
  Tensor rounded(const std::string& name) const {
    const TensorView& from = file().at(name);
    Tensor to = Tensor::empty(dtype(), std::span(from.shape.data(), 4));
    for (int64_t n = 0; n < from.num_elements(); ++n) {
      store(dtype(), to.data<std::byte>() + n * size_bytes(dtype()),
            static_cast<const float*>(from.data)[n]);
    }
    return to;
  }

  // Largest error against the file's outputs, with the keys of each sentence's padding hidden by
  // `hide`.
  template <class Hide>
  void check(const std::string& layer, const Hide& hide) {
    const Tensor q = rounded(layer + ".query"), k = rounded(layer + ".key"),
                 v = rounded(layer + ".value");
    const TensorView& expected = file().at(layer + ".output");
    Tensor out = Tensor::empty(DType::kF32, {4, 30, 12, 32});
    std::fill_n(out.data<float>(), expected.num_elements(), std::nanf(""));
    AttentionArgs args;
    AttentionParams params;
    args.q = q;
    args.k = k;
    args.v = v;
    args.out = out;
    hide(args, params);
    if (!run(args, params)) return;
    double worst = 0, largest = 0;
    for (int64_t n = 0; n < expected.num_elements(); ++n) {
      const double want = static_cast<const float*>(expected.data)[n];
      const double error = std::abs(out.data<float>()[n] - want);
      largest = std::max(largest, std::abs(want));
      ASSERT_FALSE(std::isnan(error)) << "element " << n;
      worst = std::max(worst, error);
    }
    // Rounding q, k and v to 16 bits moves scores of up to about 10 by their unit; f32 leaves the
    // sums' own errors.
    const double share = dtype() == DType::kF32 ? 2e-6 : dtype() == DType::kF16 ? 5e-3 : 4e-2;
    EXPECT_LT(worst, share * largest) << layer;
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, RealActivations,
                         ::testing::ValuesIn(rows_and_dtypes({OpId::kVanilla, OpId::kFlash})),
                         [](const auto& p) { return test_name(p.param); });

TEST_P(RealActivations, PaddingHiddenByKeep) {
  TensorView keep = file().at("keep");  // [batch, key], to be read as [batch, 1, 1, key]
  keep.rank = 4;
  keep.shape = {4, 1, 1, 30};
  keep.stride = {30, 30, 30, 1};
  for (const char* layer : {"layer0", "layer5"}) {
    check(layer, [&](AttentionArgs&, AttentionParams& params) { params.mask.keep = keep; });
  }
}

TEST_P(RealActivations, PaddingHiddenByLength) {
  for (const char* layer : {"layer0", "layer5"}) {
    check(layer, [&](AttentionArgs& args, AttentionParams&) {
      args.seq.seqused_k = file().at("lengths");
    });
  }
}

}  // namespace
}  // namespace attend::testing
