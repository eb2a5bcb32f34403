#include "backends/gpu/body/check.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(check_gates, attend::gpu::CheckGates)
