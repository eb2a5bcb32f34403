#pragma once
#include "backends/gpu/call/tiles.h"

namespace attend::gpu {

// Fills TilesCall::plan, one block a tile.
inline constexpr Kernel kPlan{"attend_plan", 64};
inline constexpr uint32_t kPlanSharedBytes = 1024;

}  // namespace attend::gpu
