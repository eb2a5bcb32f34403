// attend::gpu::Matrix against plain loops: one warp multiplies 16 rows of Q with 16 keys, rounds the
// scores to weights and multiplies those with V, through the policy's own layouts. The emulated
// instructions have the vendors' layouts written down apart from the policies', so that a slip in
// either shows.
#include "backends/gpu/device/matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/simt/run_kernel.h"

namespace attend::gpu {
namespace {

constexpr int kDim = 32, kKeys = 16, kVDim = 32;
constexpr int kPitch = matrix_pitch(kDim);

struct ProductCall {
  uint16_t q[16][kDim], k[kKeys][kDim], v[kKeys][kVDim];
  float *scores, *out;  // [16 x keys], [16 x v_dim]
};

template <class T>
struct Product {
  using M = Matrix<T>;
  static constexpr int kValuePitch = matrix_value_pitch(M::kUnit, kVDim, kKeys);

  static ATTEND_DEVICE void run(Thread& x, const ProductCall& call) {
    auto* q = reinterpret_cast<uint16_t*>(x.shared());
    uint16_t* k = q + 16 * kPitch;
    uint16_t* v = k + kKeys * kPitch;
    for (int n = x.tid(); n < 16 * kDim; n += simt::kThreads) {
      const int row = n / kDim, d = n % kDim;
      q[row * kPitch + d] = call.q[row][d];
      k[row * kPitch + d] = call.k[row][d];
      v[M::template value_offset<kValuePitch>(row, d)] = call.v[row][d];
    }
    x.sync();
    if (x.warp() != 0) return;
    float s[M::kTile] = {}, o[kVDim / 16][M::kTile] = {};
    for (int d = 0; d < kDim; d += M::kDepth)
      M::score(x, s, M::rows(x, q + M::template rows_at<kPitch>(x.lane()) + d),
               M::keys(x, k + M::template keys_at<kPitch>(x.lane()) + d));
    const auto weights = M::weights(x, s);
    for (int d = 0; d < kVDim; d += 16)
      M::accumulate(x, o[d / 16], weights,
                    M::values(x, v + M::template values_at<kValuePitch>(x.lane()) +
                                     M::template value_offset<kValuePitch>(0, d)));
    for (int e = 0; e < M::kTile; ++e) {
      const int row = M::row(x.lane(), M::slot(e)), column = M::column(x.lane(), e);
      call.scores[row * kKeys + column] = s[e];
      for (int d = 0; d < kVDim; d += 16) call.out[row * kVDim + d + column] = o[d / 16][e];
    }
    // What lanes that share a row have together is the row's.
    for (int slot = 0; slot < M::kSlots; ++slot) {
      float sum = 0.0f;
      for (int e = 0; e < M::kTile; ++e)
        if (M::slot(e) == slot) sum += s[e];
      sum = M::over_row(x, sum, [](float a, float b) { return a + b; });
      call.scores[16 * kKeys + M::row(x.lane(), slot)] = sum;
    }
  }
};
template <class T>
std::string multiply(const ProductCall& call) {
  return simt::run_kernel([call](Thread& x) { Product<T>::run(x, call); });
}

float widened(uint16_t bits, DType type) {
  return type == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}
uint16_t narrowed(float x, DType type) {
  return type == DType::kF16 ? f32_to_f16(x) : f32_to_bf16(x);
}

class MatrixTest : public ::testing::TestWithParam<DType> {};

// Small integers: every product and sum is exact, so that no tolerance hides a wrong element. No two
// rows and no two columns of the scores are alike, and no sum of a row is 0.
TEST_P(MatrixTest, ProductsAreThoseOfPlainLoops) {
  const DType type = GetParam();
  ProductCall call{};
  std::vector<float> scores(16 * kKeys + 16, NAN), out(16 * kVDim, NAN);
  call.scores = scores.data();
  call.out = out.data();
  const auto value = [](int a, int b, int salt) {
    return static_cast<float>((3 * a * a + b * b + a * b + (a ^ b) + salt) % 5 - 2);
  };
  for (int r = 0; r < 16; ++r)
    for (int d = 0; d < kDim; ++d) {
      call.q[r][d] = narrowed(value(r, d, 1), type);
      call.k[r][d] = narrowed(value(r, d, 2), type);
      call.v[r][d] = narrowed(value(r, d, 3), type);
    }
  ASSERT_EQ(type == DType::kF16 ? multiply<Half>(call) : multiply<Bfloat>(call), "");
  for (int r = 0; r < 16; ++r) {
    float row[kKeys], sum = 0.0f;
    for (int j = 0; j < kKeys; ++j) {
      row[j] = 0.0f;
      for (int d = 0; d < kDim; ++d)
        row[j] += widened(call.q[r][d], type) * widened(call.k[j][d], type);
      sum += row[j];
      EXPECT_EQ(scores[static_cast<size_t>(r * kKeys + j)], row[j]) << "row " << r << " key " << j;
    }
    EXPECT_EQ(scores[static_cast<size_t>(16 * kKeys + r)], sum) << "row " << r;
    for (int d = 0; d < kVDim; ++d) {
      float expected = 0.0f;
      for (int j = 0; j < kKeys; ++j) expected += row[j] * widened(call.v[j][d], type);
      EXPECT_EQ(out[static_cast<size_t>(r * kVDim + d)], expected) << "row " << r << " dim " << d;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatrixTest, ::testing::Values(DType::kF16, DType::kBF16),
                         [](const auto& p) { return p.param == DType::kF16 ? "f16" : "bf16"; });

}  // namespace
}  // namespace attend::gpu
