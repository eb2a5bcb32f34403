#include "backends/gpu/host/images.h"

#if defined(ATTEND_GPU_IMAGES)

#define ATTEND_GPU_IMAGE(stem, arch, path)                \
  asm(".pushsection .rodata\n"                            \
      ".balign 64\n"                                      \
      ".hidden attend_image_" #stem "_" #arch             \
      "\n"                                                \
      ".global attend_image_" #stem "_" #arch             \
      "\n"                                                \
      "attend_image_" #stem "_" #arch ": .incbin \"" path \
      "\"\n.byte 0\n"                                     \
      ".popsection\n");                                   \
  extern "C" __attribute__((visibility("hidden"))) const char attend_image_##stem##_##arch[];
#include ATTEND_GPU_IMAGES
#undef ATTEND_GPU_IMAGE

namespace attend::gpu {
std::span<const Image> images() {
#define ATTEND_GPU_IMAGE(stem, arch, path) {"attend_" #stem, #arch, attend_image_##stem##_##arch},
  static const Image list[] = {
#include ATTEND_GPU_IMAGES
  };
#undef ATTEND_GPU_IMAGE
  return list;
}
}  // namespace attend::gpu

#else

namespace attend::gpu {
std::span<const Image> images() { return {}; }
}  // namespace attend::gpu

#endif
