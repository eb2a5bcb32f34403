// paged/native: keys behind a page table. The tiles of tiles.cc read a tile of keys through
// pointers to its rows, so that pages cost one look-up a page and a tile and no copy; the bits are
// those of the gathered contiguous call.
#include "backends/native/append.h"
#include "backends/native/kernels.h"
#include "backends/native/tiles.h"

namespace attend::native {
namespace {

Status run(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
           const ExecContext& context) {
  TileUse use;
  use.before = store_new_rows;  // no request sees another's rows half stored
  return run_tiles(ops, a, p, context, use);
}

}  // namespace

void add_paged(Registry& registry) {
  add_tile_rows<run>(registry, OpId::kPaged,
                     "f32 f16 bf16, caches also f8 i8; block tables, CSR, new rows stored; every "
                     "mask and score word; lse");
}

}  // namespace attend::native
