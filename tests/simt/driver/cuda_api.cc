// The stand-in for libcuda.so.1: CUDA's driver API as cuda.h declares it, with plain types.
#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/simt/driver/driver.h"
#include "tests/simt/driver/graph_handles.h"

namespace attend::simt {

const char* const kVendor = "cuda";

namespace {

using Code = int;          // CUresult
using Address = uint64_t;  // CUdeviceptr
using Handle = void*;

Driver& driver() { return Driver::get(); }
Streams& streams() { return driver().streams(); }
Code code(Result result) { return static_cast<Code>(result); }
void* pointer(Address address) { return reinterpret_cast<void*>(address); }

// The one context, and each thread's stack of what is current.
char context;
thread_local std::vector<Handle> current;

enum Attribute {
  kMaxThreads = 1,
  kSharedPerBlock = 8,
  kWarp = 10,
  kMultiprocessors = 16,
  kMajor = 75,
  kMinor = 76,
  kSharedPerMultiprocessor = 81,
  kSharedOptIn = 97,
  kPoolsSupported = 115
};

Code attribute(int* value, int which) {
  const DeviceModel& model = driver().model();
  switch (which) {
    case kMaxThreads: *value = 1024; return 0;
    case kSharedPerBlock: *value = 48 << 10; return 0;
    case kWarp: *value = model.warp; return 0;
    case kMultiprocessors: *value = model.multiprocessors; return 0;
    case kMajor: *value = model.major; return 0;
    case kMinor: *value = model.minor; return 0;
    case kSharedPerMultiprocessor: *value = static_cast<int>(model.shared_bytes) + 1024; return 0;
    case kSharedOptIn: *value = static_cast<int>(model.shared_bytes); return 0;
    case kPoolsSupported: *value = 1; return 0;
  }
  return code(fail(Result::kInvalidValue,
                   "attribute " + std::to_string(which) + " is not known to this stand-in"));
}

// Calls that act on the current context want one.
template <class Call>
Code in_context(Call&& call) {
  if (current.empty() || !current.back())
    return code(fail(Result::kInvalidContext, "no context is current on this thread"));
  return code(call());
}

// cuLaunchKernel's `extra`: pairs of a name and a pointer, until a null.
Driver::Arguments arguments_of(void** list, void** extra) {
  Driver::Arguments arguments{.list = list};
  for (; extra && *extra; extra += 2) {
    if (reinterpret_cast<uintptr_t>(extra[0]) == 1) arguments.buffer = extra[1];
    if (reinterpret_cast<uintptr_t>(extra[0]) == 2)
      arguments.bytes = *static_cast<size_t*>(extra[1]);
  }
  return arguments;
}

}  // namespace
}  // namespace attend::simt

using namespace attend::simt;  // NOLINT: a file of names that a vendor has given

#define API extern "C" __attribute__((visibility("default"))) Code

API cuInit(unsigned) { return code(driver().init()); }
API cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
API cuGetErrorString(Code error, const char** text) {
  *text = text_of(static_cast<Result>(error));
  return 0;
}
API cuGetErrorName(Code error, const char** name) {
  static thread_local std::string kept;
  kept = std::string("CUDA_") + (error ? "ERROR_" : "") + name_of(static_cast<Result>(error));
  *name = kept.c_str();
  return 0;
}

API cuDeviceGetCount(int* count) {
  *count = 1;
  return code(driver().init());
}
API cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return code(ordinal == 0 ? Result::kSuccess : Result::kInvalidDevice);
}
API cuDeviceGetName(char* name, int bytes, int) {
  std::strncpy(name, driver().model().name, static_cast<size_t>(bytes));
  return 0;
}
API cuDeviceGetAttribute(int* value, int which, int) { return attribute(value, which); }
API cuDevicePrimaryCtxRetain(Handle* made, int) {
  *made = &context;
  return 0;
}
API cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API cuCtxGetCurrent(Handle* now) {
  *now = current.empty() ? nullptr : current.back();
  return 0;
}
API cuCtxSetCurrent(Handle now) {
  if (!current.empty()) current.pop_back();
  current.push_back(now);
  return 0;
}
API cuCtxPushCurrent_v2(Handle now) {
  current.push_back(now);
  return 0;
}
API cuCtxPopCurrent_v2(Handle* was) {
  if (current.empty()) return code(Result::kInvalidContext);
  *was = current.back();
  current.pop_back();
  return 0;
}
API cuCtxGetDevice(int* device) {
  return in_context([&] { return *device = 0, Result::kSuccess; });
}
API cuCtxSynchronize() {
  return in_context([] { return streams().synchronize_all(); });
}

API cuModuleLoadData(Handle* module, const void* image) {
  return in_context([&] { return driver().load_module(module, image); });
}
API cuModuleUnload(Handle) { return 0; }
API cuModuleGetFunction(Handle* function, Handle module, const char* name) {
  return in_context([&] { return driver().find_function(function, module, name); });
}
API cuFuncSetAttribute(Handle function, int which, int value) {
  constexpr int kMaxDynamicShared = 8;
  if (which != kMaxDynamicShared) return 0;
  return in_context([&] { return driver().allow_shared(function, value); });
}
API cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, Handle stream, void** list, void** extra) {
  const auto n = [](unsigned value) { return static_cast<int>(value); };
  return in_context([&] {
    return driver().launch(function, {n(gx), n(gy), n(gz)}, {n(bx), n(by), n(bz)}, shared, stream,
                           arguments_of(list, extra));
  });
}

