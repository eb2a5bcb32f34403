// Tiles of a few rows, as decode has them: packing K and V would cost more than the products, so
// that both are read where they lie. Included by tile-inl.h.
//
//   scores      kLanes accumulators of up to kLanes / 4 rows x the keys that are left of them; a
//               vector of a key is loaded once for all rows, and the lanes of all accumulators are
//               summed together, three instructions an accumulator
//   accumulate  the same rows x 4 vectors of dims; a vector of V is loaded once for all rows
//   memory      the loads are what decode waits for: key_stream.h asks for them ahead
//   cost        at 4 rows of 128 dims, bf16: 16 dot products and 8 loads a key either way, a
//               quarter of the time that the key takes from memory
#pragma once

namespace attend::native::ATTEND_ISA {

// What the loops below read of their arguments is read before them: a store to scores or
// accumulators might change it, as far as the compiler knows.
template <class Words, Elem elem, int rows>
void narrow_scores_of(const Tile& t, const Panel& p, const RowPointers& k, int32_t dim, int row) {
  constexpr int keys = kLanes / rows;
  const int64_t q_words = t.q_words;
  const float* q = p.q + row * q_words;
  float* s = p.s + static_cast<int64_t>(row) * kScoreStride;
  const void* const* key_rows = k.rows;
  const float scale = k.scale;
  const int whole = dim / Words::kValues / kLanes * kLanes, words = t.head_words, end = p.key_end;
  for (int j = p.key_begin; j < end; j += keys) {
    VF acc[kLanes] = {};
    const auto add_words = [&](int w, auto&& words_of) __attribute__((always_inline)) {
      VF left[rows];
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) left[r] = load(q + r * q_words + w);
#pragma GCC unroll 16
      for (int i = 0; i < keys; ++i) {
        const VF right = words_of(key_rows[j + i]);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r)
          acc[r * keys + i] = Words::multiply_add(acc[r * keys + i], left[r], right);
      }
    };
    for (int w = 0; w < whole; w += kLanes)
      add_words(
          w, [&](const void* key) __attribute__((always_inline)) {
            return Words::template whole_words<elem>(key, w);
          });
    if (whole < words)
      add_words(whole, [&](const void* key) {
        return Words::load_words({nullptr, 1, elem, 1.0f}, key, whole, dim);
      });
    alignas(64) float sums[kLanes];
    store(sums, reduce_lanes(acc, [](VF a, VF b) { return a + b; }) * scale);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
      __builtin_memcpy(s + r * kScoreStride + j, sums + r * keys, sizeof(float) * keys);
  }
}

// kVectors of dims from d on. whole: all of them are there.
inline constexpr int kVectors = 4;
template <class Words, Elem elem, int rows, bool whole>
void narrow_accumulate_of(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim, int row,
                          int d) {
  VF acc[rows][kVectors] = {};
  const int64_t v_dims = t.v_dims;
  float* out = p.out + row * v_dims + d;
  const float* weights = p.s + static_cast<int64_t>(row) * kScoreStride;
  const void* const* key_rows = v.rows;
  const int vectors = whole ? kVectors : static_cast<int>(v_dims - d) / kLanes;
  const auto add = [&]<int i>(const void* const(&key)[Words::kValues], int j)
      __attribute__((always_inline)) {
    VF value[2];
    if constexpr (whole) {
      Words::template whole_key_words<elem>(key, d + i * kLanes, value);
    } else {
      Words::load_key_words({nullptr, 1, elem, 1.0f}, key, d + i * kLanes, dim, value);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const float left = weights[r * kScoreStride + j / Words::kValues];
      acc[r][i] = Words::multiply_add(acc[r][i], left, value[0]);
      acc[r][i + 1] = Words::multiply_add(acc[r][i + 1], left, value[1]);
    }
  };
  for (int j = p.key_begin, end = p.key_end; j < end; j += Words::kValues) {
    const void* key[Words::kValues];
    for (int i = 0; i < Words::kValues; ++i) key[i] = key_rows[j + i];
    add.template operator()<0>(key, j);
    if (vectors > 2) add.template operator()<2>(key, j);
  }
  VF factor[rows];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) factor[r] = splat(p.fresh ? 0.0f : p.factor[row + r]);
  const VF scale = splat(v.scale);
  const bool fresh = p.fresh;
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      if (i >= vectors) break;
      float* at = out + r * v_dims + i * kLanes;
      store(at, (fresh ? VF{} : load(at) * factor[r]) + acc[r][i] * scale);
    }
}

// Calls f<rows>(first row) for all rows in blocks of 4, 2 and 1, as many as there are registers.
template <class F>
inline void each_block_of_rows(int32_t count, F&& f) {
  int row = 0;
  if constexpr (kLanes >= 16)
    for (; row + 4 <= count; row += 4) f.template operator()<4>(row);
  if constexpr (kLanes >= 8)
    for (; row + 2 <= count; row += 2) f.template operator()<2>(row);
  for (; row < count; ++row) f.template operator()<1>(row);
}

template <class Words>
void scores_narrow(const Tile& t, const Panel& p, const RowPointers& k, int32_t dim) {
  if constexpr (Words::kValues == 2)
    if (k.elem != Elem::kBF16) return kByteOps.scores(t, p, k, dim);
  with_elem<Words>(k.elem, [&]<Elem elem>() {
    each_block_of_rows(
        p.rows, [&]<int rows>(int row) { narrow_scores_of<Words, elem, rows>(t, p, k, dim, row); });
  });
}

template <class Words>
void accumulate_narrow(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim) {
  if constexpr (Words::kValues == 2)
    if (v.elem != Elem::kBF16) return kByteOps.accumulate(t, p, v, dim);
  with_elem<Words>(v.elem, [&]<Elem elem>() {
    each_block_of_rows(p.rows, [&]<int rows>(int row) {
      int d = 0;
      for (; d + kVectors * kLanes <= dim; d += kVectors * kLanes)
        narrow_accumulate_of<Words, elem, rows, true>(t, p, v, dim, row, d);
      for (; d < t.v_dims; d += kVectors * kLanes)
        narrow_accumulate_of<Words, elem, rows, false>(t, p, v, dim, row, d);
    });
  });
}

}  // namespace attend::native::ATTEND_ISA
