// CUDA's driver API behind backends/gpu/host/driver.h. Types and numbers are those of cuda.h 11.2
// and later, which never change.
#include "backends/gpu/host/driver.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/library.h"

namespace attend::gpu::driver {
namespace {

using Handle = void*;      // CUcontext, CUmodule, CUfunction, CUstream, CUmemoryPool
using Address = uint64_t;  // CUdeviceptr

struct Api {
  Function<Code(unsigned)> init;
  Function<Code(Code, const char**)> error_string;
  Function<Code(int*)> device_count;
  Function<Code(int*, int)> device;
  Function<Code(char*, int, int)> device_name;
  Function<Code(int*, int, int)> attribute;
  Function<Code(Handle*, int)> retain_context;
  Function<Code(Handle*)> current_context, pop_context;
  Function<Code(Handle)> push_context;
  Function<Code(Handle*, const void*)> load_module;
  Function<Code(Handle*, Handle, const char*)> find_function;
  Function<Code(Handle, int, int)> set_function_attribute;
  Function<Code(Handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                Handle, void**, void**)>
      launch;
  Function<Code(Address*, size_t)> allocate;
  Function<Code(Address)> release;
  Function<Code(Address*, size_t, Handle)> allocate_ordered;
  Function<Code(Address, Handle)> release_ordered;
  Function<Code(Handle*, const PoolProperties*)> make_pool;
  Function<Code(Handle, int, void*)> set_pool_attribute;
  Function<Code(Address*, size_t, Handle, Handle)> allocate_from_pool;
  Function<Code(void**, size_t, unsigned)> allocate_pinned;
  Function<Code(void*)> release_pinned;
  Function<Code(Address, Address, size_t, Handle)> copy_ordered;
  Function<Code(Address, Address, size_t)> copy;
  Function<Code(Address, unsigned char, size_t, Handle)> fill;
  Function<Code(Handle)> synchronize;
  Function<Code(Handle*, unsigned)> make_event;
  Function<Code(Handle, Handle)> record;
  Function<Code(Handle)> wait_for;
  Function<Code(int*)> exchange_capture_mode;
} cu;

// What is made for a device when it is first used.
struct Opened {
  std::once_flag once;
  Code code = 0;
  Handle context = nullptr;  // the primary one, which the CUDA runtime and torch use, too
  Handle pool = nullptr;
};
std::vector<std::unique_ptr<Opened>>& devices() {
  static auto& all = *new std::vector<std::unique_ptr<Opened>>;
  return all;
}
Opened& opened(int index) {
  Opened& device = *devices()[static_cast<size_t>(index)];
  std::call_once(device.once, [&] {
    int id = 0;
    device.code = cu.device(&id, index);
    if (device.code == 0) device.code = cu.retain_context(&device.context, id);
    PoolProperties properties;
    properties.location_id = index;
    if (device.code != 0 || !cu.make_pool || !cu.allocate_from_pool || !cu.set_pool_attribute)
      return;
    if (cu.make_pool(&device.pool, &properties) != 0) {
      device.pool = nullptr;  // the driver's own pool serves
      return;
    }
    constexpr int kReleaseThreshold = 4;
    uint64_t keeps = kPoolKeepsBytes;
    cu.set_pool_attribute(device.pool, kReleaseThreshold, &keeps);
  });
  return device;
}

// The device that Current has made current on this thread.
thread_local int current_device = 0;

Address address(const void* data) { return reinterpret_cast<Address>(data); }
void** slot(Address* data) { return reinterpret_cast<void**>(data); }
template <class Call>
Code allocated(void** data, Call&& call) {
  Address at = 0;
  const Code code = call(&at);
  *data = code == 0 ? *slot(&at) : nullptr;
  return code;
}

// The image that runs there: sm_90a and sm_100a run on exactly these; everything else since 8.0
// runs sm_80's code or what the driver makes of its PTX.
std::string arch_of(int major, int minor) {
  if (major == 9 && minor == 0) return "sm_90a";
  if (major == 10 && minor == 0) return "sm_100a";
  return major >= 8 ? "sm_80" : "sm_" + std::to_string(major * 10 + minor);
}

}  // namespace

Status open() {
  const Status s = bind({"libcuda.so.1"}, "no NVIDIA driver on this machine",
                        {cu.init.as("cuInit"),
                         cu.error_string.as("cuGetErrorString"),
                         cu.device_count.as("cuDeviceGetCount"),
                         cu.device.as("cuDeviceGet"),
                         cu.device_name.as("cuDeviceGetName"),
                         cu.attribute.as("cuDeviceGetAttribute"),
                         cu.retain_context.as("cuDevicePrimaryCtxRetain"),
                         cu.current_context.as("cuCtxGetCurrent"),
                         cu.push_context.as("cuCtxPushCurrent_v2"),
                         cu.pop_context.as("cuCtxPopCurrent_v2"),
                         cu.load_module.as("cuModuleLoadData"),
                         cu.find_function.as("cuModuleGetFunction"),
                         cu.set_function_attribute.as("cuFuncSetAttribute"),
                         cu.launch.as("cuLaunchKernel"),
                         cu.allocate.as("cuMemAlloc_v2"),
                         cu.release.as("cuMemFree_v2"),
                         cu.allocate_ordered.as("cuMemAllocAsync"),
                         cu.release_ordered.as("cuMemFreeAsync"),
                         cu.make_pool.as("cuMemPoolCreate", false),
                         cu.set_pool_attribute.as("cuMemPoolSetAttribute", false),
                         cu.allocate_from_pool.as("cuMemAllocFromPoolAsync", false),
                         cu.allocate_pinned.as("cuMemHostAlloc"),
                         cu.release_pinned.as("cuMemFreeHost"),
                         cu.copy_ordered.as("cuMemcpyAsync"),
                         cu.copy.as("cuMemcpy"),
                         cu.fill.as("cuMemsetD8Async"),
                         cu.synchronize.as("cuStreamSynchronize"),
                         cu.make_event.as("cuEventCreate"),
                         cu.record.as("cuEventRecord"),
                         cu.wait_for.as("cuEventSynchronize"),
                         cu.exchange_capture_mode.as("cuThreadExchangeStreamCaptureMode", false)});
  if (!s) return s;
  if (const Code code = cu.init(0u); code != 0) {
    constexpr int kNoDevice = 100;
    if (code == kNoDevice)
      return {ErrorCode::kBackendUnavailable, "the NVIDIA driver finds no device (error {})", code};
    Status why = failed("cuInit", code);
    why.code = ErrorCode::kBackendUnavailable;
    return why;
  }
  return {};
}

const char* error_text(Code code) {
  const char* text = nullptr;
  return cu.error_string && cu.error_string(code, &text) == 0 && text != nullptr
             ? text
             : "the driver has no words for it";
}

Code count_devices(int* count) {
  const Code code = cu.device_count(count);
  for (int i = 0; code == 0 && i < *count; ++i) devices().push_back(std::make_unique<Opened>());
  return code;
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
    if (const Code code = cu.attribute(value, which, id)) return code;
  info->name = name;
  info->arch = arch_of(major, minor);
  info->compute_capability = major * 10 + minor;
  info->shared_bytes = static_cast<uint32_t>(shared);
  return 0;
}

Current::Current(int device) {
  Opened& d = opened(device);
  code_ = d.code;
  if (code_ != 0) return;
  current_device = device;
  Handle now = nullptr;
  if (cu.current_context(&now) == 0 && now == d.context) return;
  code_ = cu.push_context(d.context);
  if (code_ == 0) restore_ = 1;
}
Current::~Current() {
  Handle popped = nullptr;
  if (restore_ != -1) cu.pop_context(&popped);
}

Code load_module(void** module, const void* image) { return cu.load_module(module, image); }
Code find_function(void** function, void* module, const char* name) {
  return cu.find_function(function, module, name);
}
Code allow_shared(void* function, uint32_t bytes) {
  constexpr int kMaxDynamicShared = 8;
  constexpr uint32_t kAlwaysAllowed = 48 << 10;
  if (bytes <= kAlwaysAllowed) return 0;
  return cu.set_function_attribute(function, kMaxDynamicShared, static_cast<int>(bytes));
}

Code launch(void* function, Index3 grid, int threads, uint32_t shared_bytes, void* stream,
            const void* args, uint32_t arg_bytes) {
  size_t bytes = arg_bytes;
  void* const pointer_follows = reinterpret_cast<void*>(1);
  void* const size_follows = reinterpret_cast<void*>(2);
  void* extra[] = {pointer_follows, const_cast<void*>(args), size_follows, &bytes, nullptr};
  const auto u = [](int n) { return static_cast<unsigned>(n); };
  return cu.launch(function, u(grid.x), u(grid.y), u(grid.z), u(threads), 1u, 1u, shared_bytes,
                   stream, nullptr, extra);
}

Code allocate(void** data, uint64_t bytes) {
  return allocated(data, [&](Address* at) { return cu.allocate(at, bytes); });
}
Code release(void* data) { return cu.release(address(data)); }
Code allocate_ordered(void** data, uint64_t bytes, void* stream) {
  const Handle pool = opened(current_device).pool;
  return allocated(data, [&](Address* at) {
    return pool != nullptr ? cu.allocate_from_pool(at, bytes, pool, stream)
                           : cu.allocate_ordered(at, bytes, stream);
  });
}
Code release_ordered(void* data, void* stream) { return cu.release_ordered(address(data), stream); }
Code allocate_pinned(void** data, uint64_t bytes) {
  constexpr unsigned kPortable = 1;  // pinned for every device
  return cu.allocate_pinned(data, bytes, kPortable);
}
Code release_pinned(void* data) { return cu.release_pinned(data); }

Code copy(void* to, const void* from, uint64_t bytes, void* stream) {
  return cu.copy_ordered(address(to), address(from), bytes, stream);
}
Code copy_now(void* to, const void* from, uint64_t bytes) {
  return cu.copy(address(to), address(from), bytes);
}
Code fill(void* data, uint8_t byte, uint64_t bytes, void* stream) {
  return cu.fill(address(data), byte, bytes, stream);
}
Code synchronize(void* stream) { return cu.synchronize(stream); }
Code make_event(void** event) {
  constexpr unsigned kBlockingNoTiming = 3;
  return cu.make_event(event, kBlockingNoTiming);
}
Code record(void* event, void* stream) { return cu.record(event, stream); }
Code wait_for(void* event) { return cu.wait_for(event); }

Uncaptured::Uncaptured() : mode_(2) {  // relaxed
  if (cu.exchange_capture_mode) cu.exchange_capture_mode(&mode_);
}
Uncaptured::~Uncaptured() {
  if (cu.exchange_capture_mode) cu.exchange_capture_mode(&mode_);
}

}  // namespace attend::gpu::driver
