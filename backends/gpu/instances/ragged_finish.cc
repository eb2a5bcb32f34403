#include "backends/gpu/body/ragged.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(ragged_finish, attend::gpu::RaggedFinish)
