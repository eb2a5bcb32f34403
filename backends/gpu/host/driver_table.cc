// What of driver.h follows from the calls that both vendors have alike.
#include "backends/gpu/host/driver_table.h"

#include <memory>
#include <vector>

#include "backends/gpu/host/failure.h"

namespace attend::gpu::driver {
namespace {

std::vector<std::unique_ptr<Opened>>& devices() {
  static auto& all = *new std::vector<std::unique_ptr<Opened>>;
  return all;
}

Handle new_pool(int device) {
  if (!table.make_pool || !table.allocate_from_pool || !table.set_pool_attribute) return nullptr;
  constexpr int kReleaseThreshold = 4;
  PoolProperties properties;
  properties.location_id = device;
  Handle pool = nullptr;
  if (table.make_pool(&pool, &properties) != 0) return nullptr;
  uint64_t keeps = kPoolKeepsBytes;
  table.set_pool_attribute(pool, kReleaseThreshold, &keeps);
  return pool;
}

thread_local int current_device = 0;

}  // namespace

Table table;

Opened& opened(int index) {
  Opened& device = *devices()[static_cast<size_t>(index)];
  std::call_once(device.once, [&] {
    open_device(index, &device);
    if (device.code == 0 && device.ordered) device.pool = new_pool(index);
  });
  return device;
}

void set_current(int device) { current_device = device; }

Status start(const char* call, const char* none) {
  constexpr int kNoDevice = 100;
  const Code code = table.init(0u);
  if (code == 0) return {};
  if (code == kNoDevice) return {ErrorCode::kBackendUnavailable, none, code};
  Status why = failed(call, code);
  why.code = ErrorCode::kBackendUnavailable;
  return why;
}

Code count_devices(int* count) {
  const Code code = table.device_count(count);
  for (int i = 0; code == 0 && i < *count; ++i) devices().push_back(std::make_unique<Opened>());
  return code;
}

Code load_module(void** module, const void* image) { return table.load_module(module, image); }
Code find_function(void** function, void* module, const char* name) {
  return table.find_function(function, module, name);
}

Code launch(void* function, Index3 grid, int threads, uint32_t shared_bytes, void* stream,
            const void* args, uint32_t arg_bytes) {
  size_t bytes = arg_bytes;
  void* const pointer_follows = reinterpret_cast<void*>(1);
  void* const size_follows = reinterpret_cast<void*>(2);
  void* extra[] = {pointer_follows, const_cast<void*>(args), size_follows, &bytes, kEndOfArguments};
  const auto u = [](int n) { return static_cast<unsigned>(n); };
  return table.launch(function, u(grid.x), u(grid.y), u(grid.z), u(threads), 1u, 1u, shared_bytes,
                      stream, nullptr, extra);
}

Code allocate(void** data, uint64_t bytes) { return table.allocate(data, bytes); }
Code release(void* data) { return table.release(data); }
Code allocate_ordered(void** data, uint64_t bytes, void* stream) {
  const Opened& device = opened(current_device);
  if (!device.ordered) return table.allocate(data, bytes);
  return device.pool != nullptr ? table.allocate_from_pool(data, bytes, device.pool, stream)
                                : table.allocate_ordered(data, bytes, stream);
}
// Without ordered memory, release waits for the device: slow and right.
Code release_ordered(void* data, void* stream) {
  return opened(current_device).ordered ? table.release_ordered(data, stream) : table.release(data);
}
Code allocate_pinned(void** data, uint64_t bytes) {
  constexpr unsigned kPortable = 1;  // pinned for every device
  return table.allocate_pinned(data, bytes, kPortable);
}
Code release_pinned(void* data) { return table.release_pinned(data); }

Code synchronize(void* stream) { return table.synchronize(stream); }
Code make_event(void** event) {
  constexpr unsigned kBlockingNoTiming = 3;
  return table.make_event(event, kBlockingNoTiming);
}
Code record(void* event, void* stream) { return table.record(event, stream); }
Code wait_for(void* event) { return table.wait_for(event); }

Uncaptured::Uncaptured() : mode_(2) {  // relaxed
  if (table.exchange_capture_mode) table.exchange_capture_mode(&mode_);
}
Uncaptured::~Uncaptured() {
  if (table.exchange_capture_mode) table.exchange_capture_mode(&mode_);
}

}  // namespace attend::gpu::driver
