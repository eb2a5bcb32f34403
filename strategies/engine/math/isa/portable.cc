#define ATTEND_ISA portable
#include "backends/native/isa/vec_portable.h"

namespace attend::engine::ATTEND_ISA {
inline constexpr int kRegisters = 16;
}
#include "strategies/engine/math/isa/rows-inl.h"

namespace attend::engine {
extern const MathOps kPortableMath = portable::kMathOps<portable::SplitWords>;
}
