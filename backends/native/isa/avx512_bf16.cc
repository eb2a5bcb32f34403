#define ATTEND_ISA avx512_bf16
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 12;  // as avx512
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/bf16_words-inl.h"
#include "backends/native/isa/tile-inl.h"

namespace attend::native {
extern const TileOps kAvx512Bf16Ops = avx512_bf16::kOps<avx512_bf16::Bf16Words>;
}
