#include "backends/gpu/body/gdn_rule.h"
#include "backends/gpu/device/kernel.h"

ATTEND_GPU_KERNEL(gdn_rule_128, attend::gpu::GdnRule<attend::gpu::kGdnNarrow>)
