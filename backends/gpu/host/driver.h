#pragma once
#include <cstdint>

#include "backends/gpu/host/runtime.h"

// The driver of a plugin's devices, in neutral words: backends/cuda/driver.cc answers by CUDA's
// driver API, backends/rocm/driver.cc by HIP. Opened at run time, so that a plugin loads on a
// machine that has none. Every function but open() wants open() to have been kOk once.
namespace attend::gpu::driver {

using Code = int;  // the vendor's result; 0 is success

// How memory pools are described; both vendors lay it out alike.
struct PoolProperties {
  int allocation_type = 1;  // "pinned", as device memory is called there
  int handle_types = 0;
  int location_type = 1;  // a device
  int location_id = 0;
  void* security = nullptr;
  uint64_t max_bytes = 0;
  unsigned char reserved[56] = {};
};
// What a pool keeps when a stream is synchronised, so that the next call's scratch costs no system
// call: as much as the largest split-key scratch that calls ask for.
inline constexpr uint64_t kPoolKeepsBytes = uint64_t{256} << 20;

// Opens the vendor's library, or in a test build with ATTEND_SIMT=1 the stand-in for it.
//   errors   kBackendUnavailable in words
Status open();
// Whether that was the stand-in, which executes kernels on the host.
bool is_stand_in();

const char* error_text(Code code);  // static

Code count_devices(int* count);
// Name, architecture, multiprocessors, warp, shared memory.
Code describe(int device, DeviceInfo* info);

// Makes a device current on this thread while it lives.
class Current {
 public:
  explicit Current(int device);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  Code code() const { return code_; }

 private:
  Code code_ = 0;
  int restore_ = -1;  // what the vendor's file needs to undo it; -1 = nothing to undo
};

// The functions below act on the device that is current.
Code load_module(void** module, const void* image);
Code find_function(void** function, void* module, const char* name);
// Lets blocks of a kernel have this much shared memory, where that must be asked for.
Code allow_shared(void* function, uint32_t bytes);
Code launch(void* function, Index3 grid, int threads, uint32_t shared_bytes, void* stream,
            const void* args, uint32_t arg_bytes);

Code allocate(void** data, uint64_t bytes);
Code release(void* data);
// In stream order, from a pool of the plugin's own where the driver has pools.
Code allocate_ordered(void** data, uint64_t bytes, void* stream);
Code release_ordered(void* data, void* stream);
Code allocate_pinned(void** data, uint64_t bytes);
Code release_pinned(void* data);

// Any two addresses, of devices or native memory.
Code copy(void* to, const void* from, uint64_t bytes, void* stream);
// The same, done when it returns, whatever other streams do.
Code copy_now(void* to, const void* from, uint64_t bytes);
Code fill(void* data, uint8_t byte, uint64_t bytes, void* stream);
Code synchronize(void* stream);

// Marks of how far a stream has come. wait_for() lets the calling thread sleep until it has come so
// far; a mark that was never made is there at once.
Code make_event(void** event);
Code record(void* event, void* stream);
Code wait_for(void* event);

// Allows what a stream capture elsewhere in the process would forbid (loading a module), while it
// lives.
class Uncaptured {
 public:
  Uncaptured();
  ~Uncaptured();
  Uncaptured(const Uncaptured&) = delete;
  Uncaptured& operator=(const Uncaptured&) = delete;

 private:
  int mode_;
};

}  // namespace attend::gpu::driver
