#pragma once
#include <mutex>

#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/library.h"

// What CUDA's driver and HIP have alike. driver_table.cc answers by it for most of driver.h; the
// vendor's driver.cc binds it and answers for the rest.
namespace attend::gpu::driver {

using Handle = void*;  // the vendor's context, module, function, stream, event or pool

// Calls with the same arguments, by neutral names. CUDA's device addresses are integers as wide as
// pointers, and passed like them.
struct Table {
  Function<Code(unsigned)> init;
  Function<Code(int*)> device_count;
  Function<Code(int*, int, int)> attribute;
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
  Function<Code(Handle)> synchronize;
  Function<Code(Handle*, unsigned)> make_event;
  Function<Code(Handle, Handle)> record;
  Function<Code(Handle)> wait_for;
  Function<Code(int*)> exchange_capture_mode;
};
extern Table table;

// What is made for a device when it is first used.
struct Opened {
  std::once_flag once;
  Code code = 0;
  Handle context = nullptr;  // CUDA's primary one, which the CUDA runtime and torch use, too
  bool ordered = true;       // whether the driver allocates in stream order
  Handle pool = nullptr;     // null: its own pool serves
};
// With HIP, the device is current.
Opened& opened(int device);

// Initialises the library that has been bound. `none` says what it means that there is no device.
Status start(const char* call, const char* none);

// The vendor's, and constant: how a list of what a launch passes ends; what of Opened is not alike.
extern void* const kEndOfArguments;
void open_device(int device, Opened* opened);

// Current calls it: the device is current on this thread.
void set_current(int device);

}  // namespace attend::gpu::driver
