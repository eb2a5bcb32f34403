// Rows to 8-bit codes, written once for the instruction sets that have FMA. Included by rows-inl.h.
//
//   quotient  |x| / by by way of 1 / by: a product and one correction are within a unit of the
//             last place, and the rest x - q * by, which FMA gives exactly, tells the side. Where
//             there is a rest q is cut off and its last bit set: of 24 bits so made, those of a code
//             are rounded as if from the quotient itself.
//   code      by integers and one sum, as in ops/common/element.h; the sign goes apart
//   cost      about 30 instructions a vector, where the division of doubles alone takes as long
#pragma once

namespace attend::native::ATTEND_ISA {

// The divisor of a row, and what is more than any code holds.
struct Divisor {
  VF by, inverse;
  VI most;

  explicit Divisor(float value) : by(splat(value)), inverse(1.0f / by), most(bits(by * 0x1p17f)) {}
};

// The bits of size / by, rounded to odd; size: the bits of a number without its sign.
inline VI quotient(VI size, const Divisor& d) {
  // No infinity comes in, and none comes out.
  const VF x = from_bits(size < d.most ? size : d.most), first = x * d.inverse;
  const VF q = fused(fused(-first, d.by, x), d.inverse, first);
  const VF rest = fused(-q, d.by, x);
  const VI cut = rest < 0.0f ? bits(q) - 1 : bits(q);
  return rest != 0.0f ? cut | 1 : cut;
}

// Parameters as those of encode_f8 in ops/common/element.h.
template <int mantissa, int bias, int largest>
inline VI f8_size(VI u) {
  constexpr int kDrop = 23 - mantissa;
  constexpr float kSteps = static_cast<float>(1 << (24 - bias - mantissa));
  const VI subnormal = bits(from_bits(u) + kSteps) & 0xff;
  const VI rounded = u + ((1 << (kDrop - 1)) - 1) + ((u >> kDrop) & 1);
  const VI code = (rounded >> kDrop) - ((127 - bias) << mantissa);
  const VI normal = code > largest ? VI{} + largest : code;
  return u < (128 - bias) << 23 ? subnormal : normal;
}

template <Elem code>
inline VI code_of(VF x, const Divisor& d) {
  constexpr int32_t kSign = static_cast<int32_t>(0x80000000);
  const VI u = quotient(bits(x) & ~kSign, d);
  if constexpr (code == Elem::kI8) {
    VF q = from_bits(u | (bits(x) & kSign));
    q = q > -128.0f ? q : splat(-128.0f);
    q = q < 127.0f ? q : splat(127.0f);
    return x == x ? bits(q + 0x1.8p23f) : VI{};  // the sum leaves an integer in its last bits
  } else {
    const VI size = code == Elem::kF8E4M3 ? f8_size<3, 7, 0x7e>(u) : f8_size<2, 15, 0x7b>(u);
    return (x == x ? size : VI{} + 0x7f) | ((bits(x) >> 24) & 0x80);
  }
}

template <Elem code, Elem elem>
void quantise_elems(const void* from, int64_t n, float by, uint8_t* to) {
  const Divisor divisor(by);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto* at = static_cast<const char*>(from) + i * elem_bytes(elem);
    store_u8(to + i, code_of<code>(load_elem(at, elem), divisor));
  }
  if (i == n) return;
  const auto rest = static_cast<int>(n - i);
  uint8_t codes[kLanes];
  store_u8(codes, code_of<code>(load_some(from, i, 1, rest, elem), divisor));
  __builtin_memcpy(to + i, codes, static_cast<std::size_t>(rest));
}

template <Elem code>
void quantise_to(const void* from, Elem elem, int64_t n, float by, uint8_t* to) {
  with_row_elem(elem, [&]<Elem as>() { quantise_elems<code, as>(from, n, by, to); });
}

inline void quantise(const void* from, Elem elem, int64_t n, float by, uint8_t* to, Elem code) {
  if (code == Elem::kF8E4M3) return quantise_to<Elem::kF8E4M3>(from, elem, n, by, to);
  if (code == Elem::kF8E5M2) return quantise_to<Elem::kF8E5M2>(from, elem, n, by, to);
  quantise_to<Elem::kI8>(from, elem, n, by, to);
}

}  // namespace attend::native::ATTEND_ISA
