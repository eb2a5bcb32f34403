// Tiles of a few rows, as decode has them: packing K and V would cost more than the products, so
// that both are read where they lie. Included by tile-inl.h.
//
//   scores      kLanes accumulators of up to kLanes / 4 rows x the keys that are left of them; a
//               vector of a key is loaded once for all rows, and the lanes of all accumulators are
//               summed together, three instructions an accumulator
//   accumulate  the same rows x 4 vectors of dims; a vector of V is loaded once for all rows
//   memory      the loads are what decode waits for: kAhead bytes before they are used, rows are
//               asked for, those of the next tile included
#pragma once

namespace attend::native::ATTEND_ISA {

inline constexpr int kAhead = 16384;  // bytes; less hides too little, more falls out of the cache
inline constexpr int kMostDims = 576;
alignas(64) inline constexpr char kZeros[kMostDims * 4 + 64] = {};  // a row that is not there

// Keys that kAhead bytes are.
inline int32_t keys_ahead(int64_t bytes) {
  return static_cast<int32_t>((kAhead + bytes - 1) / bytes);
}

template <class Words, Elem elem, int rows>
void narrow_scores_of(const Tile& t, const Panel& p, const RowPointers& k, int32_t dim, int row) {
  constexpr int keys = kLanes / rows;
  const float* q = p.q + static_cast<int64_t>(row) * t.head_words;
  const int whole = dim / Words::kValues / kLanes * kLanes;
  const int64_t bytes = dim * elem_bytes(elem);
  const int32_t ahead = keys_ahead(bytes);
  for (int j = p.key_begin; j < p.key_end; j += keys) {
    if (row == 0) prefetch_rows(k, j + ahead, j + ahead + keys, t.known, bytes);
    const void* key[keys];
    for (int i = 0; i < keys; ++i) {
      key[i] = k.rows[j + i];
      if (key[i] == nullptr) key[i] = kZeros;
    }
    VF acc[kLanes] = {};
    for (int w = 0; w < whole; w += kLanes) {
      VF left[rows];
      for (int r = 0; r < rows; ++r) left[r] = load(q + r * t.head_words + w);
#pragma GCC unroll 16
      for (int i = 0; i < keys; ++i) {
        const VF right = Words::template whole_words<elem>(key[i], w);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r)
          acc[r * keys + i] = Words::multiply_add(acc[r * keys + i], left[r], right);
      }
    }
    if (whole < t.head_words)
      for (int i = 0; i < keys; ++i) {
        const VF right = Words::load_words({k.rows, 1, elem, 1.0f}, key[i], whole, dim);
        for (int r = 0; r < rows; ++r) {
          const int n = t.head_words - whole;
          alignas(64) float left[kLanes] = {};
          __builtin_memcpy(left, q + r * t.head_words + whole, static_cast<std::size_t>(n) * 4);
          acc[r * keys + i] = Words::multiply_add(acc[r * keys + i], load(left), right);
        }
      }
    alignas(64) float sums[kLanes];
    store(sums, reduce_lanes(acc, [](VF a, VF b) { return a + b; }) * k.scale);
    for (int r = 0; r < rows; ++r)
      __builtin_memcpy(p.s + static_cast<int64_t>(row + r) * kScoreStride + j, sums + r * keys,
                       sizeof(float) * keys);
  }
}

template <class Words, Elem elem, int rows, int vectors>
void narrow_accumulate_of(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim,
                          const int32_t* seen, int row, int d) {
  VF acc[rows][vectors];
  float* out = p.out + static_cast<int64_t>(row) * t.v_dims + d;
  const float* weights = p.s + static_cast<int64_t>(row) * kScoreStride;
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < vectors; ++i)
      acc[r][i] = p.fresh ? VF{} : load(out + r * t.v_dims + i * kLanes) * p.factor[row + r];
  const int64_t bytes = dim * elem_bytes(elem);
  const int32_t ahead = keys_ahead(bytes);
  const bool whole = d + vectors * kLanes <= dim;
  for (int j = p.key_begin; j < p.key_end; j += Words::kValues) {
    if (row == 0 && d == 0) prefetch_rows(v, j + ahead, j + ahead + Words::kValues, t.known, bytes);
    const void* key[Words::kValues];
    bool any = false;
    for (int i = 0; i < Words::kValues; ++i) {
      key[i] = seen == nullptr || seen[j + i] != 0 ? v.rows[j + i] : nullptr;
      any |= key[i] != nullptr;
    }
    if (!any) continue;
    VF value[vectors];
    for (int i = 0; i < vectors; ++i) {
      const int first = d + i * kLanes;
      value[i] = whole         ? Words::scaled(Words::template whole_key_word<elem>(key, first), v)
                 : first < dim ? Words::load_key_word({v.rows, 1, elem, v.scale}, key, first, dim)
                               : VF{};
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const VF left = splat(weights[r * kScoreStride + j / Words::kValues]);
#pragma GCC unroll 8
      for (int i = 0; i < vectors; ++i) acc[r][i] = Words::multiply_add(acc[r][i], left, value[i]);
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < vectors; ++i) store(out + r * t.v_dims + i * kLanes, acc[r][i]);
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

template <class Words>
void scores_narrow(const Tile& t, const Panel& p, const RowPointers& k, int32_t dim) {
  with_elem<Words>(k.elem, [&]<Elem elem>() {
    each_block_of_rows(
        p.rows, [&]<int rows>(int row) { narrow_scores_of<Words, elem, rows>(t, p, k, dim, row); });
  });
}

template <class Words>
void accumulate_narrow(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim,
                       const int32_t* seen) {
  constexpr int kVectors = 4;
  with_elem<Words>(v.elem, [&]<Elem elem>() {
    each_block_of_rows(p.rows, [&]<int rows>(int row) {
      int d = 0;
      for (; d + kVectors * kLanes <= t.v_dims; d += kVectors * kLanes)
        narrow_accumulate_of<Words, elem, rows, kVectors>(t, p, v, dim, seen, row, d);
      for (; d < t.v_dims; d += kLanes)
        narrow_accumulate_of<Words, elem, rows, 1>(t, p, v, dim, seen, row, d);
    });
  });
}

}  // namespace attend::native::ATTEND_ISA
