#include "backends/gpu/body/matrix_tiles.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(matrix_narrow_f16_256, attend::gpu::MatrixTiles<attend::gpu::Half, 256, false>)
