#pragma once
#include <cstdint>

#include "attend/attention_params.h"

// How splash cuts a call into the tiles of its plan, on every device alike.
namespace attend {

struct TileShape {
  int32_t rows = 128, keys = 128;
};

// Tiles that fit the call: those of its block mask where they are neither tiny nor huge, so that no
// tile lies in two blocks, else 128 x 128.
inline TileShape plan_tile_shape(const AttentionParams& p) {
  TileShape shape;
  const MaskSpec& m = p.mask;
  if (!m.block_mask) return shape;
  const auto fit = [](int32_t block, int32_t otherwise) {
    return block >= 32 && block <= 128 && block % 32 == 0 ? block : otherwise;
  };
  shape.rows = fit(m.block_mask_q, shape.rows);
  shape.keys = fit(m.block_mask_k, shape.keys);
  return shape;
}

// 1 where all heads have the same plan, else heads.
inline int64_t plan_planes(const AttentionArgs& a, const AttentionParams& p) {
  const auto by_head = [](const TensorView& t) { return t && t.rank >= 3 && t.dim(-3) > 1; };
  return by_head(p.mask.keep) || by_head(p.mask.block_mask) ? a.q.dim(-2) : 1;
}

}  // namespace attend
