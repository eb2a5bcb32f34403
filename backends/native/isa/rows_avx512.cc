#define ATTEND_ISA avx512
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 12;  // as in avx512.cc
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/rows-inl.h"

namespace attend::native {
extern const RowOps kAvx512RowOps = avx512::kRowOps;
}
