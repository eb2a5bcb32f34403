// The graphs of sdpa/cuda/cudnn, built by cuDNN itself without a device: it takes every shape that
// the row promises, and says why where it takes none. What runs is tested on a device.
#include <gtest/gtest.h>

#include <string>

#include "backends/cuda/cudnn_call.h"
#include "backends/cuda/cudnn_plan.h"
#include "backends/cuda/cudnn_ragged.h"

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

// Lengths in tensors, ragged offsets, and sums that are rows of all heads.
CudnnKey ragged(int32_t compute_capability, int64_t head_dim) {
  CudnnKey key = plain(compute_capability, head_dim);
  key.ragged = key.lse = true;
  key.lse_at = {key.rows * key.heads, 1, key.heads};
  return key;
}

TEST_F(CudnnGraph, TakesRaggedCalls) {
  for (const auto& [generation, largest] : {std::pair{80, 128}, {89, 128}, {90, 256}, {100, 128}})
    for (const int64_t head_dim : {64, 72, 128, 256})
      for (const bool causal : {false, true})
        for (const int32_t window : {-1, 40}) {
          if (head_dim > largest || (window >= 0 && !causal)) continue;
          CudnnKey key = ragged(generation, head_dim);
          key.causal = causal;
          key.window_left = window;
          for (const bool bottom_right : {false, true}) {
            key.bottom_right = causal && bottom_right;
            expect_taken(key);
          }
          key.rows = 300;  // sequences of more rows than keys
          expect_taken(key);
          key.lse = false;
          expect_taken(key);
        }
}

// A plan knows bounds and strides, never lengths: calls of one capacity share it, and no dense call
// has a ragged one's.
TEST(CudnnKeys, PlansAreSharedByCapacity) {
  const auto shaped = [](std::initializer_list<int64_t> shape) {
    TensorView t = contiguous(nullptr, DType::kBF16, shape);
    return t;
  };
  AttentionArgs a;
  a.q = a.out = shaped({40, 4, 64});
  a.k = a.v = shaped({60, 2, 64});
  const int32_t few[] = {0, 1, 40}, many[] = {0, 20, 30};
  AttentionParams p;
  p.softmax_scale = 0.125f;
  p.mask.causal = true;
  const auto key = [&](const int32_t* lengths) {
    a.seq.cu_seqlens_q = a.seq.cu_seqlens_k =
        contiguous(const_cast<int32_t*>(lengths), DType::kI32, {3});
    return cudnn_key(a, p, {DeviceType::kCuda, 0}, 90);
  };
  const CudnnKey one = key(few);
  EXPECT_EQ(one, key(many));
  EXPECT_TRUE(one.ragged);
  EXPECT_EQ(one.batch, 2);
  EXPECT_EQ(one.rows, 40);
  EXPECT_EQ(one.keys, 60);
  a.seq.max_seqlen_q = 32, a.seq.max_seqlen_k = 48;
  const CudnnKey bounded = key(few);
  EXPECT_FALSE(bounded == one);
  EXPECT_EQ(bounded.rows, 32);
  EXPECT_EQ(bounded.keys, 48);
  a.q = a.out = shaped({50, 4, 64});  // the bounds decide, not how many rows there are
  EXPECT_EQ(key(many), bounded);

  AttentionArgs dense;
  dense.q = dense.out = shaped({2, 40, 4, 64});
  dense.k = dense.v = shaped({2, 60, 2, 64});
  EXPECT_FALSE(cudnn_key(dense, p, {DeviceType::kCuda, 0}, 90) == one);
}

// Behind the plan's own workspace: parts that do not touch, each at 256 bytes.
TEST(CudnnKeys, RaggedPartsLieApart) {
  int32_t lengths[] = {0, 1, 40};
  float lse = 0;
  AttentionArgs a;
  a.q = a.out = contiguous(nullptr, DType::kBF16, {40, 4, 64});
  a.k = a.v = contiguous(nullptr, DType::kBF16, {60, 2, 64});
  a.seq.cu_seqlens_q = a.seq.cu_seqlens_k = contiguous(lengths, DType::kI32, {3});
  const uint64_t without = RaggedSpace(a).bytes;
  EXPECT_EQ(without, 7u * 256);
  a.lse = contiguous(&lse, DType::kF32, {4, 40});
  EXPECT_EQ(RaggedSpace(a).bytes, without + 768);  // 4 x 40 f32
  const gpu::RaggedCall call = ragged_call(a, {}, nullptr, nullptr);
  const void* const parts[] = {call.rows, call.keys, call.q,       call.k,
                               call.v,    call.out,  call.sums_at, call.sums};
  for (size_t i = 0; i < std::size(parts); ++i)
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parts[i]), i * 256) << i;
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
