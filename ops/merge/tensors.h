#pragma once
#include "ops/checks.h"

namespace attend {

// The same elements of the same memory under two names.
inline bool same_view(const TensorView& a, const TensorView& b) {
  if (a.data != b.data || a.dtype != b.dtype || a.rank != b.rank || a.device != b.device)
    return false;
  for (int i = 0; i < a.rank; ++i)
    if (a.dim(i) != b.dim(i) || (a.dim(i) > 1 && a.step(i) != b.step(i))) return false;
  return true;
}

// Every tensor of a merge: f(argument name, view, role). Absent ones included.
template <class F>
void for_each_tensor(const MergeArgs& a, const MergeParams&, F&& f) {
  f("out_a", a.out_a, Role::kInput);
  f("lse_a", a.lse_a, Role::kInput);
  f("out_b", a.out_b, Role::kInput);
  f("lse_b", a.lse_b, Role::kInput);
  f("out", a.out, Role::kOutput);
  f("lse", a.lse, Role::kOutput);
}

}  // namespace attend
