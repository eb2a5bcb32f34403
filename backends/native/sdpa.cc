// sdpa/native: the vendor's kernel where it takes the call; else flash's tiles under sdpa's words.
#include "backends/native/sdpa.h"

#include "attend/registry.h"
#include "backends/native/kernels.h"
#include "backends/native/tiles.h"

namespace attend::native {

#if !defined(ATTEND_HAVE_ONEDNN)
namespace {

Status not_built(const Device&) {
  return {ErrorCode::kUnsupported,
          "this build has no oneDNN (ATTEND_ONEDNN is OFF, or its headers were not found)", 0};
}

}  // namespace

// The row is named all the same, so that `explain` tells what a build with oneDNN would offer.
void add_sdpa_onednn(Registry& registry) {
  registry.add(AttentionKernel{
      OpId::kSdpa, DeviceType::kNative, "sdpa/native/onednn",
      "f32 bf16, f16 where the CPU multiplies it; dense; causal, keep, bias; oneDNN 3.2 or newer",
      20, not_built,
      [](const AttentionArgs&, const AttentionParams&, const Device& d) { return not_built(d); },
      [](const AttentionArgs&, const AttentionParams&, int32_t) { return uint64_t{0}; },
      [](const AttentionArgs&, const AttentionParams&, const ExecContext& c) {
        return not_built(c.device);
      }});
}
#endif

// One row whatever the instruction set: the tiles that forward() of flash would choose.
void add_sdpa(Registry& registry) {
  add_sdpa_onednn(registry);
  registry.add(AttentionKernel{
      OpId::kSdpa, DeviceType::kNative, "sdpa/native/flash",
      "f32 f16 bf16; dense, ragged; every mask and score word; lse; any CPU", 0,
      [](const Device&) { return Status{}; },
      [](const AttentionArgs& a, const AttentionParams&, const Device&) {
        return tiles_take(best_tile_ops(a), a);
      },
      [](const AttentionArgs& a, const AttentionParams& p, int32_t workers) {
        return tiles_workspace_bytes(best_tile_ops(a), a, p, workers);
      },
      [](const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
        return run_tiles(best_tile_ops(a), a, p, context);
      }});
}

}  // namespace attend::native
