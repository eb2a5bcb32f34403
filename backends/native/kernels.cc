#include "backends/native/kernels.h"

#include "attend/registry.h"
#include "backends/native/cpu_features.h"

namespace attend {
namespace native {

// Every native row, by name, so that static linking keeps them.
void add_kernels(Registry& registry);
void add_kernels(Registry& registry) {
  add_vanilla(registry);
  add_flash(registry);
  add_gdn(registry);
  add_sdpa(registry);
  add_paged(registry);
  add_splash(registry);
  add_decode(registry);
  add_append(registry);
  add_merge(registry);
  add_ring(registry);
}

}  // namespace native

const char* native_isa() {
  const char* best = "none: ATTEND_ISA is an unknown word";
  for (int i = 0; i < static_cast<int>(native::Isa::kCount); ++i)
    if (native::available(static_cast<native::Isa>(i)))
      best = native::name(static_cast<native::Isa>(i));
  return best;
}

}  // namespace attend
