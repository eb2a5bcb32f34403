#pragma once
#include <cstdint>
#include <string>

#include "attend/backend_plugin.h"
#include "backends/gpu/call/kernel.h"

// The device side of one plugin: its driver, devices, modules, memory and launches. Each plugin has
// one; which driver it speaks to is decided in backends/cuda or backends/rocm.
namespace attend::gpu {

// What a device is, as rows ask for it.
struct DeviceInfo {
  std::string name;                // "NVIDIA H200", "AMD Instinct MI300X", "... (host execution)"
  std::string arch;                // of the image that runs there: "sm_90a", "gfx942"
  int32_t compute_capability = 0;  // of NVIDIA's: 90 = 9.0
  int32_t multiprocessors = 1;
  int32_t dies = 1;           // that have a cache each, and get the blocks of a launch in turn
  int32_t warp = 32;          // threads that run in step
  uint32_t shared_bytes = 0;  // that a block may have
};

// kOk, or in words why this plugin has no device.
Status runtime_status();
int32_t device_count();
// null for a device that does not exist.
const DeviceInfo* device_info(const Device& device);

// Enqueues a kernel on the context's stream and returns; args are copied. No synchronisation, no
// allocation after a kernel's first launch on a device; may be captured into a graph.
//   errors   kDeviceError with the driver's number and text; kUnsupported: more shared memory than
//            the device has, or no code for it in this build
Status launch(const Kernel& kernel, Index3 grid, uint32_t shared_bytes, const void* args,
              uint32_t arg_bytes, const ExecContext& context);
template <class Args>
Status launch(const Kernel& kernel, Index3 grid, uint32_t shared_bytes, const Args& args,
              const ExecContext& context) {
  static_assert(sizeof(Args) <= 4096);
  return launch(kernel, grid, shared_bytes, &args, sizeof(Args), context);
}

// Fills device memory with a byte, in stream order.
Status fill(void* data, uint8_t byte, uint64_t bytes, const ExecContext& context);

// Device memory for one call: the context's workspace where it is large enough, else from its
// allocator, else from the driver's stream-ordered pool. Goes back in stream order.
class Scratch {
 public:
  Scratch(const ExecContext& context, uint64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // False if there is no memory to be had; bytes = 0 is always true.
  explicit operator bool() const { return data_ != nullptr || bytes_ == 0; }
  void* data() const { return data_; }

 private:
  const ExecContext& context_;
  uint64_t bytes_ = 0;
  void* data_ = nullptr;
  enum class Owner : uint8_t { kCaller, kAllocator, kPool } owner_ = Owner::kCaller;
};

}  // namespace attend::gpu
