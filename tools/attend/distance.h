#pragma once
#include "attend/attention_params.h"
#include "tools/attend/call.h"

namespace attend::cli {

// Distance of an output from the expected tensor. NaN where only one of the two is a number.
double distance(const TensorView& out, const TensorView& expected);

// The largest element by size.
double largest(const TensorView& t);

// How far the oracle itself is from the expected tensor. From the inputs as they stand this is no
// more than the rounding of that tensor; after --dtype it is what rounding the inputs does, which no
// kernel can undo.
double oracle_distance(const Call& call, const AttentionParams& params);

}  // namespace attend::cli
