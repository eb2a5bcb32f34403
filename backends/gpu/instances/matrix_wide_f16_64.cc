#include "backends/gpu/body/matrix_tiles.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(matrix_wide_f16_64, attend::gpu::MatrixTiles<attend::gpu::Half, 64, true>)
