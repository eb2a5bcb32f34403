#include "backends/gpu/body/gdn_rule.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(gdn_rule_256, attend::gpu::GdnRule<attend::gpu::kGdnWide>)
