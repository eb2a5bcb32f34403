#include "backends/gpu/body/fold.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(fold, attend::gpu::Fold)
