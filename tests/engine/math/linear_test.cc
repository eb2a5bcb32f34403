#include "strategies/engine/math/linear.h"

#include <gtest/gtest.h>

#include <string>

#include "attend/parallel.h"
#include "tests/engine/math/values.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

using testing::bf16_value;
using testing::Matrix;
using testing::nearest_bf16;
using testing::thrown;

double as(DType compute, double x) {
  return compute == DType::kBF16 ? bf16_value(nearest_bf16(static_cast<float>(x))) : x;
}

struct Problem {
  int64_t rows, in;
  std::vector<int64_t> outs;  // of the parts
  DType compute, weights;
  bool bias = false;
};

// Runs it and compares every element with the sum in float64: within 2 sqrt(in) + 4 roundings of
// the sum of sizes, where one lost term would be 1 / in of it.
void check(const Problem& p, bool batch_invariant) {
  SCOPED_TRACE("rows " + std::to_string(p.rows) + " in " + std::to_string(p.in) + " outs " +
               std::to_string(p.outs[0]) + " of " + std::to_string(p.outs.size()) + " compute " +
               name(p.compute) + " weights " + name(p.weights) +
               (batch_invariant ? " invariant" : ""));
  Matrix x = Matrix(p.rows, p.in, 3).random(1);
  std::vector<Matrix> weights, biases;
  std::vector<Linear::Part> parts;
  int64_t out = 0;
  for (const int64_t o : p.outs) {
    weights.push_back(Matrix(o, p.in, 5, p.weights).random(static_cast<uint32_t>(2 + out)));
    biases.push_back(Matrix(1, o, 0, p.weights).random(static_cast<uint32_t>(3 + out), 4.0f));
    out += o;
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    TensorView bias = contiguous(biases[i].memory.data(), p.weights, {p.outs[i]});
    parts.push_back({weights[i].view(), p.bias && i != 1 ? bias : TensorView{}});
  }
  const Linear linear(parts, p.compute);
  ASSERT_EQ(linear.in(), p.in);
  ASSERT_EQ(linear.out(), out);
  Matrix y(p.rows, out, 7);
  linear.run(x.view(), y.view(), batch_invariant);
  EXPECT_TRUE(y.gaps_untouched());
  int64_t column = 0;
  for (size_t part = 0; part < parts.size(); ++part) {
    for (int64_t o = 0; o < p.outs[part]; ++o, ++column) {
      for (int64_t r = 0; r < p.rows; ++r) {
        double sum = parts[part].bias ? biases[part].at(0, o) : 0.0, sizes = std::abs(sum);
        for (int64_t i = 0; i < p.in; ++i) {
          const double term = as(p.compute, x.at(r, i)) * as(p.compute, weights[part].at(o, i));
          sum += term;
          sizes += std::abs(term);
        }
        const double allowed =
            (2 * std::sqrt(static_cast<double>(p.in)) + 4) * 0x1p-24 * sizes + 1e-37;
        const double error = std::abs(y.at(r, column) - sum);
        ASSERT_LE(error, allowed) << "row " << r << " output " << column << ": " << y.at(r, column)
                                  << ", expected " << sum;
      }
    }
  }
}

TEST(Linear, EqualsTheSumInDouble) {
  for (const DType compute : {DType::kF32, DType::kBF16})
    for (const bool invariant : {false, true}) {
      for (const int64_t rows :
           {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 17, 31, 33, 64, 100, 193, 400})
        check({rows, 129, {70}, compute, compute, rows % 2 == 1}, invariant);
      for (const int64_t in : {1, 2, 3, 15, 16, 31, 32, 33, 127, 128, 255, 256, 257, 300, 513})
        for (const int64_t rows : {1, 9, 40})
          check({rows, in, {64}, compute, DType::kBF16}, invariant);
      for (const int64_t out : {1, 2, 15, 17, 63, 65, 127, 130, 200, 320})
        for (const int64_t rows : {1, 2, 11, 40})
          check({rows, 48, {out}, compute, DType::kF32, true}, invariant);
    }
}

TEST(Linear, PartsLieSideBySideWithTheirBiases) {
  for (const DType compute : {DType::kF32, DType::kBF16})
    for (const DType weights : {DType::kF32, DType::kF16, DType::kBF16})
      for (const int64_t rows : {1, 7, 70})
        check({rows, 100, {64, 3, 90}, compute, weights, true}, false);
}

// Every row alone, in any company and at any place, has the same bits.
TEST(Linear, BatchInvariantRowsHaveTheirBitsAlone) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    Matrix x = Matrix(600, 300, 1).random(5);
    Matrix w = Matrix(200, 300, 0, DType::kBF16).random(6);
    const Linear::Part part{w.view(), {}};
    const Linear linear({&part, 1}, compute);
    Matrix alone(600, 200, 0);
    for (int64_t r = 0; r < 600; ++r) {
      TensorView from = x.view(), to = alone.view();
      from.data = static_cast<float*>(from.data) + r * x.stride;
      to.data = static_cast<float*>(to.data) + r * alone.stride;
      from.shape[0] = to.shape[0] = 1;
      linear.run(from, to, true);
    }
    for (const int64_t rows :
         {2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 128, 200, 512, 600}) {
      const int64_t first = (rows * 7) % (601 - rows);
      TensorView from = x.view();
      from.data = static_cast<float*>(from.data) + first * x.stride;
      from.shape[0] = rows;
      Matrix y(rows, 200, 2);
      linear.run(from, y.view(), true);
      for (int64_t r = 0; r < rows; ++r)
        ASSERT_EQ(y.row_bytes(r), alone.row_bytes(first + r)) << name(compute) << " " << rows;
    }
  }
}

