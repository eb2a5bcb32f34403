// How two vectors trade places, the step that transposing and summing across lanes are made of.
// Included by the vector vocabularies, which may say it better for one distance.
#pragma once
#include <cstdint>

namespace attend::native::ATTEND_ISA {

// Blocks of s lanes: the odd ones of a for the even ones of b.
template <int s>
inline void exchange(VF& a, VF& b) {
  VI low{}, high{};
  for (int l = 0; l < kLanes; ++l) {
    low[l] = (l & s) == 0 ? l : kLanes + l - s;
    high[l] = (l & s) == 0 ? l + s : kLanes + l;
  }
  const VF first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
}

}  // namespace attend::native::ATTEND_ISA
