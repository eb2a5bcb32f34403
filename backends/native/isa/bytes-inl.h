// Narrow rows in bf16 over caches of bytes: f8 and i8 values are looked up as bf16, which holds all
// of them, and go through dot products of pairs. Needs AVX-512 VBMI beside BF16.
//
//   lookup      two tables of 128 entries, of the low bytes and of the high ones; a vector of 64
//               bytes costs an instruction each and one for the sign (i8: three each)
//   scores      bytes are unpacked to values lane by lane; q is brought to the same order instead
//   accumulate  two keys' values are unpacked to pairs; the accumulators' lanes are brought to the
//               order of dims at a block's end
//   cost        per key and head of 128 dims, 4 rows: 32 dot products, 40 lookups and unpackings
#pragma once

namespace attend::native::ATTEND_ISA {

// The bf16 of a byte's 7 low bits, and of i8 all 256.
constexpr uint16_t bf16_of_byte(Elem elem, int byte) {
  const auto of = [](float x) {
    return static_cast<uint16_t>(__builtin_bit_cast(uint32_t, x) >> 16);
  };
  if (elem == Elem::kI8) return of(static_cast<float>(byte < 128 ? byte : byte - 256));
  const int mantissa_bits = elem == Elem::kF8E4M3 ? 3 : 2, bias = elem == Elem::kF8E4M3 ? 7 : 15;
  const int exponent = byte >> mantissa_bits, mantissa = byte & ((1 << mantissa_bits) - 1);
  if (elem == Elem::kF8E4M3 && byte == 0x7f) return 0x7fc0;
  if (elem == Elem::kF8E5M2 && byte >= 0x7c) return mantissa == 0 ? 0x7f80 : 0x7fc0;
  float value = static_cast<float>(exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits));
  for (int e = (exponent == 0 ? 1 : exponent) - bias - mantissa_bits; e != 0; e += e < 0 ? 1 : -1)
    value *= e < 0 ? 0.5f : 2.0f;
  return of(value);
}

template <Elem elem>
struct ByteTable {
  alignas(64) uint8_t low[256]{}, high[256]{};

  constexpr ByteTable() {
    for (int byte = 0; byte < (elem == Elem::kI8 ? 256 : 128); ++byte) {
      low[byte] = static_cast<uint8_t>(bf16_of_byte(elem, byte));
      high[byte] = static_cast<uint8_t>(bf16_of_byte(elem, byte) >> 8);
    }
  }
};
template <Elem elem>
inline constexpr ByteTable<elem> kByteTable{};

// Two lanes of four floats of a, then the same of b. Not by the intrinsic: g++ 12 warns inside it.
template <int i, int j>
inline VF lanes(VF a, VF b) {
  constexpr int u = 4 * i, v = 4 * j;
  return __builtin_shufflevector(a, b, u, u + 1, u + 2, u + 3, v, v + 1, v + 2, v + 3, 16 + u,
                                 17 + u, 18 + u, 19 + u, 16 + v, 17 + v, 18 + v, 19 + v);
}

// 64 values, as the low and the high bytes of bf16.
struct Halves {
  __m512i low, high;
};

template <Elem elem>
inline Halves look_up(__m512i bytes) {
  const auto table = [](const uint8_t* p) { return _mm512_load_si512(p); };
  const ByteTable<elem>& t = kByteTable<elem>;
  __m512i low = _mm512_permutex2var_epi8(table(t.low), bytes, table(t.low + 64));
  __m512i high = _mm512_permutex2var_epi8(table(t.high), bytes, table(t.high + 64));
  if constexpr (elem == Elem::kI8) {
    const __mmask64 negative = _mm512_movepi8_mask(bytes);
    low = _mm512_mask_mov_epi8(
        low, negative, _mm512_permutex2var_epi8(table(t.low + 128), bytes, table(t.low + 192)));
    high = _mm512_mask_mov_epi8(
        high, negative, _mm512_permutex2var_epi8(table(t.high + 128), bytes, table(t.high + 192)));
  } else {  // high | (bytes & sign)
    high = _mm512_ternarylogic_epi32(high, bytes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
  }
  return {low, high};
}

// Values of 64 dims from d on; zeros past the last.
template <Elem elem>
inline Halves load_bytes(const void* row, int d, int dim) {
  const auto* p = static_cast<const char*>(row) + d;
  if (dim - d >= 64) return look_up<elem>(_mm512_loadu_si512(p));
  return look_up<elem>(_mm512_maskz_loadu_epi8((__mmask64{1} << (dim - d)) - 1, p));
}

template <Elem elem, int rows>
void byte_scores_of(const Tile& t, const Panel& p, const RowPointers& k, int32_t dim, int row) {
  constexpr int keys = kLanes / rows, kMostGroups = 576 / 64;
  const int groups = (dim + 63) / 64;
  VF q[rows][2 * kMostGroups];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    const float* from = p.q + static_cast<int64_t>(row + r) * t.q_words;
    for (int g = 0; g < groups; ++g) {
      const VF a = load(from + g * 32),
               b = g * 32 + 16 < t.q_words ? load(from + g * 32 + 16) : VF{};
      q[r][2 * g] = lanes<0, 2>(a, b);
      q[r][2 * g + 1] = lanes<1, 3>(a, b);
    }
  }
  float* s = p.s + static_cast<int64_t>(row) * kScoreStride;
  const void* const* key_rows = k.rows;
  const float scale = k.scale;
  for (int j = p.key_begin, end = p.key_end; j < end; j += keys) {
    VF acc[kLanes] = {};
    for (int g = 0; g < groups; ++g)
#pragma GCC unroll 16
      for (int i = 0; i < keys; ++i) {
        const Halves x = load_bytes<elem>(key_rows[j + i], g * 64, dim);
        const auto even = (__m512bh)_mm512_unpacklo_epi8(x.low, x.high);
        const auto odd = (__m512bh)_mm512_unpackhi_epi8(x.low, x.high);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) {
          VF& to = acc[r * keys + i];
          to = _mm512_dpbf16_ps(to, (__m512bh)q[r][2 * g], even);
          to = _mm512_dpbf16_ps(to, (__m512bh)q[r][2 * g + 1], odd);
        }
      }
    alignas(64) float sums[kLanes];
    store(sums, reduce_lanes(acc, [](VF a, VF b) { return a + b; }) * scale);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
      __builtin_memcpy(s + r * kScoreStride + j, sums + r * keys, sizeof(float) * keys);
  }
}

