#include "backends/gpu/host/runtime.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "backends/gpu/host/devices.h"
#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/images.h"

namespace attend::gpu {
namespace {

struct Runtime {
  Status status;
  std::vector<std::unique_ptr<DeviceState>> devices;
};

// A CUDA image that serves all architectures ends in PTX of the oldest, which newer devices compile.
constexpr int32_t kOldestCapability = 80;

Status code_for(const DeviceInfo& info) {
  if (driver::is_stand_in()) return {};  // which knows kernels by their names
  if (images().empty())
    return {ErrorCode::kUnsupported, "this build carries no device code (ATTEND_GPU_IMAGES)", 0};
  for (const Image& image : images())
    if (std::strcmp(image.arch, "any") == 0 ? info.compute_capability >= kOldestCapability
                                            : info.arch == image.arch)
      return {};
  return refused(ErrorCode::kUnsupported, info.name + " is of architecture " + info.arch +
                                              ", for which this build carries no code");
}

Runtime open() {
  Runtime r;
  r.status = driver::open();
  if (!r.status) return r;
  int count = 0;
  const driver::Code code = driver::count_devices(&count);
  if (code != 0) {
    r.status = failed("asking the driver for its devices", code);
    r.status.code = ErrorCode::kBackendUnavailable;
    return r;
  }
  if (count == 0) r.status = {ErrorCode::kBackendUnavailable, "the driver has no device", 0};
  for (int i = 0; i < count; ++i) {
    auto device = std::make_unique<DeviceState>();
    if (const driver::Code asked = driver::describe(i, &device->info)) {
      r.status = failed("asking for device " + std::to_string(i), asked);
      r.devices.clear();
      return r;
    }
    device->code = code_for(device->info);
    // So that no report is mistaken for one of a device.
    if (driver::is_stand_in()) device->info.name += " (host execution)";
    r.devices.push_back(std::move(device));
  }
  return r;
}

// Opened when the plugin is first asked, never closed: kernels may still be asked for while other
// statics go.
Runtime& runtime() {
  static Runtime& r = *new Runtime(open());
  return r;
}

}  // namespace

Status no_such_device(const Device& device) {
  const Runtime& r = runtime();
  if (!r.status) return r.status;
  return refused(ErrorCode::kBackendUnavailable, "device is " + std::to_string(device.index) +
                                                     ", expected one of " +
                                                     std::to_string(r.devices.size()));
}

DeviceState* device_state(const Device& device) {
  const auto& devices = runtime().devices;
  const bool there = device.type == kPluginDevice && device.index >= 0 &&
                     static_cast<size_t>(device.index) < devices.size();
  return there ? devices[static_cast<size_t>(device.index)].get() : nullptr;
}

Status runtime_status() { return runtime().status; }
int32_t device_count() { return static_cast<int32_t>(runtime().devices.size()); }

const DeviceInfo* device_info(const Device& device) {
  const DeviceState* state = device_state(device);
  return state == nullptr ? nullptr : &state->info;
}

Status device_available(const Device& device) {
  const DeviceState* state = device_state(device);
  return state == nullptr ? no_such_device(device) : state->code;
}

Status launch(const Kernel& kernel, Index3 grid, uint32_t shared_bytes, const void* args,
              uint32_t arg_bytes, const ExecContext& context) {
  DeviceState* device = device_state(context.device);
  if (device == nullptr) return no_such_device(context.device);
  if (shared_bytes > device->info.shared_bytes)
    return refused(ErrorCode::kUnsupported,
                   std::string(kernel.name) + ": shared memory of a block is " +
                       std::to_string(shared_bytes) + " bytes, expected at most " +
                       std::to_string(device->info.shared_bytes) + " on " + device->info.name);
  const driver::Current current(context.device.index);
  if (current.code() != 0) return failed("making the device current", current.code());
  Functions::Function* function = nullptr;
  if (const Status s = device->functions.get(kernel, device->info, &function); !s) return s;
  // Asking twice from two threads does no harm.
  if (shared_bytes > function->shared_bytes.load(std::memory_order_relaxed)) {
    if (const driver::Code code = driver::allow_shared(function->handle, shared_bytes))
      return failed(std::string("asking for shared memory of ") + kernel.name, code);
    function->shared_bytes.store(shared_bytes, std::memory_order_relaxed);
  }
  const driver::Code code = driver::launch(function->handle, grid, kernel.threads, shared_bytes,
                                           context.stream, args, arg_bytes);
  return code == 0 ? Status{} : failed(std::string("launch of ") + kernel.name, code);
}

}  // namespace attend::gpu
