#include "backends/gpu/host/tiles.h"

#include <algorithm>

#include "backends/gpu/call/plan.h"
#include "backends/gpu/host/append.h"
#include "backends/gpu/host/bounds.h"
#include "backends/gpu/host/index_check.h"
#include "ops/common/dropout.h"
#include "ops/common/layout.h"
#include "ops/common/split_plan.h"
#include "ops/splash/tile_shape.h"

namespace attend::gpu {
namespace {

constexpr int64_t kMostBlocks = INT32_MAX;  // of a launch, in x

int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

DevicePlan plan_of(const AttentionArgs& a, const AttentionParams& p, const Bounds& most) {
  const TileShape shape = plan_tile_shape(p);
  DevicePlan plan;
  plan.rows = shape.rows;
  plan.keys = shape.keys;
  plan.planes = static_cast<int32_t>(plan_planes(a, p));
  plan.row_tiles = static_cast<int32_t>(divide_up(most.rows, shape.rows));
  plan.key_tiles = static_cast<int32_t>(divide_up(most.keys, shape.keys));
  return plan;
}

// The stacked rows of a call's sequences, as far as they are known.
struct StackedRows {
  int64_t most = 0;
  bool even = false;  // every sequence has them all
  bool few() const { return most <= kSplitRows; }
};

// Which sequences have keys that are cut is known on the device alone: room is made for all that
// may (ops/common/split_plan.h).
TileGrid grid_of(const TileKernel& kernel, int64_t columns, StackedRows stacked, int64_t keys,
                 bool plan) {
  TileGrid g;
  g.tile_rows = kernel.tile_rows;
  g.columns = columns;
  g.tiles = static_cast<int32_t>(divide_up(stacked.most, g.tile_rows));
  if (plan || keys <= kSplitKeys || (stacked.even && !stacked.few())) return g;
  g.parts = static_cast<int32_t>(divide_up(keys, kSplitKeys));
  g.split_tiles =
      static_cast<int32_t>(std::min<int64_t>(g.tiles, divide_up(kSplitRows, g.tile_rows)));
  g.record_rows = static_cast<int32_t>(std::min({int64_t{g.tile_rows}, kSplitRows, stacked.most}));
  return g;
}

// The grids of a kernel and of its narrow one: sequences of few stacked rows are the latter's.
struct Grids {
  TileGrid wide, narrow;

  Grids(const TileKernel& kernel, int64_t columns, StackedRows stacked, int64_t keys, bool plan) {
    if (kernel.narrow == nullptr || plan) {
      wide = grid_of(kernel, columns, stacked, keys, plan);
      return;
    }
    if (!stacked.few()) wide = grid_of(kernel, columns, {stacked.most, true}, keys, false);
    if (!stacked.few() && stacked.even) return;
    narrow = grid_of(*kernel.narrow, columns, {std::min(stacked.most, kSplitRows), stacked.even},
                     keys, false);
  }
};

// A call laid out for its launches, without the addresses of scratch.
struct Laid {
  TilesCall call;
  TileGrid narrow;  // of the kernel's narrow one
  uint64_t plan_bytes = 0, record_bytes = 0;

