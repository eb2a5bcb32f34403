// Tiles of a few rows, as decode has them: packing K and V would cost more than the products, so
// that both are read where they lie. Included by tile-inl.h.
//
//   scores      kLanes accumulators of up to kLanes / 4 rows x the keys that are left of them; a
//               vector of a key is loaded once for all rows, and the lanes of all accumulators are
//               summed together, three instructions an accumulator
//   accumulate  the same rows x 4 vectors of dims; a vector of V is loaded once for all rows
//   memory      the loads are what decode waits for: rows are asked for a block ahead, which ones
//               row_tile.cc tells
//   cost        at 4 rows of 128 dims, bf16: 16 dot products and 8 loads a key either way, a
//               quarter of the time that the key takes from memory
#pragma once

namespace attend::native::ATTEND_ISA {

inline constexpr int kMostDims = 576;
alignas(64) inline constexpr char kZeros[kMostDims * 4 + 64] = {};  // a row that is not there

// Rows of a tile, zeros in place of those that are not there or that nobody sees.
struct LiveRows {
  const void* row[kMaxKeys];

  LiveRows(const Panel& p, const RowPointers& from, const int32_t* seen) {
    for (int32_t j = p.key_begin; j < p.key_end; ++j)
      row[j] = from.rows[j] == nullptr || (seen != nullptr && seen[j] == 0) ? kZeros : from.rows[j];
  }
};

// Asks for the row that stands for key j, if any.
inline void ask_for(const Panel& p, int j, int64_t bytes) {
  const auto* row = static_cast<const char*>(p.ask[j % kBlock]);
  if (row == nullptr) return;
  for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(row + line, 0, 3);
}

template <class Words, Elem elem, int rows>
void narrow_scores_of(const Tile& t, const Panel& p, const RowPointers& k, const LiveRows& live,
                      int32_t dim, int row) {
  constexpr int keys = kLanes / rows;
  const float* q = p.q + static_cast<int64_t>(row) * t.q_words;
  const int whole = dim / Words::kValues / kLanes * kLanes;
  const int64_t bytes = dim * elem_bytes(elem);
  for (int j = p.key_begin; j < p.key_end; j += keys) {
    if (row == 0)
      for (int i = 0; i < keys; ++i) ask_for(p, j + i, bytes);
    VF acc[kLanes] = {};
    const auto add_words = [&](int w, auto&& words_of) __attribute__((always_inline)) {
      VF left[rows];
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) left[r] = load(q + r * t.q_words + w);
#pragma GCC unroll 16
      for (int i = 0; i < keys; ++i) {
        const VF right = words_of(live.row[j + i]);
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
    if (whole < t.head_words)
      add_words(whole, [&](const void* key) {
        return Words::load_words({nullptr, 1, elem, 1.0f}, key, whole, dim);
      });
    alignas(64) float sums[kLanes];
    store(sums, reduce_lanes(acc, [](VF a, VF b) { return a + b; }) * k.scale);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
      __builtin_memcpy(p.s + static_cast<int64_t>(row + r) * kScoreStride + j, sums + r * keys,
                       sizeof(float) * keys);
  }
}

// kVectors of dims from d on. whole: all of them are there.
inline constexpr int kVectors = 4;
template <class Words, Elem elem, int rows, bool whole>
void narrow_accumulate_of(const Tile& t, const Panel& p, const RowPointers& v, const LiveRows& live,
                          int32_t dim, int row, int d) {
  VF acc[rows][kVectors] = {};
  float* out = p.out + static_cast<int64_t>(row) * t.v_dims + d;
  const float* weights = p.s + static_cast<int64_t>(row) * kScoreStride;
  const int64_t bytes = dim * elem_bytes(elem);
  const bool asks = row == 0 && d == 0;
  const int vectors = whole ? kVectors : (t.v_dims - d) / kLanes;
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
  for (int j = p.key_begin; j < p.key_end; j += Words::kValues) {
    const void* key[Words::kValues];
    for (int i = 0; i < Words::kValues; ++i) {
      key[i] = live.row[j + i];
      if (asks) ask_for(p, j + i, bytes);
    }
    add.template operator()<0>(key, j);
    if (vectors > 2) add.template operator()<2>(key, j);
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      if (i >= vectors) break;
      float* at = out + r * t.v_dims + i * kLanes;
      const VF before = p.fresh ? VF{} : load(at) * p.factor[row + r];
      store(at, before + acc[r][i] * v.scale);
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
  const LiveRows live(p, k, nullptr);
  with_elem<Words>(k.elem, [&]<Elem elem>() {
    each_block_of_rows(p.rows, [&]<int rows>(int row) {
      narrow_scores_of<Words, elem, rows>(t, p, k, live, dim, row);
    });
  });
}

template <class Words>
void accumulate_narrow(const Tile& t, const Panel& p, const RowPointers& v, int32_t dim,
                       const int32_t* seen) {
  const LiveRows live(p, v, seen);
  with_elem<Words>(v.elem, [&]<Elem elem>() {
    each_block_of_rows(p.rows, [&]<int rows>(int row) {
      int d = 0;
      for (; d + kVectors * kLanes <= dim; d += kVectors * kLanes)
        narrow_accumulate_of<Words, elem, rows, true>(t, p, v, live, dim, row, d);
      for (; d < t.v_dims; d += kVectors * kLanes)
        narrow_accumulate_of<Words, elem, rows, false>(t, p, v, live, dim, row, d);
    });
  });
}

}  // namespace attend::native::ATTEND_ISA
