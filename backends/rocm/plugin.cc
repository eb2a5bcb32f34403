// The entry of libattend_rocm.so.
#include "backends/gpu/host/rows.h"

namespace attend::gpu {
const DeviceType kPluginDevice = DeviceType::kRocm;
void add_vendor(Rows&) {}  // sdpa is the tile body (host/tiles.cc)
}  // namespace attend::gpu

extern "C" ATTEND_API const attend::BackendTable* attend_backend_v1() {
  static const auto& rows = *new attend::gpu::Rows(attend::gpu::all_rows());
  static const attend::BackendTable table = attend::gpu::backend_table("rocm", rows);
  return &table;
}
