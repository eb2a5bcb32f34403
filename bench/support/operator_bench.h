#pragma once
#include "attend/kernel.h"

namespace attend::bench {

// Registers every available row of an operator on native x every bench case that it takes x 1 and
// all threads, as "flash/native/avx2/prefill512_..._f32_causal/threads:1". A call is judged against
// the float64 oracle before it is timed; one that is wrong fails in place of printing a time.
void register_operator(OpId op);

}  // namespace attend::bench
