// 2^x by a table of 16 powers, held in one vector: a lookup is one instruction, and what is left of x
// takes a polynomial of degree 3 in place of 6. Included by vec_avx512.h.
#pragma once
#include "backends/native/isa/math-inl.h"

namespace attend::native::ATTEND_ISA {

// 5 multiplications a vector, which compete with products for the multipliers, in place of 8;
// rough 3. Constants are members: beside a register tile's accumulators there is no register for
// them, but an instruction reads one from memory at no cost.
template <>
struct WeightExp<16> {
  static constexpr bool kBeside = true;
  // As exp2_nonpositive(), to 1.9 ulp and, rough, to 2.4e-4 of itself; below -126 f32 turns
  // subnormal and the result may be too small, from -127 on it is exactly 0.
  template <bool rough>
  [[gnu::always_inline]] VF of(VF x) const {
    x = vmax(splat(least_), x);  // in this order NaN comes through
    // x = n + i / 16 + r with |r| <= 1/32: the low bits of the sum are i, those above them n.
    const VF t = x + splat(magic_);
    VI powers;
    __builtin_memcpy(&powers, table_, sizeof powers);
    const VI looked_up = reinterpret_cast<VI>(_mm512_permutexvar_epi32(
        reinterpret_cast<__m512i>(bits(t)), reinterpret_cast<__m512i>(powers)));
    const VF power = from_bits(looked_up + (bits(t) << 19));
    const VF r = x - (t - splat(magic_));
    if constexpr (rough) return power * (r * splat(c1_)) + power;
    VF p = splat(c3_) * r + splat(c2_);
    p = p * r + splat(c1_);
    return power * (p * r) + power;
  }

 private:
  // Of 2^(i/16), less i itself, which bits(t) << 19 brings along.
  static constexpr int32_t less(uint32_t power, uint32_t i) {
    return static_cast<int32_t>(power - (i << 19));
  }
  alignas(64) int32_t table_[16] = {
      less(0x3f800000, 0),  less(0x3f85aac3, 1),  less(0x3f8b95c2, 2),  less(0x3f91c3d3, 3),
      less(0x3f9837f0, 4),  less(0x3f9ef532, 5),  less(0x3fa5fed7, 6),  less(0x3fad583f, 7),
      less(0x3fb504f3, 8),  less(0x3fbd08a4, 9),  less(0x3fc5672a, 10), less(0x3fce248c, 11),
      less(0x3fd744fd, 12), less(0x3fe0ccdf, 13), less(0x3feac0c7, 14), less(0x3ff5257d, 15)};
  float least_ = -127.0f, magic_ = 0x1.8p19f;
  float c3_ = 5.550410866e-2f, c2_ = 2.402265069e-1f, c1_ = 6.931471805e-1f;
};

}  // namespace attend::native::ATTEND_ISA
