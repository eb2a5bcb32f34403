#pragma once
#include "backends/gpu/call/tiles.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"

// How a call becomes launches of a kernel of tiles: what the portable and the tuned rows share.
namespace attend::gpu {

// A kernel that takes a TilesCall, one block for each tile and part.
struct TileKernel {
  Kernel kernel;
  int32_t tile_rows = 0;  // stacked rows of a tile
  uint32_t shared_bytes = 0;
  int64_t v_dims = 0;  // of a block; blocks in y share a larger v_dim. 0 = all
  // Another kernel, for sequences of at most kSplitRows stacked rows, which this one leaves alone
  // then; under a plan this one takes all.
  const TileKernel* narrow = nullptr;
};

// What an operator wants beyond the words of the call.
struct TileUse {
  bool plan = false;      // splash: a plan is made on the device first
  bool new_rows = false;  // paged: the call's own rows are stored first
  bool dropout = false;   // ring
  // What row, key and head 0 of the call are in the whole one, for dropout.
  int64_t first_row = 0, first_key = 0, first_head = 0;
};

// Index check, plan, new rows, tiles, fold: all on the context's stream.
Status run_tiles(const TileKernel& kernel, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context, const TileUse& use);
// Device memory that run_tiles wants.
uint64_t tiles_workspace_bytes(const TileKernel& kernel, const AttentionArgs& a,
                               const AttentionParams& p, const TileUse& use);

// Any dtype, stride and dimension: body/tiles.h.
inline constexpr TileKernel kPortableTiles{kTiles, kTileRows, kTilesSharedBytes, kTileVDims};

constexpr TileUse tile_use(OpId op) {
  return {op == OpId::kSplash, op == OpId::kPaged, op == OpId::kRing};
}

// A row of one operator over one kernel.
//   supports   what the kernel asks beyond a device
template <OpId op, const TileKernel& kernel,
          Status (*takes)(const AttentionArgs&, const AttentionParams&, const Device&)>
AttentionKernel tile_row(const char* implementation, const char* summary, int32_t priority) {
  AttentionKernel row{};
  row.op = op;
  row.device = kPluginDevice;
  row.name = row_name(op, implementation);
  row.summary = summary;
  row.priority = priority;
  row.available = device_available;
  row.supports = [](const AttentionArgs& a, const AttentionParams& p, const Device& device) {
    if (const Status s = device_available(device); !s) return s;
    return takes(a, p, device);
  };
  row.workspace_bytes = [](const AttentionArgs& a, const AttentionParams& p, int32_t) {
    return tiles_workspace_bytes(kernel, a, p, tile_use(op));
  };
  row.run = [](const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
    return run_tiles(kernel, a, p, context, tile_use(op));
  };
  return row;
}

}  // namespace attend::gpu
