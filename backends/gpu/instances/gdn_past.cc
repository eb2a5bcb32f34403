#include "backends/gpu/body/gdn_conv.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(gdn_past, attend::gpu::GdnPast)
