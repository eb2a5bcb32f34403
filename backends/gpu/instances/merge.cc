#include "backends/gpu/body/merge.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(merge, attend::gpu::Merge)
