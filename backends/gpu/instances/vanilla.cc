#include "backends/gpu/body/vanilla.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(vanilla, attend::gpu::Vanilla)
