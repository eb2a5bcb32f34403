#pragma once
#include <span>

// The device code that a plugin carries. The build writes gpu_images.inc, one line a kernel
// instance and architecture,
//   ATTEND_GPU_IMAGE(merge, gfx942, "<build>/gpu/merge.gfx942.co")
// and for CUDA one line an instance, which holds code for all architectures:
//   ATTEND_GPU_IMAGE(merge, any, "<build>/gpu/merge.fatbin")
// Without such a file the plugin carries nothing, and only a stand-in driver finds kernels by name.
namespace attend::gpu {

struct Image {
  const char* kernel;  // the symbol in it: "attend_merge"
  const char* arch;    // "gfx942", or "any"
  const void* data;    // as the driver takes it: a code object, or a fatbin
};
std::span<const Image> images();

}  // namespace attend::gpu
