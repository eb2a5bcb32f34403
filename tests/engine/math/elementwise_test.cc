#include "strategies/engine/math/elementwise.h"

#include <gtest/gtest.h>

#include <string>

#include "attend/parallel.h"
#include "tests/engine/math/values.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

using testing::Matrix;
using testing::thrown;

constexpr double kEps = 0x1p-24;  // of one rounding to f32

// Widths around every vector's length, and rows enough for several threads.
const std::vector<std::pair<int64_t, int64_t>> kShapes = {
    {0, 5},  {1, 1},  {1, 3},  {2, 4},  {3, 7},  {1, 8},   {2, 15},  {1, 16},   {3, 17},
    {2, 31}, {1, 33}, {2, 63}, {2, 64}, {2, 65}, {1, 127}, {3, 256}, {1, 1025}, {300, 1030}};

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

TEST(RmsNorm, EqualsDouble) {
  for (const auto& [rows, width] : kShapes)
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
      for (const bool plus_one : {false, true})
        for (const bool weighted : {true, false})
          for (const bool in_place : {false, true}) {
            Matrix x = Matrix(rows, width, 3).random(1, 3.0f);
            const Matrix from = x;
            Matrix w = Matrix(1, width, 0, dtype).random(2);
            Matrix y(rows, width, 2);
            const TensorView to = in_place ? x.view() : y.view();
            rms_norm(x.view(),
                     weighted ? contiguous(w.memory.data(), dtype, {width}) : TensorView{}, 1e-2f,
                     plus_one, to);
            const Matrix& got = in_place ? x : y;
            ASSERT_TRUE(got.gaps_untouched());
            for (int64_t i = 0; i < rows; ++i) {
              double squares = 0.0;
              for (int64_t j = 0; j < width; ++j) squares += from.at(i, j) * from.at(i, j);
              const double norm =
                  std::sqrt(squares / static_cast<double>(width) + static_cast<double>(1e-2f));
              for (int64_t j = 0; j < width; ++j) {
                const double factor = weighted ? w.at(0, j) + (plus_one ? 1.0 : 0.0) : 1.0;
                const double want = from.at(i, j) / norm * factor;
                const double size = std::abs(from.at(i, j) / norm) * (std::abs(factor) + 1.0);
                ASSERT_NEAR(got.at(i, j), want, 12 * kEps * size) << rows << "x" << width;
              }
            }
          }
}

TEST(AddTo, Adds) {
  for (const auto& [rows, width] : kShapes) {
    Matrix x = Matrix(rows, width, 1).random(1), y = Matrix(rows, width, 2).random(2);
    const Matrix before = y;
    add_to(x.view(), y.view());
    ASSERT_TRUE(y.gaps_untouched());
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < width; ++j)
        ASSERT_EQ(y.at(i, j), static_cast<float>(x.at(i, j)) + static_cast<float>(before.at(i, j)));
  }
}

// The exponential of -|x| takes x * log2(e) rounded, so its relative error grows with |x|; below
// 2^-126 it is 0.
TEST(SiluMul, EqualsDouble) {
  for (const auto& [rows, width] : kShapes)
    for (const float size : {0.01f, 1.0f, 30.0f}) {
      Matrix x = Matrix(rows, 2 * width, 1).random(1, size), y(rows, width, 2);
      silu_mul(x.view(), y.view());
      ASSERT_TRUE(y.gaps_untouched());
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < width; ++j) {
          const double g = x.at(i, j), up = x.at(i, width + j), want = g * sigmoid(g) * up;
          ASSERT_NEAR(y.at(i, j), want,
                      (8 + 2 * std::abs(g)) * kEps * std::abs(want) + 0x1p-126 * std::abs(g * up))
              << g;
        }
    }
}

TEST(SiluMul, ExtremesAreWhatTheyAre) {
  Matrix x(1, 12), y(1, 6);
  const float gates[6] = {0.0f, -0.0f, 1e30f, -1e30f, -200.0f, testing::kNan};
  for (int64_t j = 0; j < 6; ++j) {
    x.set(0, j, gates[j]);
    x.set(0, 6 + j, 2.0f);
  }
  silu_mul(x.view(), y.view());
  EXPECT_EQ(y.at(0, 0), 0.0);
  EXPECT_EQ(y.at(0, 1), 0.0);
  EXPECT_EQ(y.at(0, 2), 2.0 * static_cast<double>(1e30f));
  EXPECT_EQ(y.at(0, 3), 0.0);
  EXPECT_EQ(y.at(0, 4), 0.0);
  EXPECT_TRUE(std::isnan(y.at(0, 5)));
}

