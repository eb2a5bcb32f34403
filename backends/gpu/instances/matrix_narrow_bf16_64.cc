#include "backends/gpu/body/matrix_tiles.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(matrix_narrow_bf16_64, attend::gpu::MatrixTiles<attend::gpu::Bfloat, 64, false>)
