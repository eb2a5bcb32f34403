// splash/native: the tiles of tiles.cc, of which a plan says beforehand which are skipped, which
// need their mask and which do not.
//
//   plan      on the host, once a call: one byte a tile of 128 rows x 128 keys (or the block mask's
//             own), from ranges in O(1) a tile, from boolean masks and segments by reading them once
//   effort    executed tiles alone: a skipped tile's keys are neither packed nor looked at
//   heads     share a plan and are stacked, unless a mask differs from head to head
#include <new>

#include "backends/native/kernels.h"
#include "backends/native/tiles.h"

namespace attend::native {
namespace {

Status run(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
           const ExecContext& context) {
  try {
    const BlockPlan plan(a, p, plan_tile_shape(p));
    TileUse use;
    use.plan = &plan;
    return run_tiles(ops, a, p, context, use);
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "memory for the plan is not to be had", 0};
  }
}

}  // namespace

void add_splash(Registry& registry) {
  add_tile_rows<run>(registry, OpId::kSplash,
                     "f32 f16 bf16; dense, ragged; block masks; every mask and score word; lse");
}

}  // namespace attend::native
