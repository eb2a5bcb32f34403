#include "backends/gpu/host/rows.h"

#include <string>

#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/memory.h"
#include "backends/gpu/host/runtime.h"

namespace attend::gpu {

const char* row_name(OpId op, const char* implementation) {
  const char* device = kPluginDevice == DeviceType::kCuda ? "cuda" : "rocm";
  return kept_text(std::string(name(op)) + "/" + device + "/" + implementation);
}

Rows all_rows() {
  Rows rows;
  add_tiles(rows);
  add_matrix(rows);
  add_vanilla(rows);
  add_ring(rows);
  add_gdn(rows);
  add_merge(rows);
  add_append(rows);
  add_vendor(rows);
  return rows;
}

BackendTable backend_table(const char* name, const Rows& rows) {
  BackendTable t{};
  t.abi = abi_sizes();
  t.name = name;
  t.device = kPluginDevice;
  t.device_count = device_count;
  t.status = runtime_status;
  t.device_name = [](int32_t index) -> const char* {
    const DeviceInfo* info = device_info({kPluginDevice, static_cast<int16_t>(index)});
    return info == nullptr ? "" : info->name.c_str();
  };
  if (device_count() > 0) {
    t.allocator = {allocate, deallocate, nullptr};
    t.pinned = {allocate_pinned, deallocate_pinned, nullptr};
  }
  t.copy = copy;
  t.synchronize = synchronize;
  t.error_word = error_word;
  t.num_attention_kernels = static_cast<uint32_t>(rows.attention.size());
  t.attention_kernels = rows.attention.data();
  t.num_gdn_kernels = static_cast<uint32_t>(rows.gdn.size());
  t.gdn_kernels = rows.gdn.data();
  t.num_merge_kernels = static_cast<uint32_t>(rows.merge.size());
  t.merge_kernels = rows.merge.data();
  return t;
}

}  // namespace attend::gpu
