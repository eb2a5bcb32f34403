// The arithmetic of one tile, written once and compiled for each instruction set: the including
// file defines ATTEND_ISA (a namespace of its own), kRowStep and kWordStep, and includes the vector vocabulary
// (kLanes, VF, VI, vmax, small integers, f16). Vectors are the compiler's: + - * compare and ?:
// mean what they mean for numbers, lane by lane.
//
//   scores      S[row][key] = sum over words of Q[row] * K[key]
//   prepare     scale, softcap, bias, alibi and masks on the scores of one row that has them
//   softmax     S -> weights: running maxima, exp and sums of a panel's rows; on AVX-512 beside the
//               scores of the next panel
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
template <int s = kLanes / 2>
inline void transpose(VF (&r)[kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i)
    if ((i & s) == 0) exchange<s>(r[i], r[i + s]);
  if constexpr (s > 1) transpose<s / 2>(r);
}

// Lane l of the result is all lanes of r[l] together, by an operation of two vectors.
template <int s = kLanes / 2, class F>
inline VF reduce_lanes(VF (&r)[kLanes], F&& together) {
#pragma GCC unroll 16
  for (int i = 0; i < s; ++i) {
    exchange<s>(r[i], r[i + s]);
    r[i] = together(r[i], r[i + s]);
  }
  if constexpr (s > 1) return reduce_lanes<s / 2>(r, together);
  return r[0];
}

// ---- how values fill words

// One f32 a word, whatever the element type in memory.
struct F32Words {
  static constexpr int kValues = 1;
  static VF multiply_add(VF acc, float left, VF right) { return acc + left * right; }
  static VF multiply_add(VF acc, VF left, VF right) { return acc + left * right; }
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
  // And of the kKeyStep dims of a packed group.
  static void load_key_words(const RowPointers& from, const void* const (&key)[kValues], int first,
                             int dim, VF (&words)[2]) {
    words[0] = load_key_word(from, key, first, dim);
    words[1] = first + kLanes < dim ? load_key_word(from, key, first + kLanes, dim) : VF{};
  }
  // Key words where all values are there and adjacent, as they stand in memory.
  template <Elem elem>
  static VF whole_words(const void* row, int first) {
    return load_elem(static_cast<const char*>(row) + first * elem_bytes(elem), elem);
  }
  template <Elem elem>
  static void whole_key_words(const void* const (&key)[kValues], int first, VF (&words)[2]) {
    words[0] = whole_words<elem>(key[0], first);
    words[1] = whole_words<elem>(key[0], first + kLanes);
  }
  static void store_weights(float* row, int key, VF a, VF b) {
    store(row + key, a);
    store(row + key + kLanes, b);
  }
  static void store_out(void* to, VF v, Elem elem) { store_elem(to, v, elem); }
};

// Calls f<elem>() for an element type that the words hold.
template <class Words, class F>
inline void with_elem(Elem elem, F&& f) {
  if constexpr (Words::kValues == 2) {
    f.template operator()<Elem::kBF16>();
  } else {
    switch (elem) {
      case Elem::kF32: return f.template operator()<Elem::kF32>();
      case Elem::kF16: return f.template operator()<Elem::kF16>();
      case Elem::kBF16: return f.template operator()<Elem::kBF16>();
      case Elem::kF8E4M3: return f.template operator()<Elem::kF8E4M3>();
      case Elem::kF8E5M2: return f.template operator()<Elem::kF8E5M2>();
      case Elem::kI8: return f.template operator()<Elem::kI8>();
    }
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

// The first vector of keys alone, where no row sees the second.
template <class Words, int rows>
inline void half_scores_of(const float* q, int64_t stride, const float* k, int32_t words,
                           float* s) {
  VF acc[kRowStep] = {};
  for (int32_t w = 0; w < words; ++w, ++q, k += kKeyStep) {
    const VF right = load(k);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) acc[r] = Words::multiply_add(acc[r], q[r * stride], right);
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) store(s + r * kScoreStride, acc[r]);
}

template <class Words, int rows>
inline void accumulate_of(const float* s, const float* v, int32_t words, const float* factor,
                          float* out, int64_t stride) {
  VF acc[kRowStep][2] = {};
  if (factor != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      acc[r][0] = load(out + r * stride) * factor[r];
      acc[r][1] = load(out + r * stride + kLanes) * factor[r];
    }
  }
  multiply<Words, rows>(acc, s, kScoreStride, 1, v, words);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    store(out + r * stride, acc[r][0]);
    store(out + r * stride + kLanes, acc[r][1]);
  }
}

// Calls f<rows>() with a register tile of a third, two thirds or all of the rows, so that a tail
// does not pay for all.
template <class F>
inline void with_register_tile(int32_t rows, F&& f) {
  constexpr int third = kRowStep % 3 == 0 ? kRowStep / 3 : kRowStep / 2;
  if (rows > kRowStep - third) return f.template operator()<kRowStep>();
  if (rows > third) return f.template operator()<kRowStep - third>();
  return f.template operator()<third>();
}

