#define ATTEND_ISA avx512
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 13;  // 26 accumulators, two vectors and a word of 32 registers
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/gdn-inl.h"

namespace attend::native {
extern const GdnOps kGdnAvx512 = avx512::kGdnOps;
}
