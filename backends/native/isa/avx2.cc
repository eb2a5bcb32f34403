#define ATTEND_ISA avx2
#include "backends/native/isa/vec_avx2.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 6;  // 6 x 2 accumulators, 2 of k and 1 of q: 15 of 16 registers
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/tile-inl.h"

namespace attend::native {
extern const TileOps kAvx2Ops = avx2::kOps<avx2::F32Words>;
}