// Weights that no row has are zeros; the words that hold nothing else are left out.
template <class Words>
void accumulate(const Tile& t, const Panel& p) {
  const int32_t first = p.first_key / Words::kValues;
  const int32_t words = (p.last_key + Words::kValues - 1) / Words::kValues - first;
  const int64_t group_floats = static_cast<int64_t>(t.keys) / Words::kValues * kKeyStep;
  const float* v = t.v + static_cast<int64_t>(first) * kKeyStep;
  with_register_tile(p.rows, [&]<int rows>() {
    for (int d = 0; d < t.v_dims; d += kKeyStep, v += group_floats)
      accumulate_of<Words, rows>(p.s + first, v, words, p.fresh ? nullptr : p.factor, p.out + d,
                                 t.v_dims);
  });
}

}  // namespace attend::native::ATTEND_ISA

#include "backends/native/isa/narrow-inl.h"
#include "backends/native/isa/pack-inl.h"
#include "backends/native/isa/softmax-inl.h"

namespace attend::native::ATTEND_ISA {

// Scores of a group of keys, and the weights of one of another panel: a row beside every word.
template <class Words, int rows, class Softmax>
inline void scores_of(const Tile& t, const Panel& p, int32_t j, Softmax& softmax) {
  const float* q = p.q;
  const float* k = t.k + static_cast<int64_t>(j) * t.head_words;
  VF acc[kRowStep][2] = {};
  int32_t words = t.head_words;
  if (!WeightExp<kLanes>::kBeside || softmax.rows() > words) {
    softmax.group();
  } else if (!softmax.done()) {
    for (int32_t r = 0; r < softmax.rows(); ++r, ++q, k += kKeyStep) {
      multiply<Words, rows>(acc, q, t.q_words, 1, k, 1);
      softmax.step(r);
    }
    words -= softmax.rows();
    softmax.next_group();
  }
  multiply<Words, rows>(acc, q, t.q_words, 1, k, words);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    float* s = p.s + static_cast<int64_t>(r) * kScoreStride + j;
    store(s, acc[r][0]);
    store(s + kLanes, acc[r][1]);
    const VF top = vmax(acc[r][0], acc[r][1]);
    store(tops_of(p, r), j == p.key_begin ? top : vmax(load(tops_of(p, r)), top));
  }
}

template <class Words>
void scores(const Tile& t, const Panel& p, const Panel* before) {
  with_softmax<Words>(t, before, [&](auto& softmax) {
    with_register_tile(p.rows, [&]<int rows>() {
      for (int32_t j = p.key_begin; j < p.key_end; j += kKeyStep)
        if (p.last_key - j > kLanes)
          scores_of<Words, rows>(t, p, j, softmax);
        else
          half_scores_of<Words, rows>(p.q, t.q_words, t.k + static_cast<int64_t>(j) * t.head_words,
                                      t.head_words, p.s + j);
    });
  });
}

template <class Words>
void store_row(const float* from, float scale, int32_t dim, const OutRow& to) {
  const int64_t size = elem_bytes(to.elem);
  auto* p = static_cast<char*>(to.row);
  if (to.next != nullptr)
    for (int64_t at = 0; at < dim * size; at += 64)
      __builtin_prefetch(static_cast<char*>(to.next) + at, 1);
  int32_t d = 0;
  if (to.step == 1)
    for (; d + kLanes <= dim; d += kLanes)
      Words::store_out(p + d * size, load(from + d) * scale, to.elem);
  for (; d < dim; d += kLanes) {
    alignas(64) char part[kLanes * 4];
    Words::store_out(part, load(from + d) * scale, to.elem);
    for (int i = 0; i < kLanes && d + i < dim; ++i)
      __builtin_memcpy(p + (d + i) * to.step * size, part + i * size,
                       static_cast<std::size_t>(size));
  }
}

template <class Words>
constexpr TileOps ops_with(void (*scores_op)(const Tile&, const Panel&, const Panel*),
                           void (*accumulate_op)(const Tile&, const Panel&), bool leaves_tops) {
  return {kRowStep,
          kKeyStep,
          kKeyStep,
          Words::kValues,
          kLanes,
          kWordStep,
          pack_q<Words>,
          pack_k<Words>,
          pack_v<Words>,
          scores_op,
          leaves_tops,
          prepare,
          softmax<Words>,
          accumulate_op,
          scores_narrow<Words>,
          accumulate_narrow<Words>,
          store_row<Words>};
}

template <class Words>
inline constexpr TileOps kOps = ops_with<Words>(scores<Words>, accumulate<Words>, true);

}  // namespace attend::native::ATTEND_ISA
