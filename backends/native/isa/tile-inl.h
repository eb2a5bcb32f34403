// The arithmetic of one tile, written once and compiled for each instruction set: the including
// file defines ATTEND_ISA (a namespace of its own) and kRowStep, and includes the vector vocabulary
// (kLanes, VF, VI, vmax, max_of, sum_of, f16). Vectors are the compiler's: + - * compare and ?:
// mean what they mean for numbers, lane by lane.
//
//   scores      S[row][key] = sum over words of Q[row] * K[key]
//   softmax     S -> weights, row by row: scale, softcap, bias, alibi, mask, running maximum, exp
//   accumulate  O[row][dim] = O[row][dim] * factor[row] + sum over keys of S[row][key] V[key][dim]
//
// Both products are one loop, `multiply`, over register tiles of kRowStep rows x 2 vectors: a word
// of the left operand is broadcast, a pair of vectors of the right is loaded, and every loaded
// value is used kRowStep times. 12 x 2 vectors keep two FMA units busy from the first-level cache
// with 14 loads for 24 FMAs.
#pragma once
#include <cstddef>
#include <cstdint>

#include "backends/native/isa/math-inl.h"
#include "backends/native/isa/tile_ops.h"

namespace attend::native::ATTEND_ISA {

inline constexpr int kKeyStep = 2 * kLanes;  // keys, or value dims, of one packed group

// ---- values in and out of memory

// f8 with its exponent as f32 counts it. A subnormal arises as 1 + x at the smallest exponent and is
// set right, so that no f32 subnormal is met, which a program that flushes them would lose. e4m3 has
// NaN (all ones) but no infinity.
inline VF load_f8(const void* p, bool e5m2) {
  const VI x = load_u8(p), size = x & 0x7f;
  const float least = e5m2 ? 0x1p-15f : 0x1p-7f;
  const VF normal = from_bits(e5m2 ? (size << 21) + (112 << 23) : (size << 20) + (120 << 23));
  VF value = size < (e5m2 ? 4 : 8) ? (normal - least) * 2.0f : normal;
  if (e5m2)
    value = size >= 0x7c ? from_bits(size << 21 | 0x7f800000) : value;
  else
    value = size == 0x7f ? splat(__builtin_nanf("")) : value;
  return from_bits(bits(value) | (x & 0x80) << 24);
}

inline VF load_elem(const void* p, Elem elem) {
  switch (elem) {
    case Elem::kF32: return load(static_cast<const float*>(p));
    case Elem::kF16: return load_f16(p);
    case Elem::kBF16: return from_bits(load_u16(p) << 16);
    case Elem::kI8: return to_float(load_i8(p));
    default: return load_f8(p, elem == Elem::kF8E5M2);
  }
}

inline void store_elem(void* p, VF v, Elem elem) {
  if (elem == Elem::kF32) return store(static_cast<float*>(p), v);
  if (elem == Elem::kF16) return store_f16(p, v);
  typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));
  const VI u = bits(v);
  const VI rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const VI value = v == v ? rounded : (u >> 16) | 0x40;
  const Halves h = __builtin_convertvector(value, Halves);
  __builtin_memcpy(p, &h, sizeof h);
}

constexpr int64_t elem_bytes(Elem elem) {
  return elem == Elem::kF32 ? 4 : elem == Elem::kF16 || elem == Elem::kBF16 ? 2 : 1;
}

// `count` <= kLanes elements from a row, `step` apart, as floats; the rest are zeros.
inline VF load_some(const void* row, int64_t first, int64_t step, int count, Elem elem) {
  const auto* from = static_cast<const char*>(row) + first * step * elem_bytes(elem);
  if (step == 1 && count == kLanes) return load_elem(from, elem);
  alignas(64) char part[kLanes * 4] = {};
  const int64_t size = elem_bytes(elem);
  for (int i = 0; i < count; ++i)
    __builtin_memcpy(part + i * size, from + i * step * size, static_cast<std::size_t>(size));
  return load_elem(part, elem);
}

