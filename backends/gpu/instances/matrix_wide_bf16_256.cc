#include "backends/gpu/body/matrix_tiles.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(matrix_wide_bf16_256, attend::gpu::MatrixTiles<attend::gpu::Bfloat, 256, true>)
