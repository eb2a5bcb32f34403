#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/gpu/host/runtime.h"

namespace attend::gpu {

// The kernels of one device, loaded on first use. Readers take no lock.
class Functions {
 public:
  struct Function {
    Function(const char* kernel, void* driver_handle) : name(kernel), handle(driver_handle) {}
    const char* name;
    void* handle;
    std::atomic<uint32_t> shared_bytes = 0;  // that its blocks have been allowed
  };

  // The device is current.
  //   errors   kUnsupported: no image for the device; kDeviceError
  Status get(const Kernel& kernel, const DeviceInfo& info, Function** function);

 private:
  // An open-addressed table by the address of the kernel's name: several addresses of one name only
  // cost an entry each.
  static constexpr size_t kSlots = 4096;
  using Slots = std::array<std::atomic<Function*>, kSlots>;

  Function* find(const char* name, size_t* free_slot) const;
  Status load(const Kernel& kernel, const DeviceInfo& info, void** handle);

  Slots slots_{};
  std::mutex loading_;
  std::vector<std::unique_ptr<Function>> kept_;
};

}  // namespace attend::gpu
