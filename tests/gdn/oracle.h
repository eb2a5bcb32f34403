#pragma once
#include <cstdint>
#include <vector>

#include "attend/gdn_params.h"

// The layer of gdn_params.h in float64, token by token, as its formulas stand there.
namespace attend::testing {

// What the shapes of a layer's call do not always tell.
struct GdnSizes {
  int64_t k_heads = 1, v_heads = 1, k_dim = 1, v_dim = 1;
  int64_t heads() const { return k_heads > v_heads ? k_heads : v_heads; }
};

// Row-major values of what a call writes; NaN where it writes nothing.
struct GdnGold {
  std::vector<double> out;
  std::vector<double> state;  // of final_state, or of state if there is none
  std::vector<double> conv_state;
};

// Reads the tensors as they are before the call.
GdnGold gdn_gold(const GdnArgs& args, const GdnParams& params, const GdnSizes& sizes);

// sqrt(sum of (got - gold)^2 / sum of gold^2) over the elements that gold has, the rule of contract
// 8; of a gold of zeros the root of the sum of got^2; NaN if one of them is NaN.
double relative_rms(const TensorView& got, const std::vector<double>& gold);

}  // namespace attend::testing