// 64 dims from d on.
template <Elem elem, int rows>
void byte_accumulate_of(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim, int row,
                        int d) {
  VF acc[rows][4] = {};
  const float* weights = p.s + static_cast<int64_t>(row) * kScoreStride;
  const void* const* key_rows = v.rows;
  for (int j = p.key_begin, end = p.key_end; j < end; j += 2) {
    const Halves a = load_bytes<elem>(key_rows[j], d, dim),
                 b = load_bytes<elem>(key_rows[j + 1], d, dim);
    const __m512i a0 = _mm512_unpacklo_epi8(a.low, a.high),
                  a1 = _mm512_unpackhi_epi8(a.low, a.high),
                  b0 = _mm512_unpacklo_epi8(b.low, b.high),
                  b1 = _mm512_unpackhi_epi8(b.low, b.high);
    const __m512i pairs[4] = {_mm512_unpacklo_epi16(a0, b0), _mm512_unpackhi_epi16(a0, b0),
                              _mm512_unpacklo_epi16(a1, b1), _mm512_unpackhi_epi16(a1, b1)};
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const auto left = (__m512bh)splat(weights[r * kScoreStride + j / 2]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) acc[r][i] = _mm512_dpbf16_ps(acc[r][i], left, (__m512bh)pairs[i]);
    }
  }
  const int64_t v_dims = t.v_dims;
  const int vectors = static_cast<int>(v_dims - d) / kLanes;
  const bool fresh = p.fresh;
  const VF scale = splat(v.scale);
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    // Lane l of acc[i] has the dims 16 l + 4 i ..: four lanes of four vectors change places.
    const VF x = lanes<0, 1>(acc[r][0], acc[r][1]), y = lanes<0, 1>(acc[r][2], acc[r][3]),
             z = lanes<2, 3>(acc[r][0], acc[r][1]), w = lanes<2, 3>(acc[r][2], acc[r][3]);
    const VF in_order[4] = {lanes<0, 2>(x, y), lanes<1, 3>(x, y), lanes<0, 2>(z, w),
                            lanes<1, 3>(z, w)};
    const VF factor = splat(fresh ? 0.0f : p.factor[row + r]);
    float* out = p.out + (row + r) * v_dims + d;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (i >= vectors) break;
      float* at = out + i * kLanes;
      store(at, (fresh ? VF{} : load(at) * factor) + in_order[i] * scale);
    }
  }
}

template <class F>
inline void with_byte_elem(Elem elem, F&& f) {
  switch (elem) {
    case Elem::kF8E4M3: return f.template operator()<Elem::kF8E4M3>();
    case Elem::kF8E5M2: return f.template operator()<Elem::kF8E5M2>();
    default: return f.template operator()<Elem::kI8>();
  }
}

inline void byte_scores(const Tile& t, const Panel& p, const RowPointers& k, int32_t dim) {
  with_byte_elem(k.elem, [&]<Elem elem>() {
    each_block_of_rows(p.rows,
                       [&]<int rows>(int row) { byte_scores_of<elem, rows>(t, p, k, dim, row); });
  });
}

inline void byte_accumulate(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim) {
  with_byte_elem(v.elem, [&]<Elem elem>() {
    each_block_of_rows(p.rows, [&]<int rows>(int row) {
      for (int d = 0; d < dim; d += 64) byte_accumulate_of<elem, rows>(t, p, v, dim, row, d);
    });
  });
}

}  // namespace attend::native::ATTEND_ISA
