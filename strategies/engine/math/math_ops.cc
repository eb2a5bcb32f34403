#include "strategies/engine/math/math_ops.h"

#include "attend/error.h"
#include "backends/native/cpu_features.h"

namespace attend::engine {

extern const MathOps kPortableMath;
#if defined(__x86_64__)
extern const MathOps kAvx2Math, kAvx512Math, kAvx512Bf16Math;
#endif

namespace {

const MathOps& choose() {
  using native::Isa;
  if (const Status s = native::available(Isa::kPortable); !s)
    throw Error(s.code, "engine: " + to_string(s));
#if defined(__x86_64__)
  if (native::available(Isa::kAvx512Bf16) && native::bf16_dot_products_pay())
    return kAvx512Bf16Math;
  if (native::available(Isa::kAvx512)) return kAvx512Math;
  if (native::available(Isa::kAvx2)) return kAvx2Math;
#endif
  return kPortableMath;
}

}  // namespace

const MathOps& math_ops() {
  static const MathOps& ops = choose();
  return ops;
}

}  // namespace attend::engine
