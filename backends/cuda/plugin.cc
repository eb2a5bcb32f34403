// The entry of libattend_cuda.so.
#include "backends/gpu/host/rows.h"

namespace attend::gpu {
const DeviceType kPluginDevice = DeviceType::kCuda;
}  // namespace attend::gpu

extern "C" ATTEND_API const attend::BackendTable* attend_backend_v1() {
  static const auto& rows = *new attend::gpu::Rows(attend::gpu::all_rows());
  static const attend::BackendTable table = attend::gpu::backend_table("cuda", rows);
  return &table;
}
