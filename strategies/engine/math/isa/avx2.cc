#define ATTEND_ISA avx2
#include "backends/native/isa/vec_avx2.h"

namespace attend::engine::ATTEND_ISA {
inline constexpr int kRegisters = 16;
}
#include "strategies/engine/math/isa/rows-inl.h"

namespace attend::engine {
extern const MathOps kAvx2Math = avx2::kMathOps<avx2::SplitWords>;
}
