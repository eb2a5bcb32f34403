// flash/native: the tiles of tiles.cc as they are, dense and ragged.
#include "backends/native/kernels.h"
#include "backends/native/tiles.h"

namespace attend::native {

void add_flash(Registry& registry) {
  add_tile_rows<run_plain_tiles>(registry, OpId::kFlash,
                                 "f32 f16 bf16; dense, ragged; every mask and score word; lse");
}

}  // namespace attend::native