// Exchanges rows and columns of a square of vectors, halving the blocks that trade places.
inline void transpose(VF (&r)[kLanes]) {
#pragma GCC unroll 8
  for (int s = kLanes / 2; s > 0; s /= 2) {
    VI low{}, high{};
    for (int l = 0; l < kLanes; ++l) {
      low[l] = (l & s) == 0 ? l : kLanes + l - s;
      high[l] = (l & s) == 0 ? l + s : kLanes + l;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
      if ((i & s) == 0) {
        const VF a = r[i], b = r[i + s];
        r[i] = __builtin_shuffle(a, b, low);
        r[i + s] = __builtin_shuffle(a, b, high);
      }
  }
}

// ---- how values fill words

// One f32 a word, whatever the element type in memory.
struct F32Words {
  static constexpr int kValues = 1;
  static VF multiply_add(VF acc, float left, VF right) { return acc + left * right; }
  static VF multiply_add(VF acc, VF left, VF right) { return acc + left * right; }
  static VF scaled(VF v, const RowPointers& from) { return v * from.scale; }
  // kLanes words of a row from word `first` on.
  static VF load_words(const RowPointers& from, const void* row, int first, int dim) {
    const int left = dim - first;
    return load_some(row, first, from.step, left < kLanes ? left : kLanes, from.elem) * from.scale;
  }
  // One word of keys: the values of kLanes dims from `first` on.
  static VF load_key_word(const RowPointers& from, const void* const (&key)[kValues], int first,
                          int dim) {
    if (key[0] == nullptr) return VF{};
    return load_words(from, key[0], first, dim);
  }
  // The same where all of them are there and adjacent, as they stand in memory.
  template <Elem elem>
  static VF whole_words(const void* row, int first) {
    return load_elem(static_cast<const char*>(row) + first * elem_bytes(elem), elem);
  }
  template <Elem elem>
  static VF whole_key_word(const void* const (&key)[kValues], int first) {
    return whole_words<elem>(key[0], first);
  }
  static void store_weights(float* row, int key, VF a, VF b) {
    store(row + key, a);
    store(row + key + kLanes, b);
  }
};

// ---- packing

// Rows into groups of `width`: [group][word][row of the group]. The rows of a group past the last
// are zeros. A line narrower than a vector is stored as a whole vector all the same: what runs over
// is the next line's, which comes later, or the kPackOverrun floats after the last.
template <class Words, int width>
void pack_transposed(const RowPointers& from, int32_t rows, int32_t dim, float* to) {
  static_assert(width <= kLanes ? kLanes - width <= kPackOverrun : width % kLanes == 0);
  const int words = (dim + Words::kValues - 1) / Words::kValues;
  for (int first = 0; first < rows; first += width, to += static_cast<int64_t>(words) * width)
    for (int w = 0; w < words; w += kLanes)
      for (int r0 = 0; r0 < width; r0 += kLanes) {
        VF square[kLanes];
        for (int r = 0; r < kLanes; ++r) {
          const int row = first + r0 + r;
          const bool live = r0 + r < width && row < rows && from.rows[row] != nullptr;
          square[r] = live ? Words::load_words(from, from.rows[row], w, dim) : VF{};
        }
        transpose(square);
        const int n = words - w < kLanes ? words - w : kLanes;
        for (int i = 0; i < n; ++i) store(to + static_cast<int64_t>(w + i) * width + r0, square[i]);
      }
}

template <class Words>
void pack_q(const RowPointers& from, int32_t rows, int32_t dim, float* to) {
  pack_transposed<Words, kRowStep>(from, rows, dim, to);
}
template <class Words>
void pack_k(const RowPointers& from, int32_t keys, int32_t dim, float* to) {
  pack_transposed<Words, kKeyStep>(from, keys, dim, to);
}

// Keys into groups of dims: [group of dims][word of keys][dim], up to a whole group of keys.
template <class Words>
void pack_v(const RowPointers& from, int32_t keys, int32_t dim, const int32_t* seen, float* to) {
  const int padded = (keys + kKeyStep - 1) / kKeyStep * kKeyStep;
  for (int d = 0; d < dim; d += kKeyStep)
    for (int j = 0; j < padded; j += Words::kValues, to += kKeyStep) {
      const void* key[Words::kValues];
      for (int i = 0; i < Words::kValues; ++i)
        key[i] = j + i < keys && (seen == nullptr || seen[j + i] != 0) ? from.rows[j + i] : nullptr;
      store(to, Words::load_key_word(from, key, d, dim));
      store(to + kLanes,
            d + kLanes < dim ? Words::load_key_word(from, key, d + kLanes, dim) : VF{});
    }
}

// ---- products

// acc[r][0..1] += sum over w < words of left[r * row_stride + w * word_stride] * right[w][0..1].
template <class Words, int rows>
inline void multiply(VF (&acc)[kRowStep][2], const float* left, int64_t row_stride,
                     int64_t word_stride, const float* right, int32_t words) {
  for (int32_t w = 0; w < words; ++w, left += word_stride, right += kKeyStep) {
    const VF r0 = load(right), r1 = load(right + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const float l = left[r * row_stride];
      acc[r][0] = Words::multiply_add(acc[r][0], l, r0);
      acc[r][1] = Words::multiply_add(acc[r][1], l, r1);
    }
  }
}

template <class Words, int rows>
inline void scores_of(const float* q, const float* k, int32_t words, float* s) {
  VF acc[kRowStep][2] = {};
  multiply<Words, rows>(acc, q, 1, kRowStep, k, words);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    store(s + r * kScoreStride, acc[r][0]);
    store(s + r * kScoreStride + kLanes, acc[r][1]);
  }
}

