#include "backends/cuda/cudnn_call.h"

#include <algorithm>

#include "backends/gpu/host/bounds.h"
#include "ops/common/layout.h"

namespace attend::cuda {
namespace {

// A dimension of one element has whatever stride: one that cuDNN takes.
CudnnKey::Strides strides(const TensorView& t, int64_t rows) {
  CudnnKey::Strides s;
  s.row = t.dim(-3) > 1 ? t.step(-3) : t.dim(-2) * t.dim(-1);
  s.head = t.dim(-2) > 1 ? t.step(-2) : t.dim(-1);
  s.batch = t.rank == 4 && t.dim(0) > 1 ? t.step(0) : s.row * rows;
  return s;
}

}  // namespace

bool is_ragged(const AttentionArgs& a) { return static_cast<bool>(a.seq.cu_seqlens_q); }

int64_t cudnn_rows(const AttentionArgs& a) {
  return is_ragged(a) ? gpu::Bounds(a).rows : a.q.dim(1);
}

CudnnKeys::CudnnKeys(const AttentionArgs& a, const AttentionParams& p) {
  const int64_t rows = cudnn_rows(a), keys = is_ragged(a) ? gpu::Bounds(a).keys : a.k.dim(1);
  end = keys;
  if (!p.mask.causal || is_ragged(a)) return;  // sequence by sequence, on the device
  const bool top_left = p.mask.diagonal == Diagonal::kTopLeft;
  const int64_t d = top_left ? 0 : keys - rows;
  end = std::clamp<int64_t>(rows + d, 0, keys);
  every_row_sees_some = d >= 0;
  if (p.mask.window_left < 0) return;
  begin = std::clamp<int64_t>(d - p.mask.window_left, 0, end);
  every_row_sees_some &= rows - 1 + d - p.mask.window_left < keys;
}

CudnnKey cudnn_key(const AttentionArgs& a, const AttentionParams& p, const Device& device,
                   int32_t compute_capability) {
  const CudnnKeys keys(a, p);
  CudnnKey key;
  key.device = device.index;
  key.compute_capability = compute_capability;
  key.dtype = a.q.dtype;
  key.causal = p.mask.causal;
  key.bottom_right = key.causal && p.mask.diagonal != Diagonal::kTopLeft;
  key.window_left = p.mask.window_left;
  key.scale = *p.softmax_scale;
  const CallShape shape = call_shape(a);
  key.ragged = shape.ragged;
  key.batch = shape.batch;
  key.heads = shape.heads;
  key.kv_heads = shape.kv_heads;
  key.rows = cudnn_rows(a);
  key.keys = keys.end - keys.begin;
  key.head_dim = shape.head_dim;
  key.v_dim = shape.v_dim;
  key.q = strides(a.q, key.rows);
  key.k = strides(a.k, key.keys);
  key.v = strides(a.v, key.keys);
  key.out = strides(a.out, key.rows);
  key.lse = static_cast<bool>(a.lse);
  if (key.lse)
    key.lse_at = key.ragged ? CudnnKey::Strides{key.rows * key.heads, 1, key.heads}
                            : CudnnKey::Strides{a.lse.step(0), a.lse.step(1), a.lse.step(2)};
  return key;
}

}  // namespace attend::cuda
