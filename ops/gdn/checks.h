#pragma once
#include <cstdio>
#include <string>

#include "ops/checks.h"
#include "ops/gdn/shape.h"

namespace attend {

// Every tensor of a call: f(argument name, view, role). Absent ones included.
template <class F>
void for_each_tensor(const GdnArgs& a, const GdnParams&, F&& f) {
  f("q", a.q, Role::kInput);
  f("k", a.k, Role::kInput);
  f("v", a.v, Role::kInput);
  f("out", a.out, Role::kOutput);
  f("g", a.g, Role::kInput);
  f("alpha", a.alpha, Role::kInput);
  f("beta", a.beta, Role::kInput);
  f("state", a.state, a.final_state ? Role::kInput : Role::kOutput);
  f("final_state", a.final_state, Role::kOutput);
  f("state_indices", a.state_indices, Role::kInput);
  f("cu_seqlens", a.cu_seqlens, Role::kInput);
  f("mixed_qkv", a.mixed_qkv, Role::kInput);
  f("conv_weight", a.conv_weight, Role::kInput);
  f("conv_bias", a.conv_bias, Role::kInput);
  f("conv_state", a.conv_state, Role::kOutput);
  f("a", a.a, Role::kInput);
  f("b", a.b, Role::kInput);
  f("a_log", a.a_log, Role::kInput);
  f("dt_bias", a.dt_bias, Role::kInput);
  f("z", a.z, Role::kInput);
  f("norm_weight", a.norm_weight, Role::kInput);
}

// Parts of GatedDeltaNet::checked; each throws attend::Error.
void check_gdn_words(const GdnArgs&, const GdnParams&);
void check_gdn_shapes(const GdnArgs&, const GdnParams&);
void check_gdn_contents(const GdnArgs&, const GdnParams&);  // native only

inline std::string gdn_text(float x) {
  char words[32];
  std::snprintf(words, sizeof words, "%g", static_cast<double>(x));
  return words;
}

}  // namespace attend
