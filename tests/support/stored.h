#pragma once
#include <string>

#include "attend/attention_params.h"

namespace attend::testing {

// What paged and append leave in the pages: the first slot of slot_mapping that does not hold its
// row of k_new and v_new, in words; empty if all do. The same dtype has the same bits; others are
// divided by the descale and rounded to nearest even, f8 and i8 saturating. Where the quotient in
// f32 and the exact one round apart, both are right.
std::string wrong_slot(const AttentionArgs& args);

}  // namespace attend::testing
