#include "tests/simt/vendor_driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>

namespace attend::simt {

// CUDA's addresses are integers and HIP's are pointers, which a function takes alike.
template <class... A>
int VendorDriver::call(const char* of_cuda, const char* of_rocm, A... arguments) {
  const char* const name = cuda_ ? of_cuda : of_rocm;
  void* const function = dlsym(library_, name);
  if (!function) throw std::runtime_error(std::string("no ") + name);
  return reinterpret_cast<int (*)(A...)>(function)(arguments...);
}

VendorDriver::VendorDriver(const std::string& vendor)
    : VendorDriver(vendor, {ATTEND_SIMT_DRIVERS "/libstand_in_" + vendor + ".so"}) {}

VendorDriver VendorDriver::of_plugin(const std::string& vendor) {
  const char* const wanted = std::getenv("ATTEND_SIMT");
  if (wanted != nullptr && std::string(wanted) == "1") return VendorDriver(vendor);
  if (vendor == "cuda") return {vendor, {"libcuda.so.1"}};
  return {vendor, {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"}};
}

VendorDriver::VendorDriver(const std::string& vendor, std::initializer_list<std::string> files)
    : cuda_(vendor == "cuda") {
  for (const std::string& file : files)
    if (!library_) library_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library_) throw std::runtime_error(dlerror());
  void* context = nullptr;
  int code = call("cuInit", "hipInit", 0u);
  if (code == 0 && cuda_) code = call("cuDevicePrimaryCtxRetain", nullptr, &context, 0);
  if (code == 0 && cuda_) code = call("cuCtxSetCurrent", nullptr, context);
  if (code != 0) throw std::runtime_error(text_of(code));
}

int VendorDriver::find(const char* kernel, void** function) {
  const void* const no_image = nullptr;
  if (!module_)
    if (const int code = call("cuModuleLoadData", "hipModuleLoadData", &module_, no_image))
      return code;
  return call("cuModuleGetFunction", "hipModuleGetFunction", function, module_, kernel);
}

int VendorDriver::allow_shared(const char* kernel, int bytes) {
  void* function = nullptr;
  if (const int code = find(kernel, &function)) return code;
  return cuda_ ? call("cuFuncSetAttribute", nullptr, function, 8, bytes) : 0;
}

int VendorDriver::launch(const char* kernel, gpu::Index3 grid, int threads, unsigned shared_bytes,
                         const void* args, size_t arg_bytes, void* stream) {
  void* function = nullptr;
  if (const int code = find(kernel, &function)) return code;
  const auto word = [](uintptr_t n) { return reinterpret_cast<void*>(n); };
  void* extra[] = {word(1), const_cast<void*>(args), word(2), &arg_bytes, word(cuda_ ? 0 : 3)};
  const auto n = [](int value) { return static_cast<unsigned>(value); };
  return call("cuLaunchKernel", "hipModuleLaunchKernel", function, n(grid.x), n(grid.y), n(grid.z),
              n(threads), 1u, 1u, shared_bytes, stream, static_cast<void**>(nullptr),
              static_cast<void**>(extra));
}

int VendorDriver::allocate(void** data, size_t bytes) {
  return call("cuMemAlloc_v2", "hipMalloc", data, bytes);
}
int VendorDriver::release(void* data) { return call("cuMemFree_v2", "hipFree", data); }
int VendorDriver::allocate_ordered(void** data, size_t bytes, void* stream) {
  return call("cuMemAllocAsync", "hipMallocAsync", data, bytes, stream);
}
int VendorDriver::release_ordered(void* data, void* stream) {
  return call("cuMemFreeAsync", "hipFreeAsync", data, stream);
}
int VendorDriver::allocate_pinned(void** data, size_t bytes) {
  return call("cuMemHostAlloc", "hipHostMalloc", data, bytes, 1u);
}
int VendorDriver::release_pinned(void* data) { return call("cuMemFreeHost", "hipHostFree", data); }
int VendorDriver::copy(void* to, const void* from, size_t bytes, void* stream) {
  return cuda_ ? call("cuMemcpyAsync", nullptr, to, from, bytes, stream)
               : call(nullptr, "hipMemcpyAsync", to, from, bytes, 4, stream);
}
int VendorDriver::copy_now(void* to, const void* from, size_t bytes) {
  return cuda_ ? call("cuMemcpy", nullptr, to, from, bytes)
               : call(nullptr, "hipMemcpy", to, from, bytes, 4);
}
int VendorDriver::fill(void* data, int byte, size_t bytes, void* stream) {
  return call("cuMemsetD8Async", "hipMemsetAsync", data, byte, bytes, stream);
}

int VendorDriver::make_stream(void** stream) {
  return call("cuStreamCreate", "hipStreamCreateWithFlags", stream, 1u);
}
int VendorDriver::destroy_stream(void* stream) {
  return call("cuStreamDestroy_v2", "hipStreamDestroy", stream);
}
int VendorDriver::synchronize(void* stream) {
  return call("cuStreamSynchronize", "hipStreamSynchronize", stream);
}
int VendorDriver::make_event(void** event) {
  return call("cuEventCreate", "hipEventCreateWithFlags", event, 0u);
}
int VendorDriver::destroy_event(void* event) {
  return call("cuEventDestroy_v2", "hipEventDestroy", event);
}
int VendorDriver::record(void* event, void* stream) {
  return call("cuEventRecord", "hipEventRecord", event, stream);
}
int VendorDriver::wait(void* stream, void* event) {
  return call("cuStreamWaitEvent", "hipStreamWaitEvent", stream, event, 0u);
}

int VendorDriver::begin_capture(void* stream) {
  return call("cuStreamBeginCapture_v2", "hipStreamBeginCapture", stream, 0);
}
int VendorDriver::end_capture(void* stream, void** graph) {
  return call("cuStreamEndCapture", "hipStreamEndCapture", stream, graph);
}
int VendorDriver::instantiate(void** executable, void* graph) {
  void* const none = nullptr;
  return cuda_ ? call("cuGraphInstantiateWithFlags", nullptr, executable, graph, 0ull)
               : call(nullptr, "hipGraphInstantiate", executable, graph, none, none, size_t{0});
}
int VendorDriver::replay(void* executable, void* stream) {
  return call("cuGraphLaunch", "hipGraphLaunch", executable, stream);
}
int VendorDriver::destroy_graph(void* graph, void* executable) {
  const int code = call("cuGraphDestroy", "hipGraphDestroy", graph);
  return code ? code : call("cuGraphExecDestroy", "hipGraphExecDestroy", executable);
}
int VendorDriver::exchange_capture_mode(int* mode) {
  return call("cuThreadExchangeStreamCaptureMode", "hipThreadExchangeStreamCaptureMode", mode);
}

int VendorDriver::attribute(int* value, int of_cuda, int of_rocm) {
  return call("cuDeviceGetAttribute", "hipDeviceGetAttribute", value, cuda_ ? of_cuda : of_rocm, 0);
}

std::string VendorDriver::name() {
  char text[2048] = {};
  const int code = cuda_
                       ? call("cuDeviceGetName", nullptr, static_cast<char*>(text), 256, 0)
                       : call(nullptr, "hipGetDevicePropertiesR0600", static_cast<char*>(text), 0);
  return code ? text_of(code) : text;
}

std::string VendorDriver::text_of(int error) {
  if (cuda_) {
    const char* text = nullptr;
    call("cuGetErrorString", nullptr, error, &text);
    return text;
  }
  return reinterpret_cast<const char* (*)(int)>(dlsym(library_, "hipGetErrorString"))(error);
}

}  // namespace attend::simt
