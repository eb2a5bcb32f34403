#include "backends/gpu/body/plan.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(plan, attend::gpu::Plan)
