#pragma once
#include <cstdint>
#include <vector>

#include "attend/kernel.h"
#include "ops/common/mask.h"
#include "ops/splash/tile_shape.h"

// Splash's plan: what every tile of query rows x keys needs, before any of them is computed.
namespace attend {

class BlockPlan {
 public:
  struct Counts {
    int64_t skip = 0, partial = 0, full = 0;
    int64_t executed() const { return partial + full; }
  };

  // From causal, block-causal, prefix, window, hole, lengths, segments, keep and the block mask; a
  // tile is full when no word hides any of its pairs. Reads tensors on native.
  BlockPlan(const AttentionArgs& a, const AttentionParams& p, TileShape shape);

  TileShape shape() const { return shape_; }
  int64_t planes() const { return planes_; }  // 1 when all heads have the same plan, else heads
  // Tiles of sequence b: rows of q in use, keys in use.
  int64_t row_tiles(int64_t b) const { return sequences_[static_cast<size_t>(b)].row_tiles; }
  int64_t key_tiles(int64_t b) const { return sequences_[static_cast<size_t>(b)].key_tiles; }

  TileKind kind(int64_t b, int64_t head, int64_t row_tile, int64_t key_tile) const {
    const Part& part = sequences_[static_cast<size_t>(b)];
    const int64_t plane = planes_ == 1 ? 0 : head;
    return kinds_[static_cast<size_t>(
        part.first + (plane * part.row_tiles + row_tile) * part.key_tiles + key_tile)];
  }
  // Over all sequences and planes.
  Counts counts() const;

 private:
  struct Part {
    int64_t first = 0, row_tiles = 0, key_tiles = 0;
  };
  TileShape shape_;
  int64_t planes_ = 1;
  std::vector<Part> sequences_;
  std::vector<TileKind> kinds_;
};

}  // namespace attend
