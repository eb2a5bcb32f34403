#define ATTEND_ISA avx512_bf16
#include "backends/native/isa/vec_avx512.h"

namespace attend::engine::ATTEND_ISA {
inline constexpr int kRegisters = 32;
}
#include "strategies/engine/math/isa/rows-inl.h"

namespace attend::engine {
namespace avx512_bf16 {

// vdpbf16ps multiplies two bf16 of each word and adds both products in f32.
struct PairWords {
  static constexpr int kPerWord = 1;
  static VF multiply_add(VF sum, const float* x, VF w) {
    return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)splat(*x));
  }
};

}  // namespace avx512_bf16

extern const MathOps kAvx512Bf16Math = avx512_bf16::kMathOps<avx512_bf16::PairWords>;
}  // namespace attend::engine
