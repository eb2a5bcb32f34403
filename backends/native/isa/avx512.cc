#define ATTEND_ISA avx512
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 12;  // 12 x 2 accumulators of 32 registers
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/tile-inl.h"

namespace attend::native {
extern const TileOps kAvx512Ops = avx512::kOps<avx512::F32Words>;
}
