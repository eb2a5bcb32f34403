#pragma once
#include <cstdint>

#include "attend/kernel.h"

// The whole contract of a run-time backend: one C symbol that returns one static table.
//
//   extern "C" ATTEND_API const attend::BackendTable* attend_backend_v1();
//
// Structs are passed as they lie in memory, so the table opens with their sizes: a plugin built
// against other headers is refused before any of its functions is called.
namespace attend {

inline constexpr uint32_t kAbiVersion = 1;

struct AbiSizes {
  uint32_t version = kAbiVersion;
  uint32_t backend_table = 0;
  uint32_t kernel_entry = sizeof(AttentionKernel);
  uint32_t attention_args = sizeof(AttentionArgs);
  uint32_t attention_params = sizeof(AttentionParams);
  uint32_t gdn_args = sizeof(GdnArgs);
  uint32_t gdn_params = sizeof(GdnParams);
  uint32_t merge_args = sizeof(MergeArgs);
  uint32_t exec_context = sizeof(ExecContext);
  uint32_t error_word = sizeof(ErrorWord);
};

struct BackendTable {
  AbiSizes abi;
  const char* name;  // "cuda"
  DeviceType device;
  int32_t (*device_count)();  // 0 where there is no driver or no device
  Status (*status)();         // kOk, or in words why there is no device
  const char* (*device_name)(int32_t index);
  // Of the device's memory; both functions may be null without a device. With a stream, memory comes
  // and goes in stream order; without one it may be used at once, by every stream.
  Allocator allocator;
  // Of native memory that the devices copy from and to without staging, page-locked; both functions
  // may be null.
  Allocator pinned;
  // Copies bytes between this device and native memory (either side) in stream order.
  Status (*copy)(void* to, Device to_device, const void* from, Device from_device, uint64_t bytes,
                 void* stream);
  Status (*synchronize)(Device device, void* stream);
  // The device's own error word, in its memory: where calls report that check indices and bring no
  // word. Null if there is none; the function may be null.
  ErrorWord* (*error_word)(Device device);

  uint32_t num_attention_kernels;
  const AttentionKernel* attention_kernels;
  uint32_t num_gdn_kernels;
  const GdnKernel* gdn_kernels;
  uint32_t num_merge_kernels;
  const MergeKernel* merge_kernels;
};

inline AbiSizes abi_sizes() {
  AbiSizes sizes;
  sizes.backend_table = sizeof(BackendTable);
  return sizes;
}

using BackendEntryPoint = const BackendTable* (*)();
inline constexpr const char* kBackendEntrySymbol = "attend_backend_v1";

}  // namespace attend
