#include "attend/operator.h"
#include "ops/gdn/checks.h"
#include "ops/merge/tensors.h"

namespace attend {

GdnParams GatedDeltaNet::checked(const GdnArgs& a, const GdnParams& p, Device device) const {
  check_gdn_words(a, p);
  GivenTensors given;
  for_each_tensor(a, p, given);
  check_tensors("gdn", device, given);
  check_gdn_shapes(a, p);
  if (device.type == DeviceType::kNative) check_gdn_contents(a, p);
  GdnArgs apart = a;
  if (same_view(a.state, a.final_state)) apart.final_state = {};  // in place, said twice
  GivenTensors own;
  for_each_tensor(apart, p, own);
  check_overlap("gdn", own);
  GdnParams resolved = p;
  if (!p.softmax_scale)
    resolved.softmax_scale = 1.0f / __builtin_sqrtf(static_cast<float>(gdn_shape(a, p).k_dim));
  return resolved;
}

}  // namespace attend
