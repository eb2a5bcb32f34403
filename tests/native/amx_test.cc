// The AMX row on any machine with AVX-512 BF16: its tile operations, over an imitation of the
// instructions, against attention in double.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "backends/native/isa/tile_ops.h"
#include "ops/common/element.h"

namespace attend::native {
extern const TileOps kImitatedAmxOps;

namespace {

struct Sizes {
  int rows, keys, head_dim, v_dim;
};

class Amx : public ::testing::TestWithParam<Sizes> {
 protected:
  void SetUp() override {
    if (!__builtin_cpu_supports("avx512bf16"))
      GTEST_SKIP() << "this CPU lacks AVX-512 BF16, for which packing and softmax are compiled";
  }

  // Rows of bf16 numbers, and what they are as doubles.
  struct Rows {
    std::vector<uint16_t> bits;
    std::vector<double> value;
    std::vector<const void*> at;
    int dim;
    Rows(const Rows&) = delete;  // `at` points into it
    Rows& operator=(const Rows&) = delete;
    Rows(std::mt19937& random, int count, int width) : dim(width) {
      std::normal_distribution<float> draw;
      for (int i = 0; i < count * width; ++i) {
        bits.push_back(f32_to_bf16(draw(random)));
        value.push_back(bf16_to_f32(bits.back()));
      }
      for (int i = 0; i < count; ++i) at.push_back(bits.data() + i * width);
    }
    RowPointers pointers() const { return {at.data(), 1, Elem::kBF16, 1.0f}; }
    double of(int row, int d) const { return value[static_cast<size_t>(row * dim + d)]; }
  };
};

int round_up(int n, int step) { return (n + step - 1) / step * step; }

// Two tiles of keys in turn, so that sums begin fresh and then are scaled; the second one's last keys
// are hidden from the upper rows.
TEST_P(Amx, TwoTilesOfKeysMatchTheOracle) {
  const Sizes z = GetParam();
  const TileOps& ops = kImitatedAmxOps;
  std::mt19937 random(7);
  const Rows q(random, z.rows, z.head_dim);
  const std::array<Rows, 2> k{Rows(random, z.keys, z.head_dim), Rows(random, z.keys, z.head_dim)},
      v{Rows(random, z.keys, z.v_dim), Rows(random, z.keys, z.v_dim)};
  const float scale = 1.0f / std::sqrt(static_cast<float>(z.head_dim));
  const auto hidden_from = [&](int row) { return row < z.rows / 2 ? z.keys - 1 : z.keys; };

  Tile t{};
  t.head_words = t.q_words = round_up((z.head_dim + 1) / 2, 16);
  t.keys = round_up(z.keys, ops.key_step);
  t.v_dims = round_up(z.v_dim, ops.dim_step);
  t.scale = scale;
  t.exact = true;  // the sums of weights are looked at
  const auto floats = [](int64_t count) {
    return std::vector<float>(static_cast<size_t>(count), std::nanf(""));
  };
  std::vector<float> packed_q = floats(ops.row_step * t.q_words),
                     packed_k = floats(t.keys * t.head_words),
                     packed_v = floats(t.keys / 2 * t.v_dims),
                     s = floats(ops.row_step * kScoreStride), out = floats(ops.row_step * t.v_dims),
                     m(64, -INFINITY), l(64, 0.0f), factor(64, NAN);
  ops.pack_q(q.pointers(), z.rows, z.head_dim, packed_q.data());
  Panel p{};
  p.q = packed_q.data(), p.s = s.data(), p.out = out.data();
  p.m = m.data(), p.l = l.data(), p.factor = factor.data();
  p.rows = z.rows;
  p.last_key = z.keys;
  p.key_end = t.keys;
  t.k = packed_k.data(), t.v = packed_v.data();
  for (int tile = 0; tile < 2; ++tile) {
    p.fresh = tile == 0;
    ops.pack_k(k[static_cast<size_t>(tile)].pointers(), z.keys, z.head_dim, packed_k.data());
    ops.pack_v(v[static_cast<size_t>(tile)].pointers(), z.keys, z.v_dim, nullptr, packed_v.data());
    ops.scores(t, p, nullptr);
    for (int r = 0; r < z.rows; ++r) {
      TileRow row{};
      row.end = tile == 0 ? z.keys : hidden_from(r);
      ops.prepare(t, p, r, row);
    }
    ops.softmax(t, p);
    ops.accumulate(t, p);
  }

  for (int r = 0; r < z.rows; ++r) {
    std::vector<double> weights;
    double sum = 0.0;
    for (int j = 0; j < z.keys + hidden_from(r); ++j) {
      const Rows& keys = k[static_cast<size_t>(j / z.keys)];
      double score = 0.0;
      for (int d = 0; d < z.head_dim; ++d) score += q.of(r, d) * keys.of(j % z.keys, d);
      weights.push_back(std::exp(score * scale));
      sum += weights.back();
    }
    EXPECT_NEAR(m[static_cast<size_t>(r)] + std::log(l[static_cast<size_t>(r)]), std::log(sum),
                1e-5);
    for (int d = 0; d < z.v_dim; ++d) {
      double exact = 0.0, size = 0.0;
      for (size_t j = 0; j < weights.size(); ++j) {
        const double value = v[j / static_cast<size_t>(z.keys)].of(static_cast<int>(j) % z.keys, d);
        exact += weights[j] / sum * value;
        size += weights[j] / sum * std::abs(value);
      }
      const double got = out[static_cast<size_t>(r * t.v_dims + d)] / l[static_cast<size_t>(r)];
      EXPECT_NEAR(got, exact, size * 0x1p-8) << "row " << r << ", dim " << d;  // weights are bf16
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Amx,
                         ::testing::Values(Sizes{32, 64, 64, 64}, Sizes{32, 256, 128, 128},
                                           Sizes{16, 32, 32, 32}, Sizes{17, 33, 40, 72},
                                           Sizes{1, 3, 1, 1}, Sizes{31, 95, 127, 33}),
                         [](const auto& p) {
                           const Sizes& z = p.param;
                           return std::to_string(z.rows) + "x" + std::to_string(z.keys) + "_d" +
                                  std::to_string(z.head_dim) + "_v" + std::to_string(z.v_dim);
                         });

}  // namespace
}  // namespace attend::native
