#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "tests/simt/driver/arena.h"
#include "tests/simt/driver/engine.h"
#include "tests/simt/driver/model.h"
#include "tests/simt/driver/result.h"
#include "tests/simt/driver/stream.h"

// A stand-in driver: what CUDA's and HIP's have in common, in one device of host memory. The
// vendors' own names are in cuda_api.cc and hip_api.cc.
//
//   ATTEND_SIMT_DEVICE    the architecture that the device says it has (model.cc)
//   ATTEND_SIMT_ENGINE    source, or the architecture whose code an interpreter runs
//   ATTEND_SIMT_ORDER     the order of threads: forward, backward, shuffled:<seed> (engine source)
//   ATTEND_SIMT_STREAMS   early, late: when the work of streams is done (stream.h)
//   ATTEND_SIMT_KERNELS   the folder of the kernels, by default the driver's own
namespace attend::simt {

extern const char* const kVendor;  // "cuda" or "rocm", by the vendor's file

// A kernel that was looked up, and the shared memory that its blocks have been allowed.
struct Function {
  explicit Function(const KernelEntry* of) : kernel(of) {}
  const KernelEntry* kernel;
  std::atomic<uint32_t> allowed = 0;
};

class Driver {
 public:
  static Driver& get();

  Result init();  // kSuccess, or why there is no device
  const DeviceModel& model() const { return *model_; }
  Arena& arena() { return arena_; }
  Streams& streams() { return streams_; }

  // An image may be null; one that is given must be for the device.
  Result load_module(void** module, const void* image);
  Result find_function(void** function, const void* module, const char* name);
  Result allow_shared(void* function, int bytes);
  // The arguments as a buffer, or else as a list of one pointer.
  struct Arguments {
    const void* buffer = nullptr;
    size_t bytes = 0;
    void** list = nullptr;
  };
  Result launch(void* function, gpu::Index3 grid, gpu::Index3 block, uint32_t shared_bytes,
                void* stream, const Arguments& arguments);

  Result allocate(void** data, size_t bytes, Arena::Kind kind);
  Result release(void* data, Arena::Kind kind);
  Result allocate_ordered(void** data, size_t bytes, void* stream);
  Result release_ordered(void* data, void* stream);
  Result copy(void* to, const void* from, size_t bytes, void* stream);
  Result copy_now(void* to, const void* from, size_t bytes);
  Result fill(void* data, unsigned char byte, size_t bytes, void* stream);

 private:
  Result run(const EngineLaunch& launch);
  Result move(void* to, const void* from, size_t bytes);
  bool is_host(const void* address);
  Result fill_unknown(void* data);  // with 0xff, as new memory

  std::once_flag once_;
  Result opened_ = Result::kSuccess;
  std::string why_;
  const DeviceModel* model_ = nullptr;
  const KernelLibrary* kernels_ = nullptr;
  Arena arena_;
  Streams streams_;
  std::unique_ptr<Engine> engine_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Function>> functions_;
};

}  // namespace attend::simt
