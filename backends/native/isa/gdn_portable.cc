#define ATTEND_ISA portable
#include "backends/native/isa/vec_portable.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 4;  // as in portable.cc
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/gdn-inl.h"

namespace attend::native {
extern const GdnOps kGdnPortable = portable::kGdnOps;
}
