// The portable row of every operator whose arithmetic is tiles: body/tiles.h.
#include "backends/gpu/host/tiles.h"

namespace attend::gpu {
namespace {

Status any(const AttentionArgs&, const AttentionParams&, const Device&) { return {}; }

}  // namespace

void add_tiles(Rows& rows) {
  auto& to = rows.attention;
  to.push_back(tile_row<OpId::kFlash, kPortableTiles, any>(
      "portable", "f32 f16 bf16; dense, ragged; every mask and score word; lse; f32 FMA", 0));
  to.push_back(tile_row<OpId::kPaged, kPortableTiles, any>(
      "portable",
      "f32 f16 bf16, caches also f8 i8; block tables, CSR, new rows stored; every mask and score "
      "word; lse; f32 FMA",
      0));
  to.push_back(tile_row<OpId::kDecode, kPortableTiles, any>(
      "portable",
      "f32 f16 bf16, caches also f8 i8; start and end; every mask and score word; lse; f32 FMA",
      0));
  to.push_back(tile_row<OpId::kSplash, kPortableTiles, any>(
      "portable",
      "f32 f16 bf16; dense, ragged; block masks, planned on the device; every mask and score word; "
      "lse; f32 FMA",
      0));
  to.push_back(tile_row<OpId::kSdpa, kPortableTiles, any>(
      "portable", "flash's portable tiles under the frameworks' semantics", 0));
}

}  // namespace attend::gpu