template <class Words, int rows>
inline void accumulate_of(const float* s, const float* v, int32_t words, const float* factor,
                          float* out, int64_t stride) {
  VF acc[kRowStep][2];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    acc[r][0] = load(out + r * stride) * factor[r];
    acc[r][1] = load(out + r * stride + kLanes) * factor[r];
  }
  multiply<Words, rows>(acc, s, kScoreStride, 1, v, words);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    store(out + r * stride, acc[r][0]);
    store(out + r * stride + kLanes, acc[r][1]);
  }
}

// Register tiles of a third and two thirds of the rows, so that a decode step or a tail does not
// pay for all.
inline constexpr int kThird = kRowStep % 3 == 0 ? kRowStep / 3 : kRowStep / 2;
inline int rows_of_panel(const Tile& t, int panel) {
  return panel + 1 < t.panels ? kRowStep : t.last_rows;
}

template <class Words>
void scores(const Tile& t) {
  const int64_t panel_floats = static_cast<int64_t>(t.head_words) * kRowStep;
  for (int j = 0; j < t.keys; j += kKeyStep) {
    const float* k = t.k + static_cast<int64_t>(j) * t.head_words;
    for (int p = 0; p < t.panels; ++p) {
      if (j < t.key_begin[p] || j >= t.key_end[p]) continue;
      const float* q = t.q + p * panel_floats;
      float* s = t.s + static_cast<int64_t>(p) * kRowStep * kScoreStride + j;
      const int rows = rows_of_panel(t, p);
      if (rows > kRowStep - kThird)
        scores_of<Words, kRowStep>(q, k, t.head_words, s);
      else if (rows > kThird)
        scores_of<Words, kRowStep - kThird>(q, k, t.head_words, s);
      else
        scores_of<Words, kThird>(q, k, t.head_words, s);
    }
  }
}

template <class Words>
void accumulate(const Tile& t) {
  const int64_t group_floats = static_cast<int64_t>(t.keys) / Words::kValues * kKeyStep;
  for (int d = 0; d < t.v_dims; d += kKeyStep) {
    const float* group = t.v + d / kKeyStep * group_floats;
    for (int p = 0; p < t.panels; ++p) {
      if (t.key_begin[p] >= t.key_end[p]) continue;
      const int32_t first = t.key_begin[p] / Words::kValues;
      const int32_t words = (t.key_end[p] - t.key_begin[p]) / Words::kValues;
      const float* s = t.s + static_cast<int64_t>(p) * kRowStep * kScoreStride + first;
      const float* v = group + static_cast<int64_t>(first) * kKeyStep;
      const float* factor = t.factor + p * kRowStep;
      float* out = t.out + p * kRowStep * t.out_stride + d;
      const int rows = rows_of_panel(t, p);
      if (rows > kRowStep - kThird)
        accumulate_of<Words, kRowStep>(s, v, words, factor, out, t.out_stride);
      else if (rows > kThird)
        accumulate_of<Words, kRowStep - kThird>(s, v, words, factor, out, t.out_stride);
      else
        accumulate_of<Words, kThird>(s, v, words, factor, out, t.out_stride);
    }
  }
}

}  // namespace attend::native::ATTEND_ISA

#include "backends/native/isa/narrow-inl.h"

