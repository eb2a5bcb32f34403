#pragma once
#include "attend/kernel.h"

namespace attend::native {

// Stores the rows k_new and v_new whose slot is not negative in the pages k and v; of a call with q
// those that stand beside rows of q in use. Where v is a view of k's elements, and v_new of k_new's,
// k alone is written. Arguments have passed the operator's checks; without slot_mapping nothing
// happens.
void store_new_rows(const AttentionArgs& a, const ExecContext& context);

}  // namespace attend::native
