// decode/native: one query row a sequence against the keys [start, end) of a contiguous cache.
//
//   task      one sequence x one kv head: the query heads of a group are stacked rows, so that each
//             key is loaded once for all of them
//   split     keys at multiples of a fixed quantum; see tiles.cc
#include "backends/native/kernels.h"
#include "backends/native/tiles.h"

namespace attend::native {

void add_decode(Registry& registry) {
  add_tile_rows<run_plain_tiles>(
      registry, OpId::kDecode,
      "f32 f16 bf16, caches also f8 i8; start and end; every mask and score word; lse");
}

}  // namespace attend::native