API cuMemAlloc_v2(Address* data, size_t bytes) {
  return in_context([&] {
    void* at = nullptr;
    const Result r = driver().allocate(&at, bytes, Arena::Kind::kDevice);
    *data = reinterpret_cast<Address>(at);
    return r;
  });
}
API cuMemFree_v2(Address data) {
  return in_context([&] { return driver().release(pointer(data), Arena::Kind::kDevice); });
}
API cuMemAllocAsync(Address* data, size_t bytes, Handle stream) {
  return in_context([&] {
    void* at = nullptr;
    const Result r = driver().allocate_ordered(&at, bytes, stream);
    *data = reinterpret_cast<Address>(at);
    return r;
  });
}
API cuMemFreeAsync(Address data, Handle stream) {
  return in_context([&] { return driver().release_ordered(pointer(data), stream); });
}
API cuMemPoolCreate(Handle* pool, const void*) {
  *pool = &context;
  return 0;
}
API cuMemPoolSetAttribute(Handle, int, void*) { return 0; }
API cuMemPoolDestroy(Handle) { return 0; }
API cuMemAllocFromPoolAsync(Address* data, size_t bytes, Handle, Handle stream) {
  return cuMemAllocAsync(data, bytes, stream);
}
API cuMemHostAlloc(void** data, size_t bytes, unsigned) {
  return in_context([&] { return driver().allocate(data, bytes, Arena::Kind::kPinned); });
}
API cuMemFreeHost(void* data) {
  return in_context([&] { return driver().release(data, Arena::Kind::kPinned); });
}
API cuPointerGetAttribute(void* value, int which, Address address) {
  constexpr int kContext = 1, kMemoryType = 2, kOrdinal = 9, kHost = 1, kDevice = 2;
  const bool pinned = driver().arena().has(pointer(address), Arena::Kind::kPinned);
  if (!pinned && !driver().arena().has(pointer(address), Arena::Kind::kDevice))
    return code(fail(Result::kInvalidValue, driver().arena().describe(address)));
  switch (which) {
    case kContext: *static_cast<Handle*>(value) = &context; return 0;
    case kMemoryType: *static_cast<int*>(value) = pinned ? kHost : kDevice; return 0;
    case kOrdinal: *static_cast<int*>(value) = 0; return 0;
  }
  return code(fail(Result::kInvalidValue, "pointer attribute " + std::to_string(which)));
}

API cuMemcpyAsync(Address to, Address from, size_t bytes, Handle stream) {
  return in_context([&] { return driver().copy(pointer(to), pointer(from), bytes, stream); });
}
API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, Handle stream) {
  return in_context([&] { return driver().copy(pointer(to), from, bytes, stream); });
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, Handle stream) {
  return in_context([&] { return driver().copy(to, pointer(from), bytes, stream); });
}
API cuMemcpy(Address to, Address from, size_t bytes) {
  return in_context([&] { return driver().copy_now(pointer(to), pointer(from), bytes); });
}
API cuMemsetD8Async(Address data, unsigned char byte, size_t bytes, Handle stream) {
  return in_context([&] { return driver().fill(pointer(data), byte, bytes, stream); });
}

API cuStreamCreate(Handle* stream, unsigned) {
  return in_context([&] { return *stream = streams().create(), Result::kSuccess; });
}
API cuStreamCreateWithPriority(Handle* stream, unsigned flags, int) {
  return cuStreamCreate(stream, flags);
}
API cuStreamDestroy_v2(Handle stream) {
  return in_context([&] { return streams().destroy(stream); });
}
API cuStreamSynchronize(Handle stream) {
  return in_context([&] { return streams().synchronize(stream); });
}
API cuStreamQuery(Handle stream) { return cuStreamSynchronize(stream); }
API cuStreamWaitEvent(Handle stream, Handle event, unsigned) {
  return in_context([&] { return streams().wait(stream, *static_cast<Event*>(event)); });
}

API cuEventCreate(Handle* event, unsigned) {
  return in_context([&] { return *event = new Event, Result::kSuccess; });
}
API cuEventDestroy_v2(Handle event) {
  delete static_cast<Event*>(event);
  return 0;
}
API cuEventRecord(Handle event, Handle stream) {
  return in_context([&] { return streams().record(*static_cast<Event*>(event), stream); });
}
API cuEventSynchronize(Handle event) {
  return in_context([&] { return streams().synchronize(*static_cast<Event*>(event)); });
}
API cuEventQuery(Handle event) { return cuEventSynchronize(event); }
// Work takes no time here that would mean anything.
API cuEventElapsedTime(float* milliseconds, Handle, Handle) {
  *milliseconds = 0.001f;
  return 0;
}

// A graph and its executable are the same here: a shared_ptr<Graph> each.
API cuThreadExchangeStreamCaptureMode(int* mode) {
  *mode = static_cast<int>(streams().exchange_mode(static_cast<CaptureMode>(*mode)));
  return 0;
}
API cuStreamBeginCapture_v2(Handle stream, int mode) {
  return in_context(
      [&] { return streams().begin_capture(stream, static_cast<CaptureMode>(mode)); });
}
API cuStreamIsCapturing(Handle stream, int* status) {
  return in_context([&] { return *status = streams().capturing(stream), Result::kSuccess; });
}
API cuStreamEndCapture(Handle stream, Handle* graph) {
  return in_context([&] { return end_capture(streams(), stream, graph); });
}
API cuGraphInstantiateWithFlags(Handle* executable, Handle graph, unsigned long long) {
  *executable = copy_of_graph(graph);
  return 0;
}
API cuGraphLaunch(Handle executable, Handle stream) {
  return in_context([&] { return launch_graph(streams(), executable, stream); });
}
API cuGraphDestroy(Handle graph) { return destroy_graph(graph); }
API cuGraphExecDestroy(Handle executable) { return destroy_graph(executable); }
