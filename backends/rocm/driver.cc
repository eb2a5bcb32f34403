// HIP's module API behind backends/gpu/host/driver.h: only calls whose ABI is the same in ROCm 5, 6
// and 7. hipDeviceProp_t is not: its size and its order changed with ROCm 6.
#include "backends/gpu/host/driver.h"

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/library.h"

namespace attend::gpu::driver {
namespace {

using Handle = void*;  // hipModule_t, hipFunction_t, hipStream_t, hipMemPool_t

struct Api {
  Function<Code(unsigned)> init;
  Function<const char*(Code)> error_string;
  Function<Code(int*)> device_count;
  Function<Code(void*, int)> properties, properties_of_rocm5;
  Function<Code(int*, int, int)> attribute;
  Function<Code(int*)> current_device;
  Function<Code(int)> set_device;
  Function<Code(Handle*, const void*)> load_module;
  Function<Code(Handle*, Handle, const char*)> find_function;
  Function<Code(Handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                Handle, void**, void**)>
      launch;
  Function<Code(void**, size_t)> allocate;
  Function<Code(void*)> release;
  Function<Code(void**, size_t, Handle)> allocate_ordered;
  Function<Code(void*, Handle)> release_ordered;
  Function<Code(Handle*, const PoolProperties*)> make_pool;
  Function<Code(Handle, int, void*)> set_pool_attribute;
  Function<Code(void**, size_t, Handle, Handle)> allocate_from_pool;
  Function<Code(void**, size_t, unsigned)> allocate_pinned;
  Function<Code(void*)> release_pinned;
  Function<Code(void*, const void*, size_t, int, Handle)> copy_ordered;
  Function<Code(void*, const void*, size_t, int)> copy;
  Function<Code(void*, int, size_t, Handle)> fill;
  Function<Code(Handle)> synchronize;
  Function<Code(Handle*, unsigned)> make_event;
  Function<Code(Handle, Handle)> record;
  Function<Code(Handle)> wait_for;
  Function<Code(int*)> exchange_capture_mode;
} hip;

constexpr int kCopyByAddress = 4;  // hipMemcpyDefault

// What is made for a device when it is first used.
struct Opened {
  std::once_flag once;
  bool ordered = false;   // whether the driver allocates in stream order
  Handle pool = nullptr;  // null: its own pool serves
};
std::vector<std::unique_ptr<Opened>>& devices() {
  static auto& all = *new std::vector<std::unique_ptr<Opened>>;
  return all;
}
// The device is current.
Opened& opened(int index) {
  Opened& device = *devices()[static_cast<size_t>(index)];
  std::call_once(device.once, [&] {
    constexpr int kPoolsSupported = 88;
    int supported = 0;
    device.ordered = hip.allocate_ordered && hip.release_ordered &&
                     hip.attribute(&supported, kPoolsSupported, index) == 0 && supported != 0;
    PoolProperties properties;
    properties.location_id = index;
    if (!device.ordered || !hip.make_pool || !hip.allocate_from_pool || !hip.set_pool_attribute)
      return;
    if (hip.make_pool(&device.pool, &properties) != 0) {
      device.pool = nullptr;
      return;
    }
    constexpr int kReleaseThreshold = 4;
    uint64_t keeps = kPoolKeepsBytes;
    hip.set_pool_attribute(device.pool, kReleaseThreshold, &keeps);
  });
  return device;
}

// The device that Current has made current on this thread.
thread_local int current_device = 0;

// The first "gfx..." in the device's properties: the architecture stands there as text, in ROCm 5
// and later at different places, with features behind a colon ("gfx90a:sramecc+:xnack-").
std::string find_arch(std::string_view properties) {
  for (size_t at = properties.find("gfx"); at != std::string_view::npos;
       at = properties.find("gfx", at + 1)) {
    size_t end = at + 3;
    while (end < properties.size() && std::strchr("0123456789abcdef", properties[end]) != nullptr &&
           properties[end] != '\0')
      ++end;
    if (end > at + 5) return std::string(properties.substr(at, end - at));
  }
  return "gfx of an unknown kind";
}

// What the runtime does not tell: dies (XCDs), to which workgroups go in turn. A device that is
// partitioned or cut down has four, two or one of the eight, which the order for eight serves, too.
int32_t dies_of(const DeviceInfo& info) {
  constexpr int32_t kUnitsOfMi300a = 228;
  if (info.arch != "gfx942") return 1;
  return info.multiprocessors == kUnitsOfMi300a ? 6 : 8;
}

}  // namespace

Status open() {
  const Status s =
      bind({"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"},
           "no ROCm runtime on this machine",
           {hip.init.as("hipInit"),
            hip.error_string.as("hipGetErrorString"),
            hip.device_count.as("hipGetDeviceCount"),
            hip.properties.as("hipGetDevicePropertiesR0600", false),
            hip.properties_of_rocm5.as("hipGetDeviceProperties", false),
            hip.attribute.as("hipDeviceGetAttribute"),
            hip.current_device.as("hipGetDevice"),
            hip.set_device.as("hipSetDevice"),
            hip.load_module.as("hipModuleLoadData"),
            hip.find_function.as("hipModuleGetFunction"),
            hip.launch.as("hipModuleLaunchKernel"),
            hip.allocate.as("hipMalloc"),
            hip.release.as("hipFree"),
            hip.allocate_ordered.as("hipMallocAsync", false),
            hip.release_ordered.as("hipFreeAsync", false),
            hip.make_pool.as("hipMemPoolCreate", false),
            hip.set_pool_attribute.as("hipMemPoolSetAttribute", false),
            hip.allocate_from_pool.as("hipMallocFromPoolAsync", false),
            hip.allocate_pinned.as("hipHostMalloc"),
            hip.release_pinned.as("hipHostFree"),
            hip.copy_ordered.as("hipMemcpyAsync"),
            hip.copy.as("hipMemcpy"),
            hip.fill.as("hipMemsetAsync"),
            hip.synchronize.as("hipStreamSynchronize"),
            hip.make_event.as("hipEventCreateWithFlags"),
            hip.record.as("hipEventRecord"),
            hip.wait_for.as("hipEventSynchronize"),
            hip.exchange_capture_mode.as("hipThreadExchangeStreamCaptureMode", false)});
  if (!s) return s;
  if (const Code code = hip.init(0u); code != 0) {
    constexpr int kNoDevice = 100;
    if (code == kNoDevice)
      return {ErrorCode::kBackendUnavailable, "the ROCm runtime finds no device (error {})", code};
    Status why = failed("hipInit", code);
    why.code = ErrorCode::kBackendUnavailable;
    return why;
  }
  return {};
}

const char* error_text(Code code) {
  const char* text = hip.error_string ? hip.error_string.call(code) : nullptr;
  return text != nullptr ? text : "the runtime has no words for it";
}

Code count_devices(int* count) {
  const Code code = hip.device_count(count);
  for (int i = 0; code == 0 && i < *count; ++i) devices().push_back(std::make_unique<Opened>());
  return code;
}

Code describe(int device, DeviceInfo* info) {
  constexpr int kMultiprocessors = 63, kShared = 74, kWarp = 87;
  constexpr size_t kNameBytes = 256;       // what properties open with
  std::array<char, 8192> properties = {};  // larger than those of every version
  const auto& ask = hip.properties ? hip.properties : hip.properties_of_rocm5;
  if (!ask) return 1;
  if (const Code code = ask(static_cast<void*>(properties.data()), device)) return code;
  int shared = 0;
  for (const auto& [value, which] : {std::pair{&info->warp, kWarp},
                                     {&info->multiprocessors, kMultiprocessors},
                                     {&shared, kShared}})
    if (const Code code = hip.attribute(value, which, device)) return code;
  info->name = properties.data();
  info->arch = find_arch({properties.data() + kNameBytes, properties.size() - kNameBytes});
  info->shared_bytes = static_cast<uint32_t>(shared);
  info->dies = dies_of(*info);
  return 0;
}

Current::Current(int device) {
  int now = -1;
  code_ = hip.current_device(&now);
  if (code_ == 0 && now != device) {
    code_ = hip.set_device(device);
    if (code_ == 0) restore_ = now;
  }
  current_device = device;
}
Current::~Current() {
  if (restore_ != -1) hip.set_device(restore_);
}

Code load_module(void** module, const void* image) { return hip.load_module(module, image); }
Code find_function(void** function, void* module, const char* name) {
  return hip.find_function(function, module, name);
}
Code allow_shared(void*, uint32_t) { return 0; }  // blocks may have all that the device names

Code launch(void* function, Index3 grid, int threads, uint32_t shared_bytes, void* stream,
            const void* args, uint32_t arg_bytes) {
  size_t bytes = arg_bytes;
  void* const pointer_follows = reinterpret_cast<void*>(1);
  void* const size_follows = reinterpret_cast<void*>(2);
  void* const end = reinterpret_cast<void*>(3);
  void* extra[] = {pointer_follows, const_cast<void*>(args), size_follows, &bytes, end};
  const auto u = [](int n) { return static_cast<unsigned>(n); };
  return hip.launch(function, u(grid.x), u(grid.y), u(grid.z), u(threads), 1u, 1u, shared_bytes,
                    stream, static_cast<void**>(nullptr), static_cast<void**>(extra));
}

Code allocate(void** data, uint64_t bytes) { return hip.allocate(data, bytes); }
Code release(void* data) { return hip.release(data); }
Code allocate_ordered(void** data, uint64_t bytes, void* stream) {
  const Opened& device = opened(current_device);
  if (!device.ordered) return hip.allocate(data, bytes);
  return device.pool != nullptr ? hip.allocate_from_pool(data, bytes, device.pool, stream)
                                : hip.allocate_ordered(data, bytes, stream);
}
// Without ordered memory, hipFree waits for the device: slow and right.
Code release_ordered(void* data, void* stream) {
  return opened(current_device).ordered ? hip.release_ordered(data, stream) : hip.release(data);
}
Code allocate_pinned(void** data, uint64_t bytes) {
  constexpr unsigned kPortable = 1;  // pinned for every device
  return hip.allocate_pinned(data, bytes, kPortable);
}
Code release_pinned(void* data) { return hip.release_pinned(data); }

Code copy(void* to, const void* from, uint64_t bytes, void* stream) {
  return hip.copy_ordered(to, from, bytes, kCopyByAddress, stream);
}
Code copy_now(void* to, const void* from, uint64_t bytes) {
  return hip.copy(to, from, bytes, kCopyByAddress);
}
Code fill(void* data, uint8_t byte, uint64_t bytes, void* stream) {
  return hip.fill(data, byte, bytes, stream);
}
Code synchronize(void* stream) { return hip.synchronize(stream); }
Code make_event(void** event) {
  constexpr unsigned kBlockingNoTiming = 3;
  return hip.make_event(event, kBlockingNoTiming);
}
Code record(void* event, void* stream) { return hip.record(event, stream); }
Code wait_for(void* event) { return hip.wait_for(event); }

Uncaptured::Uncaptured() : mode_(2) {  // relaxed
  if (hip.exchange_capture_mode) hip.exchange_capture_mode(&mode_);
}
Uncaptured::~Uncaptured() {
  if (hip.exchange_capture_mode) hip.exchange_capture_mode(&mode_);
}

}  // namespace attend::gpu::driver
