#define ATTEND_ISA avx512
#include "backends/native/isa/vec_avx512.h"

namespace attend::engine::ATTEND_ISA {
inline constexpr int kRegisters = 32;
}
#include "strategies/engine/math/isa/rows-inl.h"

namespace attend::engine {
extern const MathOps kAvx512Math = avx512::kMathOps<avx512::SplitWords>;
}
