#include "backends/gpu/body/tiles.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(tiles, attend::gpu::Tiles)
