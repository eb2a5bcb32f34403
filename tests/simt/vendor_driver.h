#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "backends/gpu/call/kernel.h"

// A driver as a program sees it that opens its library, by one set of names for both vendors.
namespace attend::simt {

class VendorDriver {
 public:
  // The stand-in for the vendor's driver.
  explicit VendorDriver(const std::string& vendor);
  // The driver that the vendor's plugin opens here: the machine's own, or the stand-in where
  // ATTEND_SIMT=1 says so.
  static VendorDriver of_plugin(const std::string& vendor);

  int launch(const char* kernel, gpu::Index3 grid, int threads, unsigned shared_bytes,
             const void* args, size_t arg_bytes, void* stream = nullptr);
  int allow_shared(const char* kernel, int bytes);
  int find(const char* kernel, void** function);

  int allocate(void** data, size_t bytes);
  int release(void* data);
  int allocate_ordered(void** data, size_t bytes, void* stream);
  int release_ordered(void* data, void* stream);
  int allocate_pinned(void** data, size_t bytes);
  int release_pinned(void* data);
  int copy(void* to, const void* from, size_t bytes, void* stream);
  int copy_now(void* to, const void* from, size_t bytes);
  int fill(void* data, int byte, size_t bytes, void* stream);

  int make_stream(void** stream);
  int destroy_stream(void* stream);
  int synchronize(void* stream);
  int make_event(void** event);
  int destroy_event(void* event);
  int record(void* event, void* stream);
  int wait(void* stream, void* event);

  int begin_capture(void* stream);
  int end_capture(void* stream, void** graph);
  int instantiate(void** executable, void* graph);
  int replay(void* executable, void* stream);
  int destroy_graph(void* graph, void* executable);
  int exchange_capture_mode(int* mode);

  int attribute(int* value, int of_cuda, int of_rocm);
  std::string name();
  std::string text_of(int error);

 private:
  VendorDriver(const std::string& vendor, std::initializer_list<std::string> files);
  template <class... A>
  int call(const char* of_cuda, const char* of_rocm, A... arguments);

  bool cuda_;
  void* library_ = nullptr;
  void* module_ = nullptr;  // of all kernels, which only a stand-in has
};

}  // namespace attend::simt
