#pragma once
#include <cstdint>

// What host code knows of a kernel: the headers of backends/gpu/call hold, for each body, its
// arguments, its tile sizes and its instances, and compile on the host and on every device.
namespace attend::gpu {

struct Index3 {
  int x, y, z;
};

struct Kernel {
  const char* name;  // the symbol: attend_<file stem of the instance>
  int threads;       // of a block
};

}  // namespace attend::gpu
