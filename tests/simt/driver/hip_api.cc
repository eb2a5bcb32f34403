// The stand-in for libamdhip64.so: HIP's module API as hip_runtime_api.h declares it, with plain
// types.
#include <algorithm>
#include <cstring>

#include "tests/simt/driver/driver.h"
#include "tests/simt/driver/graph_handles.h"

namespace attend::simt {

const char* const kVendor = "rocm";

namespace {

using Code = int;  // hipError_t
using Handle = void*;

Driver& driver() { return Driver::get(); }
Streams& streams() { return driver().streams(); }

// Any call may be the first: each makes sure that there is a device.
template <class Call>
Code on_device(Call&& call) {
  const Result opened = driver().init();
  return static_cast<Code>(opened == Result::kSuccess ? call() : opened);
}

Result attribute(int* value, int which) {
  constexpr int kMultiprocessors = 63, kShared = 74, kWarp = 87, kPoolsSupported = 88;
  const DeviceModel& model = driver().model();
  switch (which) {
    case kMultiprocessors: *value = model.multiprocessors; return Result::kSuccess;
    case kShared: *value = static_cast<int>(model.shared_bytes); return Result::kSuccess;
    case kWarp: *value = model.warp; return Result::kSuccess;
    case kPoolsSupported: *value = 1; return Result::kSuccess;
  }
  return fail(Result::kInvalidValue,
              "attribute " + std::to_string(which) + " is not known to this stand-in");
}

// hipModuleLaunchKernel's `extra`: pairs of a name and a pointer, until the name 3.
Driver::Arguments arguments_of(void** list, void** extra) {
  Driver::Arguments arguments{.list = list};
  for (; extra && reinterpret_cast<uintptr_t>(*extra) != 3; extra += 2) {
    if (reinterpret_cast<uintptr_t>(extra[0]) == 1) arguments.buffer = extra[1];
    if (reinterpret_cast<uintptr_t>(extra[0]) == 2)
      arguments.bytes = *static_cast<size_t*>(extra[1]);
  }
  return arguments;
}

}  // namespace
}  // namespace attend::simt

using namespace attend::simt;  // NOLINT: a file of names that a vendor has given

#define API extern "C" __attribute__((visibility("default")))

API Code hipInit(unsigned) { return static_cast<Code>(driver().init()); }
API Code hipRuntimeGetVersion(int* version) {
  *version = 70000000;
  return 0;
}
API const char* hipGetErrorString(Code error) { return text_of(static_cast<Result>(error)); }
API const char* hipGetErrorName(Code error) { return name_of(static_cast<Result>(error)); }

API Code hipGetDeviceCount(int* count) {
  *count = 0;
  return on_device([&] { return *count = 1, Result::kSuccess; });
}
API Code hipGetDevice(int* device) {
  return on_device([&] { return *device = 0, Result::kSuccess; });
}
API Code hipSetDevice(int device) {
  return on_device([&] { return device == 0 ? Result::kSuccess : Result::kInvalidDevice; });
}
API Code hipDeviceGetAttribute(int* value, int which, int) {
  return on_device([&] { return attribute(value, which); });
}
// ROCm 6 and later: the name comes first, and the architecture as text behind it.
API Code hipGetDevicePropertiesR0600(void* properties, int) {
  constexpr size_t kBytes = 1472, kArch = 1160, kTextBytes = 256;
  return on_device([&] {
    auto* const text = static_cast<char*>(properties);
    std::memset(text, 0, kBytes);
    std::strncpy(text, driver().model().name, kTextBytes - 1);
    std::strncpy(text + kArch, driver().model().arch, kTextBytes - 1);
    return Result::kSuccess;
  });
}
API Code hipDeviceSynchronize() {
  return on_device([] { return streams().synchronize_all(); });
}

API Code hipModuleLoadData(Handle* module, const void* image) {
  return on_device([&] { return driver().load_module(module, image); });
}
API Code hipModuleUnload(Handle) { return 0; }
API Code hipModuleGetFunction(Handle* function, Handle module, const char* name) {
  return on_device([&] { return driver().find_function(function, module, name); });
}
API Code hipModuleLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                               unsigned by, unsigned bz, unsigned shared, Handle stream,
                               void** list, void** extra) {
  const auto n = [](unsigned value) { return static_cast<int>(value); };
  return on_device([&] {
    return driver().launch(function, {n(gx), n(gy), n(gz)}, {n(bx), n(by), n(bz)}, shared, stream,
                           arguments_of(list, extra));
  });
}

