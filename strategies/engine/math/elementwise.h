#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "attend/tensor.h"

// What a decoder does between its products. Everything is f32 unless stated, [rows, width] with
// contiguous rows of any stride, computed on the library's threads; y may be x where shapes agree.
namespace attend::engine {

// y = x / sqrt(mean(x^2) + eps) * weight, or * (1 + weight) where `weight_plus_one`; without a weight
// normalised only.
void rms_norm(const TensorView& x, const TensorView& weight, float eps, bool weight_plus_one,
              const TensorView& y);

// y += x.
void add_to(const TensorView& x, const TensorView& y);

// y = silu(gate) * up of rows that hold [gate, up]: x [rows, 2 width], y [rows, width].
void silu_mul(const TensorView& x, const TensorView& y);

// y *= sigmoid(gate), the gated output of attention.
void sigmoid_mul(const TensorView& gate, const TensorView& y);

// y[i] = table[ids[i]]: table [entries, width] of f32, f16 or bf16.
//   errors   kOutOfRange naming the row, the id and the number of entries
void gather_rows(const TensorView& table, std::span<const int32_t> ids, const TensorView& y);

// The angles of rotary positions: cos and sin of position * inv_freq[i], times `scale`. The product
// is rounded to f32 first, as in the programs that trained the checkpoints.
struct Rotary {
  std::vector<float> inv_freq;  // [rotary_dim / 2]
  float scale = 1.0f;           // of cos and sin, as YaRN has it
};

// Per head: RMSNorm (where a weight is given), rotation of the first 2 * inv_freq.size() elements in
// halves (x_i with x_{i + rotary_dim / 2}), conversion.
//   x  f32 [rows, heads, head_dim]; y  f32, f16 or bf16 of the same shape, any strides
struct HeadNorm {
  TensorView weight;  // [head_dim] or absent
  float eps = 1e-6f;
  bool weight_plus_one = false;
};
void norm_and_rotate(const TensorView& x, const HeadNorm& norm, const Rotary& rotary,
                     std::span<const int32_t> positions, const TensorView& y);

// y = x in y's dtype (f32, f16, bf16), any strides, any rank that both share.
void convert(const TensorView& x, const TensorView& y);

}  // namespace attend::engine
