#pragma once
#include <cstdint>

#include "attend/kernel.h"

namespace attend::gpu {

// Enqueues the storing of the rows k_new and v_new whose slot is not negative into the pages k and
// v; of a call with q those that stand beside rows of q in use. Where v is a view of k's elements,
// and v_new of k_new's, k alone is written. Without slot_mapping nothing happens.
//   skip     of IndexCheck, or null
Status store_new_rows(const AttentionArgs& args, const ExecContext& context, const uint8_t* skip);

}  // namespace attend::gpu
