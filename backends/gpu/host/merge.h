#pragma once
#include "attend/kernel.h"

namespace attend::gpu {

// Enqueues the merge of two partial results: what merge's row does.
Status merge(const MergeArgs& m, const ExecContext& context);

}  // namespace attend::gpu
