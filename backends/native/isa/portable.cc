#define ATTEND_ISA portable
#include "backends/native/isa/vec_portable.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep =
    4;  // 4 x 2 vectors of accumulators: what 16 registers hold beside the operands
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/tile-inl.h"

namespace attend::native {
extern const TileOps kPortableOps = portable::kOps<portable::F32Words>;
}
