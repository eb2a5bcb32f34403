// CUDA's driver API behind backends/gpu/host/driver.h. Types and numbers are those of cuda.h 11.2
// and later, which never change.
#include <string>
#include <utility>

#include "backends/gpu/host/driver_table.h"

namespace attend::gpu::driver {
namespace {

using Address = uint64_t;  // CUdeviceptr

// What is CUDA's alone.
struct Api {
  Function<Code(Code, const char**)> error_string;
  Function<Code(int*, int)> device;
  Function<Code(char*, int, int)> device_name;
  Function<Code(Handle*, int)> retain_context;
  Function<Code(Handle*)> current_context, pop_context;
  Function<Code(Handle)> push_context;
  Function<Code(Handle, int, int)> set_function_attribute;
  Function<Code(Address, Address, size_t, Handle)> copy_ordered;
  Function<Code(Address, Address, size_t)> copy;
  Function<Code(Address, unsigned char, size_t, Handle)> fill;
} cu;

Address address(const void* data) { return reinterpret_cast<Address>(data); }

// The image that runs there: sm_90a and sm_100a run on exactly these; everything else since 8.0
// runs sm_80's code or what the driver makes of its PTX.
std::string arch_of(int major, int minor) {
  if (major == 9 && minor == 0) return "sm_90a";
  if (major == 10 && minor == 0) return "sm_100a";
  return major >= 8 ? "sm_80" : "sm_" + std::to_string(major * 10 + minor);
}

}  // namespace

void* const kEndOfArguments = nullptr;

Status open() {
  Table& t = table;
  const Status s = bind({"libcuda.so.1"}, "no NVIDIA driver on this machine",
                        {t.init.as("cuInit"),
                         cu.error_string.as("cuGetErrorString"),
                         t.device_count.as("cuDeviceGetCount"),
                         cu.device.as("cuDeviceGet"),
                         cu.device_name.as("cuDeviceGetName"),
                         t.attribute.as("cuDeviceGetAttribute"),
                         cu.retain_context.as("cuDevicePrimaryCtxRetain"),
                         cu.current_context.as("cuCtxGetCurrent"),
                         cu.push_context.as("cuCtxPushCurrent_v2"),
                         cu.pop_context.as("cuCtxPopCurrent_v2"),
                         t.load_module.as("cuModuleLoadData"),
                         t.find_function.as("cuModuleGetFunction"),
                         cu.set_function_attribute.as("cuFuncSetAttribute"),
                         t.launch.as("cuLaunchKernel"),
                         t.allocate.as("cuMemAlloc_v2"),
                         t.release.as("cuMemFree_v2"),
                         t.allocate_ordered.as("cuMemAllocAsync"),
                         t.release_ordered.as("cuMemFreeAsync"),
                         t.make_pool.as("cuMemPoolCreate", false),
                         t.set_pool_attribute.as("cuMemPoolSetAttribute", false),
                         t.allocate_from_pool.as("cuMemAllocFromPoolAsync", false),
                         t.allocate_pinned.as("cuMemHostAlloc"),
                         t.release_pinned.as("cuMemFreeHost"),
                         cu.copy_ordered.as("cuMemcpyAsync"),
                         cu.copy.as("cuMemcpy"),
                         cu.fill.as("cuMemsetD8Async"),
                         t.synchronize.as("cuStreamSynchronize"),
                         t.make_event.as("cuEventCreate"),
                         t.record.as("cuEventRecord"),
                         t.wait_for.as("cuEventSynchronize"),
                         t.exchange_capture_mode.as("cuThreadExchangeStreamCaptureMode", false)});
  return s ? start("cuInit", "the NVIDIA driver finds no device (error {})") : s;
}

void open_device(int index, Opened* device) {
  int id = 0;
  device->code = cu.device(&id, index);
  if (device->code == 0) device->code = cu.retain_context(&device->context, id);
}

const char* error_text(Code code) {
  const char* text = nullptr;
  return cu.error_string && cu.error_string(code, &text) == 0 && text != nullptr
             ? text
             : "the driver has no words for it";
}

Code describe(int device, DeviceInfo* info) {
  constexpr int kWarp = 10, kMultiprocessors = 16, kMajor = 75, kMinor = 76, kSharedOptIn = 97;
  int id = 0, major = 0, minor = 0, shared = 0;
  char name[256] = {};
  if (const Code code = cu.device(&id, device)) return code;
  if (const Code code = cu.device_name(name, static_cast<int>(sizeof name) - 1, id)) return code;
  for (const auto& [value, which] : {std::pair{&info->warp, kWarp},
                                     {&info->multiprocessors, kMultiprocessors},
                                     {&major, kMajor},
                                     {&minor, kMinor},
                                     {&shared, kSharedOptIn}})
    if (const Code code = table.attribute(value, which, id)) return code;
  info->name = name;
  info->arch = arch_of(major, minor);
  info->compute_capability = major * 10 + minor;
  info->shared_bytes = static_cast<uint32_t>(shared);
  return 0;
}

Current::Current(int device) {
  const Opened& d = opened(device);
  code_ = d.code;
  if (code_ != 0) return;
  set_current(device);
  Handle now = nullptr;
  if (cu.current_context(&now) == 0 && now == d.context) return;
  code_ = cu.push_context(d.context);
  if (code_ == 0) restore_ = 1;
}
Current::~Current() {
  Handle popped = nullptr;
  if (restore_ != -1) cu.pop_context(&popped);
}

Code allow_shared(void* function, uint32_t bytes) {
  constexpr int kMaxDynamicShared = 8;
  constexpr uint32_t kAlwaysAllowed = 48 << 10;
  if (bytes <= kAlwaysAllowed) return 0;
  return cu.set_function_attribute(function, kMaxDynamicShared, static_cast<int>(bytes));
}

Code copy(void* to, const void* from, uint64_t bytes, void* stream) {
  return cu.copy_ordered(address(to), address(from), bytes, stream);
}
Code copy_now(void* to, const void* from, uint64_t bytes) {
  return cu.copy(address(to), address(from), bytes);
}
Code fill(void* data, uint8_t byte, uint64_t bytes, void* stream) {
  return cu.fill(address(data), byte, bytes, stream);
}

}  // namespace attend::gpu::driver