TEST(SigmoidMul, EqualsDouble) {
  for (const auto& [rows, width] : kShapes)
    for (const float size : {0.01f, 1.0f, 30.0f}) {
      Matrix gate = Matrix(rows, width, 1).random(1, size), y = Matrix(rows, width, 2).random(2);
      const Matrix before = y;
      sigmoid_mul(gate.view(), y.view());
      ASSERT_TRUE(y.gaps_untouched());
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < width; ++j) {
          const double g = gate.at(i, j), want = before.at(i, j) * sigmoid(g);
          ASSERT_NEAR(
              y.at(i, j), want,
              (8 + 2 * std::abs(g)) * kEps * std::abs(want) + 0x1p-126 * std::abs(before.at(i, j)));
        }
    }
}

TEST(GatherRows, TakesRowsOfAnyType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const int64_t width : {1, 5, 16, 33, 400}) {
      Matrix table = Matrix(40, width, 3, dtype).random(1);
      const std::vector<int32_t> ids = {39, 0, 7, 7, 21};
      Matrix y(5, width, 2);
      gather_rows(table.view(), ids, y.view());
      ASSERT_TRUE(y.gaps_untouched());
      for (int64_t i = 0; i < 5; ++i)
        for (int64_t j = 0; j < width; ++j)
          ASSERT_EQ(y.at(i, j), table.at(ids[static_cast<size_t>(i)], j));
    }
}

TEST(GatherRows, NamesTheIdThatIsNotThere) {
  Matrix table = Matrix(40, 8, 0).random(1), y(3, 8);
  for (const int32_t bad : {40, -1}) {
    const std::vector<int32_t> ids = {0, bad, 1};
    const auto e = thrown([&] { gather_rows(table.view(), ids, y.view()); });
    EXPECT_EQ(e.code, ErrorCode::kOutOfRange);
    EXPECT_TRUE(e.says("gather_rows: ids[1] is " + std::to_string(bad) +
                       ", expected 0 to 39 (table has 40 entries)"))
        << e.what;
  }
  EXPECT_TRUE(std::isnan(y.at(0, 0)));  // nothing was written
}

// What follows one type's rounding; the narrow types are compared with the nearest value.
double rounded(DType dtype, double x) {
  if (dtype == DType::kF32) return x;
  if (dtype == DType::kBF16)
    return testing::bf16_value(testing::nearest_bf16(static_cast<float>(x)));
  const double step = std::ldexp(1.0, std::max(std::ilogb(x), -14) - 10);
  return std::nearbyint(x / step) * step;
}