namespace attend::native::ATTEND_ISA {

// ---- softmax

// Steps 1 to 4 of AttentionParams for kLanes keys from `key` on.
inline VF modify(const Tile& t, const TileRow& row, VF s, int32_t key) {
  s = s * t.scale;
  if (t.softcap > 0.0f) s = t.softcap * tanh(s / t.softcap);
  if (row.bias != nullptr) s = s + load(row.bias + key);
  const VI j = lane_numbers() + key;
  if (row.slope != 0.0f) {
    const VF distance = row.position - to_float(j);
    s = s - row.slope * from_bits(bits(distance) & 0x7fffffff);
  }
  VI visible = (j >= row.begin) & (j < row.end) & ~((j >= row.hole_begin) & (j < row.hole_end));
  // A bias of -inf is a mask: it selects, so that a NaN in K stays behind it.
  if (row.bias != nullptr) visible &= load(row.bias + key) != -kInfinity;
  if (row.keep != nullptr) {
    visible &= load_u8(row.keep + key) != 0;
  }
  s = visible ? s : splat(-kInfinity);
  if (row.seen != nullptr) {
    VI seen;
    __builtin_memcpy(&seen, row.seen + key, sizeof seen);
    seen |= s != -kInfinity;
    __builtin_memcpy(row.seen + key, &seen, sizeof seen);
  }
  return s;
}

// Admits the scores of row r to its running softmax; see OnlineSoftmax in ops/common, which says
// the same for one row. prepared: scores already went through `modify`; otherwise only the scale is
// missing.
template <class Words, bool prepared>
inline void weigh_row(const Tile& t, int32_t r, int32_t begin, int32_t end, VF top) {
  float* s = t.s + static_cast<int64_t>(r) * kScoreStride;
  const float m_old = t.m[r], tile_max = max_of(top);
  const float m = m_old > tile_max ? m_old : tile_max;
  // Weights are 2^(s * scale - base) with both factors in units of log 2, which saves a product a
  // score.
  const float base = m == -kInfinity ? 0.0f : m * kLog2E;
  const float scale = prepared ? kLog2E : t.scale * kLog2E;
  VF sum0{}, sum1{};
  for (int32_t j = begin; j < end; j += kKeyStep) {
    const VF a = exp2_nonpositive(load(s + j) * scale - base);
    const VF b = exp2_nonpositive(load(s + j + kLanes) * scale - base);
    sum0 += a;
    sum1 += b;
    Words::store_weights(s, j, a, b);
  }
  const float factor = m == m_old ? 1.0f : exp_nonpositive(splat(m_old - m))[0];
  t.m[r] = m;
  t.l[r] = t.l[r] * factor + sum_of(sum0 + sum1);
  t.factor[r] = factor;
}

template <class Words>
void softmax(const Tile& t, int32_t row_begin, int32_t row_end, const TileRow* row) {
  for (int32_t r = row_begin; r < row_end; ++r) {
    const int32_t begin = t.key_begin[r / kRowStep], end = t.key_end[r / kRowStep];
    float* s = t.s + static_cast<int64_t>(r) * kScoreStride;
    VF top = splat(-kInfinity), top1 = top;
    if (row == nullptr && t.softcap == 0.0f) {
      for (int32_t j = begin; j < end; j += kKeyStep) {
        top = vmax(load(s + j) * t.scale, top);
        top1 = vmax(load(s + j + kLanes) * t.scale, top1);
      }
      weigh_row<Words, false>(t, r, begin, end, vmax(top, top1));
      continue;
    }
    const TileRow all{begin, end, 0, 0, 0.0f, 0.0f, nullptr, nullptr, nullptr};
    for (int32_t j = begin; j < end; j += kLanes) {
      const VF x = modify(t, row == nullptr ? all : *row, load(s + j), j);
      store(s + j, x);
      top = vmax(x, top);
    }
    weigh_row<Words, true>(t, r, begin, end, top);
  }
}

template <class Words>
void store_row(const float* from, float scale, int32_t dim, void* to, int64_t step, Elem elem) {
  const int64_t size = elem_bytes(elem);
  auto* p = static_cast<char*>(to);
  for (int32_t d = 0; d < dim; d += kLanes) {
    const VF value = load(from + d) * scale;
    if (step == 1 && d + kLanes <= dim) {
      store_elem(p + d * size, value, elem);
      continue;
    }
    alignas(64) char part[kLanes * 4];
    store_elem(part, value, elem);
    for (int i = 0; i < kLanes && d + i < dim; ++i)
      __builtin_memcpy(p + (d + i) * step * size, part + i * size, static_cast<std::size_t>(size));
  }
}

template <class Words>
inline constexpr TileOps kOps{kRowStep,
                              kKeyStep,
                              kKeyStep,
                              Words::kValues,
                              pack_q<Words>,
                              pack_k<Words>,
                              pack_v<Words>,
                              scores<Words>,
                              softmax<Words>,
                              accumulate<Words>,
                              pack_q_narrow<Words>,
                              scores_narrow<Words>,
                              accumulate_narrow<Words>,
                              store_row<Words>};

}  // namespace attend::native::ATTEND_ISA
