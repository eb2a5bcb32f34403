#pragma once
#include <mutex>

#include "backends/gpu/host/functions.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"

namespace attend::gpu {

// What the runtime keeps of a device.
struct DeviceState {
  DeviceInfo info;
  Status code;  // kOk, or why none of this build's device code runs there
  Functions functions;
  std::once_flag word_made;
  ErrorWord* word = nullptr;  // on the device: where calls without a word of their own report
};

// null for a device that does not exist.
DeviceState* device_state(const Device& device);
// Why it does not.
Status no_such_device(const Device& device);

}  // namespace attend::gpu