// Other rows' values do not matter, be they NaN.
TEST(Linear, ARowDoesNotSeeItsNeighbours) {
  for (const DType compute : {DType::kF32, DType::kBF16})
    for (const int64_t rows : {2, 7, 64, 130}) {
      Matrix x = Matrix(rows, 96, 0).random(7), w = Matrix(80, 96, 0, compute).random(8);
      const Linear::Part part{w.view(), {}};
      const Linear linear({&part, 1}, compute);
      Matrix before(rows, 80), after(rows, 80);
      linear.run(x.view(), before.view());
      const int64_t kept = rows / 2;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < 96 && r != kept; ++i) x.set(r, i, testing::kNan);
      linear.run(x.view(), after.view());
      EXPECT_EQ(before.row_bytes(kept), after.row_bytes(kept)) << rows;
      EXPECT_TRUE(std::isnan(after.at(kept > 0 ? 0 : 1, 79)));
    }
}

TEST(Linear, ThreadsDoNotShow) {
  const int32_t before = num_threads();
  for (const DType compute : {DType::kF32, DType::kBF16})
    for (const bool invariant : {false, true})
      for (const int64_t rows : {1, 3, 37, 300}) {
        Matrix x = Matrix(rows, 1024, 0).random(9), w = Matrix(1500, 1024, 0, compute).random(10);
        const Linear::Part part{w.view(), {}};
        const Linear linear({&part, 1}, compute);
        std::vector<std::byte> first;
        for (const int32_t threads : {1, 2, 3, 8}) {
          set_num_threads(threads);
          Matrix y(rows, 1500);
          linear.run(x.view(), y.view(), invariant);
          if (threads == 1) first = y.memory;
          EXPECT_EQ(y.memory == first, true) << threads << " threads, " << rows << " rows";
        }
      }
  set_num_threads(before);
}

TEST(Linear, MovesAndIsEmptyAtFirst) {
  Linear none;
  EXPECT_EQ(none.in(), 0);
  EXPECT_EQ(none.out(), 0);
  EXPECT_EQ(none.weight_bytes(), 0u);
  Matrix w = Matrix(64, 32, 0).random(1);
  const Linear::Part part{w.view(), {}};
  Linear one({&part, 1}, DType::kBF16);
  none = std::move(one);
  EXPECT_EQ(none.in(), 32);
  EXPECT_EQ(none.weight_bytes(), 64u * 32 * 2);
}

TEST(Linear, RefusesInWords) {
  Matrix w = Matrix(8, 16, 0).random(1), wide = Matrix(8, 17, 0).random(1), b(1, 7);
  const auto make = [](std::vector<Linear::Part> parts, DType compute) {
    return thrown([&] { Linear(parts, compute); });
  };
  EXPECT_TRUE(make({}, DType::kF32).says("Linear: parts count is 0, expected 1 or more"));
  EXPECT_TRUE(make({{w.view(), {}}}, DType::kF16)
                  .says("Linear: compute dtype is f16, expected f32 or bf16"));
  EXPECT_TRUE(make({{w.view(), {}}, {wide.view(), {}}}, DType::kF32)
                  .says("Linear: weight shape is f32[8, 17] on native:0, expected [rows, 16]"));
  EXPECT_TRUE(make({{w.view(), contiguous(b.memory.data(), DType::kF32, {7})}}, DType::kF32)
                  .says("Linear: bias shape is f32[7] on native:0, expected [8]"));
  EXPECT_TRUE(make({{transposed(w.view(), 0, 1), {}}}, DType::kF32)
                  .says("Linear: weight stride of the last dimension is 16, expected 1"));
  TensorView ids = contiguous(w.memory.data(), DType::kI32, {8, 16});
  EXPECT_TRUE(make({{ids, {}}}, DType::kF32)
                  .says("Linear: weight dtype is i32, expected f32, f16 or bf16"));

  const Linear::Part part{w.view(), {}};
  const Linear linear({&part, 1}, DType::kF32);
  Matrix x = Matrix(3, 16, 0).random(2), y(3, 8), narrow(3, 15), few(2, 8);
  const auto run = [&](const TensorView& from, const TensorView& to) {
    return thrown([&] { linear.run(from, to); });
  };
  EXPECT_TRUE(run(narrow.view(), y.view())
                  .says("Linear::run: x shape is f32[3, 15] on native:0, expected [rows, 16]"));
  EXPECT_TRUE(run(x.view(), few.view())
                  .says("Linear::run: y shape is f32[2, 8] on native:0, expected [3, 8]"));
  Matrix half(3, 8, 0, DType::kBF16);
  EXPECT_TRUE(run(x.view(), half.view()).says("Linear::run: y dtype is bf16, expected f32"));
  EXPECT_EQ(run(x.view(), half.view()).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(run(x.view(), y.view()).what, "");
}

}  // namespace
}  // namespace attend::engine
