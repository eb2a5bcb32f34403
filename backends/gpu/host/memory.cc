#include "backends/gpu/host/memory.h"

#include <string>

#include "backends/gpu/host/devices.h"
#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"

namespace attend::gpu {
namespace {

// Runs one function of the driver on a device.
template <class F>
Status on(const Device& device, const char* what, F&& call) {
  if (device_state(device) == nullptr) return no_such_device(device);
  const driver::Current current(device.index);
  const driver::Code code = current.code() != 0 ? current.code() : call();
  return code == 0 ? Status{} : failed(what, code);
}

}  // namespace

// Without a stream the memory is for everyone and for long: it may be used at once on every stream.
void* allocate(void*, Device device, uint64_t bytes, uint64_t, void* stream) {
  void* data = nullptr;
  if (bytes == 0) return nullptr;
  const Status s = on(device, "allocation", [&] {
    return stream == nullptr ? driver::allocate(&data, bytes)
                             : driver::allocate_ordered(&data, bytes, stream);
  });
  return s ? data : nullptr;
}

void deallocate(void*, Device device, void* data, uint64_t, void* stream) {
  if (data == nullptr) return;
  static_cast<void>(on(device, "deallocation", [&] {
    return stream == nullptr ? driver::release(data) : driver::release_ordered(data, stream);
  }));
}

void* allocate_pinned(void*, Device device, uint64_t bytes, uint64_t, void*) {
  void* data = nullptr;
  if (bytes == 0) return nullptr;
  const Status s = on(device, "allocation", [&] { return driver::allocate_pinned(&data, bytes); });
  return s ? data : nullptr;
}

void deallocate_pinned(void*, Device device, void* data, uint64_t, void*) {
  if (data == nullptr) return;
  static_cast<void>(on(device, "deallocation", [&] { return driver::release_pinned(data); }));
}

Status copy(void* to, Device to_device, const void* from, Device from_device, uint64_t bytes,
            void* stream) {
  for (const Device& side : {to_device, from_device})
    if (side.type != kPluginDevice && side.type != DeviceType::kNative)
      return {ErrorCode::kInvalidArgument, "copy: a side is on another vendor's device", 0};
  if (bytes == 0) return {};
  const Device device = to_device.type == kPluginDevice ? to_device : from_device;
  return on(device, "copy", [&] { return driver::copy(to, from, bytes, stream); });
}

Status synchronize(Device device, void* stream) {
  return on(device, "synchronisation", [&] { return driver::synchronize(stream); });
}

Status fill(void* data, uint8_t byte, uint64_t bytes, const ExecContext& context) {
  if (bytes == 0) return {};
  return on(context.device, "fill",
            [&] { return driver::fill(data, byte, bytes, context.stream); });
}

ErrorWord* error_word(Device device) {
  DeviceState* state = device_state(device);
  if (state == nullptr) return nullptr;
  std::call_once(state->word_made, [&] {
    const driver::Uncaptured uncaptured;
    void* data = nullptr;
    const ErrorWord nothing;
    const Status made = on(device, "allocation", [&]() -> driver::Code {
      if (const driver::Code code = driver::allocate(&data, sizeof(ErrorWord))) return code;
      return driver::copy_now(data, &nothing, sizeof nothing);
    });
    if (made) state->word = static_cast<ErrorWord*>(data);
  });
  return state->word;
}

Scratch::Scratch(const ExecContext& context, uint64_t bytes) : context_(context), bytes_(bytes) {
  constexpr uint64_t kAlignment = 256;  // of the drivers' own memory
  if (bytes == 0) return;
  if (context.workspace != nullptr && context.workspace_bytes >= bytes) {
    data_ = context.workspace;
    return;
  }
  owner_ = context.allocator.allocate != nullptr ? Owner::kAllocator : Owner::kPool;
  if (owner_ == Owner::kAllocator)
    data_ = context.allocator.allocate(context.allocator.user, context.device, bytes, kAlignment,
                                       context.stream);
  else
    static_cast<void>(on(context.device, "allocation",
                         [&] { return driver::allocate_ordered(&data_, bytes, context.stream); }));
}

Scratch::~Scratch() {
  if (data_ == nullptr) return;
  if (owner_ == Owner::kAllocator)
    context_.allocator.deallocate(context_.allocator.user, context_.device, data_, bytes_,
                                  context_.stream);
  if (owner_ == Owner::kPool)
    static_cast<void>(on(context_.device, "deallocation",
                         [&] { return driver::release_ordered(data_, context_.stream); }));
}

}  // namespace attend::gpu
