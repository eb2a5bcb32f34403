#include "backends/gpu/body/gdn_norm.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(gdn_norm, attend::gpu::GdnNorm)
