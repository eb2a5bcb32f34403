// That oneDNN takes packed weights where they lie, and by a kernel worth having. That its sums are
// right is linear_test's.
#include "strategies/engine/math/onednn_product.h"

#include <gtest/gtest.h>

#include <string>

#include "attend/registry.h"
#include "strategies/engine/math/packed.h"
#include "tests/engine/math/values.h"

namespace attend::engine {
namespace {

using testing::Matrix;

TEST(OneDnnSlice, ReadsPanelsOfWeights) {
  const std::string isa = native_isa();
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (!isa.starts_with("avx512") || (dtype == DType::kBF16 && isa == "avx512")) continue;
    for (const int64_t columns : {64, 100, 256})
      for (const int64_t rows : {8, 37, 256}) {
        const auto product = OneDnnSlice::find({dtype, rows, 96, columns});
        ASSERT_NE(product, nullptr) << name(dtype) << " on " << isa;
        EXPECT_EQ(product, OneDnnSlice::find({dtype, rows, 96, columns}));
        // Ones times whole numbers: exact in either type.
        Matrix x(rows, 96, 0, dtype), w(columns, 96, 0, dtype), y(rows, columns);
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < 96; ++j) x.set(i, j, static_cast<float>((i + j) % 2));
        for (int64_t i = 0; i < columns; ++i)
          for (int64_t j = 0; j < 96; ++j)
            w.set(i, j, static_cast<float>((i * 5 + j * 3) % 64 - 30));
        const Linear::Part part{w.view(), {}};
        const PackedWeights packed({&part, 1}, dtype);
        ASSERT_TRUE(product->run(x.memory.data(), packed.panel(0),
                                 reinterpret_cast<float*>(y.memory.data())));
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < columns; ++c) {
            double sum = 0.0;
            for (int64_t j = 0; j < 96; ++j) sum += x.at(r, j) * w.at(c, j);
            ASSERT_EQ(y.at(r, c), sum) << r << " " << c;
          }
      }
  }
}

}  // namespace
}  // namespace attend::engine
