// The portable row of every operator whose arithmetic is tiles: body/tiles.h.
#include "backends/gpu/host/tiles.h"

namespace attend::gpu {
namespace {

constexpr TileKernel kPortable{kTiles, kTileRows, kTilesSharedBytes, kTileVDims};

Status any(const AttentionArgs&, const AttentionParams&, const Device&) { return {}; }

Status without_transport(const AttentionArgs&, const AttentionParams& p, const Device&) {
  if (p.ring_transport == nullptr) return {};
  return {ErrorCode::kUnsupported,
          "ring_transport is set, expected none: blocks do not travel between devices yet", 0};
}

}  // namespace

void add_tiles(Rows& rows) {
  auto& to = rows.attention;
  to.push_back(tile_row<OpId::kFlash, kPortable, any>(
      "portable", "f32 f16 bf16; dense, ragged; every mask and score word; lse; f32 FMA", 0));
  to.push_back(tile_row<OpId::kPaged, kPortable, any>(
      "portable",
      "f32 f16 bf16, caches also f8 i8; block tables, CSR, new rows stored; every mask and score "
      "word; lse; f32 FMA",
      0));
  to.push_back(tile_row<OpId::kDecode, kPortable, any>(
      "portable",
      "f32 f16 bf16, caches also f8 i8; start and end; every mask and score word; lse; f32 FMA",
      0));
  to.push_back(tile_row<OpId::kSplash, kPortable, any>(
      "portable",
      "f32 f16 bf16; dense, ragged; block masks, planned on the device; every mask and score word; "
      "lse; f32 FMA",
      0));
  to.push_back(tile_row<OpId::kSdpa, kPortable, any>(
      "portable", "flash's portable tiles under the frameworks' semantics", 0));
}

void add_ring(Rows& rows) {
  rows.attention.push_back(tile_row<OpId::kRing, kPortable, without_transport>(
      "portable", "one process; f32 f16 bf16; dropout; every mask and score word; lse; f32 FMA",
      0));
}

}  // namespace attend::gpu