API Code hipMalloc(void** data, size_t bytes) {
  return on_device([&] { return driver().allocate(data, bytes, Arena::Kind::kDevice); });
}
API Code hipFree(void* data) {
  return on_device([&] { return driver().release(data, Arena::Kind::kDevice); });
}
API Code hipMallocAsync(void** data, size_t bytes, Handle stream) {
  return on_device([&] { return driver().allocate_ordered(data, bytes, stream); });
}
API Code hipFreeAsync(void* data, Handle stream) {
  return on_device([&] { return driver().release_ordered(data, stream); });
}
API Code hipMemPoolCreate(Handle* pool, const void*) {
  *pool = &driver();
  return 0;
}
API Code hipMemPoolSetAttribute(Handle, int, void*) { return 0; }
API Code hipMemPoolDestroy(Handle) { return 0; }
API Code hipMallocFromPoolAsync(void** data, size_t bytes, Handle, Handle stream) {
  return hipMallocAsync(data, bytes, stream);
}
API Code hipHostMalloc(void** data, size_t bytes, unsigned) {
  return on_device([&] { return driver().allocate(data, bytes, Arena::Kind::kPinned); });
}
API Code hipHostFree(void* data) {
  return on_device([&] { return driver().release(data, Arena::Kind::kPinned); });
}

API Code hipMemcpyAsync(void* to, const void* from, size_t bytes, int, Handle stream) {
  return on_device([&] { return driver().copy(to, from, bytes, stream); });
}
API Code hipMemcpy(void* to, const void* from, size_t bytes, int) {
  return on_device([&] { return driver().copy_now(to, from, bytes); });
}
API Code hipMemsetAsync(void* data, int byte, size_t bytes, Handle stream) {
  return on_device(
      [&] { return driver().fill(data, static_cast<unsigned char>(byte), bytes, stream); });
}

API Code hipStreamCreate(Handle* stream) {
  return on_device([&] { return *stream = streams().create(), Result::kSuccess; });
}
API Code hipStreamCreateWithFlags(Handle* stream, unsigned) { return hipStreamCreate(stream); }
API Code hipStreamDestroy(Handle stream) {
  return on_device([&] { return streams().destroy(stream); });
}
API Code hipStreamSynchronize(Handle stream) {
  return on_device([&] { return streams().synchronize(stream); });
}
API Code hipStreamQuery(Handle stream) { return hipStreamSynchronize(stream); }
API Code hipStreamWaitEvent(Handle stream, Handle event, unsigned) {
  return on_device([&] { return streams().wait(stream, *static_cast<Event*>(event)); });
}

API Code hipEventCreate(Handle* event) {
  return on_device([&] { return *event = new Event, Result::kSuccess; });
}
API Code hipEventCreateWithFlags(Handle* event, unsigned) { return hipEventCreate(event); }
API Code hipEventDestroy(Handle event) {
  delete static_cast<Event*>(event);
  return 0;
}
API Code hipEventRecord(Handle event, Handle stream) {
  return on_device([&] { return streams().record(*static_cast<Event*>(event), stream); });
}
API Code hipEventSynchronize(Handle event) {
  return on_device([&] { return streams().synchronize(*static_cast<Event*>(event)); });
}
API Code hipEventQuery(Handle event) { return hipEventSynchronize(event); }
// Work takes no time here that would mean anything.
API Code hipEventElapsedTime(float* milliseconds, Handle, Handle) {
  *milliseconds = 0.001f;
  return 0;
}

API Code hipThreadExchangeStreamCaptureMode(int* mode) {
  *mode = static_cast<int>(streams().exchange_mode(static_cast<CaptureMode>(*mode)));
  return 0;
}
API Code hipStreamBeginCapture(Handle stream, int mode) {
  return on_device([&] { return streams().begin_capture(stream, static_cast<CaptureMode>(mode)); });
}
API Code hipStreamIsCapturing(Handle stream, int* status) {
  return on_device([&] { return *status = streams().capturing(stream), Result::kSuccess; });
}
API Code hipStreamEndCapture(Handle stream, Handle* graph) {
  return on_device([&] { return end_capture(streams(), stream, graph); });
}
API Code hipGraphInstantiate(Handle* executable, Handle graph, Handle*, char*, size_t) {
  *executable = copy_of_graph(graph);
  return 0;
}
API Code hipGraphLaunch(Handle executable, Handle stream) {
  return on_device([&] { return launch_graph(streams(), executable, stream); });
}
API Code hipGraphDestroy(Handle graph) { return destroy_graph(graph); }
API Code hipGraphExecDestroy(Handle executable) { return destroy_graph(executable); }
