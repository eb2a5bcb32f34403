#pragma once
#include "strategies/engine/gdn_pool.h"
#include "strategies/engine/paged_backend.h"

namespace attend::engine {

// Attention over pages for some layers, the gated delta rule over slots for the others.
class HybridBackend final : public PagedBackend {
 public:
  HybridBackend(const KvPool& pages, const GdnPool& states)
      : PagedBackend(pages), states_(states) {}

  // By AttnMetadata::state_slots; rows of slot 0 are padding and touch no state.
  void forward_gdn(const GdnLayer& layer, const TensorView& mixed_qkv, const TensorView& a,
                   const TensorView& b, const TensorView& z, const TensorView& out) override;

 private:
  const GdnPool& states_;
};

}  // namespace attend::engine
