#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"
#include "ops/common/mask.h"
#include "ops/common/philox.h"

// Exact attention tile by tile: what flash, paged, decode, splash, sdpa and ring have in common on a
// device. A tile is some rows of one stack: the query heads that read one kv head, stacked so that
// row r is (position r / stack, head r % stack).
namespace attend::gpu {

// Splash: what a tile of rows x keys needs, [batch, planes, row_tiles, key_tiles] in device memory.
struct DevicePlan {
  TileKind* kinds = nullptr;
  int32_t rows = 0, keys = 0;  // of a tile
  int32_t planes = 1;          // 1 where all heads share a plan
  int32_t row_tiles = 0, key_tiles = 0;
};

// How the tiles of a call become blocks, in one dimension. A sequence of few rows has its keys cut
// into parts (ops/common/split_plan.h), each a block that leaves a record; fold.h joins them.
struct TileGrid {
  int64_t columns = 0;      // sequences x stacks
  int32_t tile_rows = 0;    // stacked rows of a tile
  int32_t tiles = 0;        // of the longest sequence
  int32_t split_tiles = 0;  // the first tiles of a sequence, whose keys may be cut; 0 = none is
  int32_t parts = 1;        // most parts that a sequence can have
  int32_t record_rows = 0;  // most rows of a tile whose keys are cut
  int32_t dies = 1;  // of the device, each with a cache of its own; blocks go to them in turn

  ATTEND_HD int64_t whole_blocks() const { return (tiles - split_tiles) * columns; }
  ATTEND_HD int64_t split_blocks() const { return split_tiles * columns * parts; }
  ATTEND_HD int64_t blocks() const { return whole_blocks() + split_blocks(); }
};

struct TilesCall {
  AttentionArgs args;
  AttentionParams params;  // softmax_scale is set
  // ring: dropout at original positions, and which these are
  Dropout dropout;
  int64_t first_row = 0, first_key = 0, first_head = 0;

  const uint8_t* skip = nullptr;  // [batch]: requests with a bad index are left alone; null = none
  DevicePlan plan;
  TileGrid grid;
  int32_t stack = 1;
  // [split_tiles x columns x parts] of record_rows x (m, l) and record_rows x v_dim f32
  float* records = nullptr;
};

// The portable tiles: any dtype, stride and dimension. Blocks in y are slices of v_dim, each of which
// computes the scores anew.
inline constexpr Kernel kTiles{"attend_tiles", 128};
inline constexpr int kTileRows = 32, kTileKeys = 32;
inline constexpr int kTileDims = 64;    // of q, k, v at a time in shared memory
inline constexpr int kTileVDims = 128;  // of a block, whose accumulators are in registers
inline constexpr uint32_t kTilesSharedBytes = 28 * 1024;

inline constexpr Kernel kFold{"attend_fold", 128};
inline constexpr uint32_t kFoldSharedBytes = 512;

}  // namespace attend::gpu
