// The graphs of sdpa/cuda/cudnn, built by cuDNN itself without a device: it takes every shape that
// the row promises, and says why where it takes none. What runs is tested on a device.
#include <gtest/gtest.h>

#include <string>

#include "backends/cuda/cudnn_plan.h"

namespace attend::cuda {
namespace {

CudnnKey plain(int32_t compute_capability, int64_t head_dim) {
  CudnnKey key;
  key.compute_capability = compute_capability;
  key.batch = 2, key.heads = 8, key.kv_heads = 2;
  key.rows = 128, key.keys = 192;
  key.head_dim = key.v_dim = head_dim;
  key.scale = 0.125f;
  const auto packed = [&](int64_t heads, int64_t rows) {
    return CudnnKey::Strides{rows * heads * head_dim, head_dim, heads * head_dim};
  };
  key.q = key.out = packed(key.heads, key.rows);
  key.k = key.v = packed(key.kv_heads, key.keys);
  return key;
}

std::string shown(const CudnnKey& key) {
  return "sm " + std::to_string(key.compute_capability) + " head_dim " +
         std::to_string(key.head_dim) + " " + name(key.dtype) + (key.causal ? " causal" : "") +
         (key.bottom_right ? " bottom right" : "") + " window " + std::to_string(key.window_left) +
         (key.lse ? " lse" : "");
}

class CudnnGraph : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cudnn_missing().empty()) GTEST_SKIP() << cudnn_missing();
  }
  static void expect_taken(const CudnnKey& key) {
    EXPECT_EQ(cudnn_graph_fault(key), "") << shown(key);
  }
};

TEST_F(CudnnGraph, TakesEveryValidatedShape) {
  for (const auto& [generation, largest] : {std::pair{80, 128}, {89, 128}, {90, 256}, {100, 128}})
    for (int64_t head_dim : {8, 64, 72, 128, 192, 256}) {
      if (head_dim > largest) continue;
      CudnnKey key = plain(generation, head_dim);
      expect_taken(key);
      key.dtype = DType::kF16;
      key.lse = true;
      key.lse_at = {key.heads * key.rows, key.rows, 1};
      expect_taken(key);
    }
}

TEST_F(CudnnGraph, TakesTheMasks) {
  for (int32_t generation : {80, 90, 100})
    for (bool bottom_right : {false, true})
      for (int32_t window : {-1, 0, 40}) {
        CudnnKey key = plain(generation, 64);
        key.causal = true;
        key.bottom_right = bottom_right;
        key.window_left = window;
        expect_taken(key);
      }
}

TEST_F(CudnnGraph, TakesLengthsThatAreNoTiles) {
  for (const auto& [rows, keys] : {std::pair{2, 2}, {3, 1}, {77, 131}, {1000, 1000}}) {
    CudnnKey key = plain(90, 128);
    key.rows = rows;
    key.keys = keys;
    key.v_dim = 64;
    expect_taken(key);
    key.causal = rows <= keys;
    expect_taken(key);
  }
}

// Where cuDNN takes none, its words come back.
TEST_F(CudnnGraph, SaysWhyNot) {
  const std::string odd = cudnn_graph_fault(plain(90, 60));
  EXPECT_TRUE(odd.starts_with("cuDNN says: ")) << odd;
  EXPECT_NE(odd.find("multiple of 8"), std::string::npos) << odd;
  CudnnKey heads = plain(90, 64);
  heads.kv_heads = 3;
  EXPECT_NE(cudnn_graph_fault(heads).find("heads"), std::string::npos) << cudnn_graph_fault(heads);
  EXPECT_NE(cudnn_graph_fault(plain(75, 64)).find("SM80"), std::string::npos);
  CudnnKey rows = plain(90, 64);
  rows.causal = rows.bottom_right = true;
  rows.rows = 300;  // more than keys
  EXPECT_NE(cudnn_graph_fault(rows), "");
}

}  // namespace
}  // namespace attend::cuda
