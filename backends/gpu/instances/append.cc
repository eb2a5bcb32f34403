#include "backends/gpu/body/append.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(append, attend::gpu::Append)
