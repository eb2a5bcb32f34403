#define ATTEND_ISA avx2
#include "backends/native/isa/vec_avx2.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 6;  // as in avx2.cc
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/rows-inl.h"

namespace attend::native {
extern const RowOps kAvx2RowOps = avx2::kRowOps;
}
