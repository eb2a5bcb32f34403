// HIP's module API behind backends/gpu/host/driver.h: only calls whose ABI is the same in ROCm 5, 6
// and 7. hipDeviceProp_t is not: its size and its order changed with ROCm 6.
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "backends/gpu/host/driver_table.h"

namespace attend::gpu::driver {
namespace {

// What is HIP's alone.
struct Api {
  Function<const char*(Code)> error_string;
  Function<Code(void*, int)> properties, properties_of_rocm5;
  Function<Code(int*)> current_device;
  Function<Code(int)> set_device;
  Function<Code(void*, const void*, size_t, int, Handle)> copy_ordered;
  Function<Code(void*, const void*, size_t, int)> copy;
  Function<Code(void*, int, size_t, Handle)> fill;
} hip;

constexpr int kCopyByAddress = 4;  // hipMemcpyDefault

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

void* const kEndOfArguments = reinterpret_cast<void*>(3);

Status open() {
  Table& t = table;
  const Status s = bind({"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"},
                        "no ROCm runtime on this machine",
                        {t.init.as("hipInit"),
                         hip.error_string.as("hipGetErrorString"),
                         t.device_count.as("hipGetDeviceCount"),
                         hip.properties.as("hipGetDevicePropertiesR0600", false),
                         hip.properties_of_rocm5.as("hipGetDeviceProperties", false),
                         t.attribute.as("hipDeviceGetAttribute"),
                         hip.current_device.as("hipGetDevice"),
                         hip.set_device.as("hipSetDevice"),
                         t.load_module.as("hipModuleLoadData"),
                         t.find_function.as("hipModuleGetFunction"),
                         t.launch.as("hipModuleLaunchKernel"),
                         t.allocate.as("hipMalloc"),
                         t.release.as("hipFree"),
                         t.allocate_ordered.as("hipMallocAsync", false),
                         t.release_ordered.as("hipFreeAsync", false),
                         t.make_pool.as("hipMemPoolCreate", false),
                         t.set_pool_attribute.as("hipMemPoolSetAttribute", false),
                         t.allocate_from_pool.as("hipMallocFromPoolAsync", false),
                         t.allocate_pinned.as("hipHostMalloc"),
                         t.release_pinned.as("hipHostFree"),
                         hip.copy_ordered.as("hipMemcpyAsync"),
                         hip.copy.as("hipMemcpy"),
                         hip.fill.as("hipMemsetAsync"),
                         t.synchronize.as("hipStreamSynchronize"),
                         t.make_event.as("hipEventCreateWithFlags"),
                         t.record.as("hipEventRecord"),
                         t.wait_for.as("hipEventSynchronize"),
                         t.exchange_capture_mode.as("hipThreadExchangeStreamCaptureMode", false)});
  return s ? start("hipInit", "the ROCm runtime finds no device (error {})") : s;
}

void open_device(int index, Opened* device) {
  constexpr int kPoolsSupported = 88;
  int supported = 0;
  device->ordered = table.allocate_ordered && table.release_ordered &&
                    table.attribute(&supported, kPoolsSupported, index) == 0 && supported != 0;
}

const char* error_text(Code code) {
  const char* text = hip.error_string ? hip.error_string.call(code) : nullptr;
  return text != nullptr ? text : "the runtime has no words for it";
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
    if (const Code code = table.attribute(value, which, device)) return code;
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
  set_current(device);
}
Current::~Current() {
  if (restore_ != -1) hip.set_device(restore_);
}

Code allow_shared(void*, uint32_t) { return 0; }  // blocks may have all that the device names

Code copy(void* to, const void* from, uint64_t bytes, void* stream) {
  return hip.copy_ordered(to, from, bytes, kCopyByAddress, stream);
}
Code copy_now(void* to, const void* from, uint64_t bytes) {
  return hip.copy(to, from, bytes, kCopyByAddress);
}
Code fill(void* data, uint8_t byte, uint64_t bytes, void* stream) {
  return hip.fill(data, byte, bytes, stream);
}

}  // namespace attend::gpu::driver