TEST(NormAndRotate, EqualsDouble) {
  struct Case {
    int64_t rows, heads, width, pairs;
    DType dtype, weight;
    bool norm, plus_one, strided;
  };
  const std::vector<Case> cases = {
      {1, 2, 128, 64, DType::kF32, DType::kF32, true, false, false},
      {3, 2, 128, 64, DType::kBF16, DType::kBF16, true, true, false},
      {2, 3, 64, 16, DType::kF16, DType::kF16, true, false, true},
      {5, 1, 20, 5, DType::kF32, DType::kBF16, false, false, true},
      {4, 2, 7, 3, DType::kF32, DType::kF32, true, false, true},
      {2, 2, 16, 0, DType::kF32, DType::kF32, true, false, false},
      {0, 2, 16, 8, DType::kF32, DType::kF32, true, false, false},
      {300, 16, 128, 64, DType::kBF16, DType::kF32, true, false, false}};
  for (const Case& c : cases) {
    SCOPED_TRACE(std::to_string(c.rows) + "x" + std::to_string(c.heads) + "x" +
                 std::to_string(c.width) + " " + name(c.dtype));
    Matrix x = Matrix(c.rows, c.heads * c.width, 5).random(1, 2.0f);
    Matrix w = Matrix(1, c.width, 0, c.weight).random(2);
    Matrix y(c.rows, c.heads * c.width, 3, c.dtype);
    TensorView from = contiguous(x.memory.data(), DType::kF32, {c.rows, c.heads, c.width});
    from.stride[0] = x.stride;
    TensorView to = contiguous(y.memory.data(), c.dtype, {c.rows, c.heads, c.width});
    to.stride[0] = y.stride;
    // Strided: element j of head h lies at j * heads + h.
    if (c.strided)
      for (TensorView* t : {&from, &to}) t->stride[1] = 1, t->stride[2] = c.heads;
    const auto at = [&](int64_t h, int64_t j) {
      return c.strided ? j * c.heads + h : h * c.width + j;
    };
    Rotary rotary;
    rotary.scale = 1.25f;
    for (int64_t i = 0; i < c.pairs; ++i)
      rotary.inv_freq.push_back(static_cast<float>(
          std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(c.pairs))));
    std::vector<int32_t> positions;
    for (int64_t i = 0; i < c.rows; ++i) positions.push_back(static_cast<int32_t>(i * 37 % 4000));
    HeadNorm norm;
    norm.eps = 1e-3f;
    norm.weight_plus_one = c.plus_one;
    if (c.norm) norm.weight = contiguous(w.memory.data(), c.weight, {c.width});
    norm_and_rotate(from, norm, rotary, positions, to);
    ASSERT_TRUE(y.gaps_untouched());
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t h = 0; h < c.heads; ++h) {
        std::vector<double> head(static_cast<size_t>(c.width));
        double squares = 0.0, most = 0.0;
        for (int64_t j = 0; j < c.width; ++j) squares += std::pow(x.at(r, at(h, j)), 2);
        const double factor = c.norm ? 1.0 / std::sqrt(squares / static_cast<double>(c.width) +
                                                       static_cast<double>(1e-3f))
                                     : 1.0;
        for (int64_t j = 0; j < c.width; ++j) {
          const double weight = c.norm ? w.at(0, j) + (c.plus_one ? 1.0 : 0.0) : 1.0;
          head[static_cast<size_t>(j)] = x.at(r, at(h, j)) * factor * weight;
          most = std::max(most, std::abs(head[static_cast<size_t>(j)]));
        }
        for (int64_t i = 0; i < c.pairs; ++i) {
          // The angle is that of f32, as elementwise.h has it.
          const float angle = static_cast<float>(positions[static_cast<size_t>(r)]) *
                              rotary.inv_freq[static_cast<size_t>(i)];
          double &a = head[static_cast<size_t>(i)], &b = head[static_cast<size_t>(i + c.pairs)];
          const double cos = std::cos(static_cast<double>(angle)) * 1.25,
                       sin = std::sin(static_cast<double>(angle)) * 1.25;
          const double first = a * cos - b * sin;
          b = b * cos + a * sin;
          a = first;
        }
        for (int64_t j = 0; j < c.width; ++j) {
          const double want = head[static_cast<size_t>(j)], got = y.at(r, at(h, j));
          const double unit = c.dtype == DType::kF32   ? kEps
                              : c.dtype == DType::kF16 ? 0x1p-11
                                                       : 0x1p-8;
          ASSERT_NEAR(got, want, unit * std::abs(want) * 1.01 + 20 * kEps * (most + 1.0) + 0x1p-24)
              << "row " << r << " head " << h << " element " << j;
        }
      }
  }
}

// Every layer of a step asks with the same positions; other positions, frequencies or scales in
// between must not be taken for them.
TEST(NormAndRotate, AnglesAreThoseOfTheCall) {
  const auto turn = [](float freq, float scale, int32_t position) {
    float x[2] = {1.0f, 0.0f}, y[2];
    const TensorView from = contiguous(x, DType::kF32, {1, 1, 2}),
                     to = contiguous(y, DType::kF32, {1, 1, 2});
    Rotary rotary;
    rotary.inv_freq = {freq};
    rotary.scale = scale;
    norm_and_rotate(from, {}, rotary, {&position, 1}, to);
    EXPECT_NEAR(y[0], scale * std::cos(freq * static_cast<float>(position)), 1e-6);
    EXPECT_NEAR(y[1], scale * std::sin(freq * static_cast<float>(position)), 1e-6);
  };
  for (int pass = 0; pass < 3; ++pass) {
    turn(1.0f, 1.0f, 1), turn(1.0f, 1.0f, 2), turn(0.5f, 1.0f, 2), turn(0.5f, 2.0f, 2);
    turn(0.5f, 2.0f, 2), turn(1.0f, 1.0f, 1), turn(1.0f, 1.0f, 0);
  }
}