  Laid(const TileKernel& kernel, const AttentionArgs& a, const AttentionParams& p,
       const TileUse& use) {
    const CallShape shape = call_shape(a);
    const Bounds most(a);
    call.args = a;
    call.params = p;
    if (use.dropout) call.dropout = dropout_of(p);
    call.first_row = use.first_row;
    call.first_key = use.first_key;
    call.first_head = use.first_head;
    call.stack = static_cast<int32_t>(shape.group());
    if (use.plan) {
      call.plan = plan_of(a, p, most);
      if (call.plan.planes > 1) call.stack = 1;  // heads have masks of their own
      // Never none: a call without keys has a plan, too, or its rows would be left to another kernel.
      const int64_t tiles =
          shape.batch * call.plan.planes * call.plan.row_tiles * call.plan.key_tiles;
      plan_bytes = static_cast<uint64_t>((tiles / 256 + 1) * 256);
    }
    const Grids grids(kernel, shape.batch * (shape.heads / call.stack),
                      {most.rows * call.stack, !shape.ragged && !a.seq.seqused_q}, most.keys,
                      use.plan);
    call.grid = grids.wide;
    narrow = grids.narrow;
    const TileGrid& g = narrow.parts > 1 ? narrow : call.grid;
    record_bytes =
        static_cast<uint64_t>(g.split_blocks() * g.record_rows * (shape.v_dim + 2)) * sizeof(float);
  }
};

Status launch_tiles(const TileKernel& kernel, const TilesCall& call, const ExecContext& context) {
  const int64_t blocks = call.grid.blocks();
  if (blocks == 0) return {};
  if (blocks > kMostBlocks)
    return {ErrorCode::kUnsupported, "the call has {} tiles, expected at most 2147483647", blocks};
  const int64_t v_dim = call.args.v.dim(-1);
  const int slices = static_cast<int>(kernel.v_dims == 0 ? 1 : divide_up(v_dim, kernel.v_dims));
  if (const Status s = launch(kernel.kernel, {static_cast<int>(blocks), slices, 1},
                              kernel.shared_bytes, call, context);
      !s || call.grid.parts == 1)
    return s;
  const int64_t tiles = call.grid.split_tiles * call.grid.columns;
  return launch(kFold, {static_cast<int>(tiles), 1, 1}, kFoldSharedBytes, call, context);
}

Status launch_plan(const TilesCall& call, const ExecContext& context) {
  const DevicePlan& plan = call.plan;
  const int64_t tiles = call_shape(call.args).batch * plan.planes * plan.row_tiles * plan.key_tiles;
  if (tiles > kMostBlocks)
    return {ErrorCode::kUnsupported, "the plan has {} tiles, expected at most 2147483647", tiles};
  if (tiles == 0) return {};
  return launch(kPlan, {static_cast<int>(tiles), 1, 1}, kPlanSharedBytes, call, context);
}

}  // namespace

uint64_t tiles_workspace_bytes(const TileKernel& kernel, const AttentionArgs& a,
                               const AttentionParams& p, const TileUse& use) {
  const Laid laid(kernel, a, p, use);
  return laid.plan_bytes + laid.record_bytes;
}

Status run_tiles(const TileKernel& kernel, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context, const TileUse& use) {
  Laid laid(kernel, a, p, use);
  TilesCall& call = laid.call;
  if (call.grid.blocks() == 0 && laid.narrow.blocks() == 0) return {};
  const DeviceInfo* const device = device_info(context.device);
  call.grid.dies = laid.narrow.dies = device == nullptr ? 1 : device->dies;
  const Scratch scratch(context, laid.plan_bytes + laid.record_bytes);
  if (!scratch)
    return {ErrorCode::kOutOfMemory,
            "{} bytes of device memory for partial results are not to be had; max_seqlen_k, where "
            "it is told, bounds them",
            static_cast<int64_t>(laid.plan_bytes + laid.record_bytes)};
  auto* at = static_cast<std::byte*>(scratch.data());
  if (use.plan) call.plan.kinds = reinterpret_cast<TileKind*>(at);
  call.records = reinterpret_cast<float*>(at + laid.plan_bytes);

  const IndexCheck check(a, p, context);
  if (!check.status()) return check.status();
  call.skip = check.skip();
  if (use.plan)
    if (const Status s = launch_plan(call, context); !s) return s;
  if (use.new_rows)
    if (const Status s = store_new_rows(a, context, call.skip); !s) return s;
  if (const Status s = launch_tiles(kernel, call, context); !s || kernel.narrow == nullptr)
    return s;
  call.grid = laid.narrow;
  return launch_tiles(*kernel.narrow, call, context);
}

}  // namespace attend::gpu
