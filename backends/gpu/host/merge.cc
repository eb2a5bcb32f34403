// merge on a device: body/merge.h, one launch.
#include "backends/gpu/host/merge.h"

#include "backends/gpu/call/merge.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"

namespace attend::gpu {
Status merge(const MergeArgs& m, const ExecContext& context) {
  const MergeCall call{m, m.out.num_elements() / (m.out.dim(-1) == 0 ? 1 : m.out.dim(-1))};
  const int64_t blocks = (call.rows + kMergeRows - 1) / kMergeRows;
  if (blocks == 0) return {};
  return launch(kMerge, {static_cast<int>(blocks), 1, 1}, 0, call, context);
}

void add_merge(Rows& rows) {
  rows.merge.push_back({OpId::kMerge, kPluginDevice, row_name(OpId::kMerge, "portable"),
                        "f32 f16 bf16, each tensor its own; dense, ragged; in place", 0,
                        device_available,
                        [](const MergeArgs&, const MergeParams&, const Device& device) {
                          return device_available(device);
                        },
                        [](const MergeArgs&, const MergeParams&, int32_t) { return uint64_t{0}; },
                        [](const MergeArgs& m, const MergeParams&, const ExecContext& context) {
                          return merge(m, context);
                        }});
}

}  // namespace attend::gpu
