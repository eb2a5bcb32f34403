#include "backends/native/kernels.h"

namespace attend::native {

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

}  // namespace attend::native
