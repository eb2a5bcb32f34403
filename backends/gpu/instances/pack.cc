#include "backends/gpu/body/pack.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(pack, attend::gpu::Pack)