TEST(Convert, RoundsToNearestAnyStrides) {
  for (const DType a : {DType::kF32, DType::kF16, DType::kBF16})
    for (const DType b : {DType::kF32, DType::kF16, DType::kBF16})
      for (const auto& [rows, width] : kShapes)
        for (const bool turned : {false, true}) {
          Matrix x = Matrix(rows, width, 3, a).random(1), y(rows, width, 2, b);
          Matrix z(width, rows, 2, b);
          convert(x.view(), turned ? transposed(z.view(), 0, 1) : y.view());
          ASSERT_TRUE(y.gaps_untouched() && z.gaps_untouched());
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < width; ++j)
              ASSERT_EQ(turned ? z.at(j, i) : y.at(i, j), rounded(b, x.at(i, j)))
                  << name(a) << " to " << name(b);
        }
}

TEST(Convert, TakesBroadcastAndHigherRanks) {
  float x[3] = {1.0f, -2.0f, 3.5f};
  TensorView from = contiguous(x, DType::kF32, {2, 1, 3});
  from.stride = {0, 0, 1};
  uint16_t y[6] = {};
  convert(from, contiguous(y, DType::kBF16, {2, 1, 3}));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(testing::bf16_value(y[i]), x[i % 3]);
}

TEST(Elementwise, ThreadsDoNotShow) {
  const int32_t before = num_threads();
  Matrix x = Matrix(600, 1024, 0).random(1), w = Matrix(1, 1024, 0).random(2);
  std::vector<std::byte> first;
  for (const int32_t threads : {1, 2, 7}) {
    set_num_threads(threads);
    Matrix y(600, 1024), z(600, 512);
    rms_norm(x.view(), contiguous(w.memory.data(), DType::kF32, {1024}), 1e-6f, false, y.view());
    silu_mul(y.view(), z.view());
    if (threads == 1) first = z.memory;
    EXPECT_TRUE(z.memory == first) << threads;
  }
  set_num_threads(before);
}

TEST(Elementwise, RefusesInWords) {
  Matrix x(2, 8), half(2, 8, 0, DType::kF16), narrow(2, 7), w(1, 7);
  const auto says = [](const std::string& words, auto&& f) {
    const auto e = thrown(f);
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(e.what, words);
  };
  says("rms_norm: weight shape is f32[7] on native:0, expected [8]", [&] {
    rms_norm(x.view(), contiguous(w.memory.data(), DType::kF32, {7}), 1e-6f, false, x.view());
  });
  says("rms_norm: x dtype is f16, expected f32",
       [&] { rms_norm(half.view(), {}, 1e-6f, false, x.view()); });
  says("add_to: y shape is f32[2, 7] on native:0, expected [2, 8]",
       [&] { add_to(x.view(), narrow.view()); });
  says("silu_mul: x shape is f32[2, 8] on native:0, expected [2, 14]",
       [&] { silu_mul(x.view(), narrow.view()); });
  says("sigmoid_mul: gate stride of the last dimension is 8, expected 1", [&] {
    Matrix square(8, 8);
    sigmoid_mul(transposed(square.view(), 0, 1), square.view());
  });
  const TensorView heads = contiguous(x.memory.data(), DType::kF32, {2, 2, 4});
  const std::vector<int32_t> one = {1}, two = {1, 2};
  says("norm_and_rotate: positions count is 1, expected 2",
       [&] { norm_and_rotate(heads, {}, {}, one, heads); });
  Rotary wide;
  wide.inv_freq = {1.0f, 1.0f, 1.0f};
  says("norm_and_rotate: rotary.inv_freq count is 3, expected at most 2, half of head_dim",
       [&] { norm_and_rotate(heads, {}, wide, two, heads); });
  says("convert: y shape is f32[2, 7] on native:0, expected f32[2, 8] on native:0",
       [&] { convert(x.view(), narrow.view()); });
}

}  // namespace
}  // namespace attend::engine
