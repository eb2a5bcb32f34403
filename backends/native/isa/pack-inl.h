// Q, K and V into the order in which products read them. Included by tile-inl.h.
//
//   cost      where a tile has few rows (an encoder's 128), packing is a tenth of the products: what
//             is adjacent and whole is packed by loops that know the element type
//   memory    rows of a head lie apart, where the hardware's own prefetch does not follow: they are
//             asked for a while ahead
#pragma once

namespace attend::native::ATTEND_ISA {

inline constexpr int kRowsAhead = 32;  // packing asks for so many rows ahead
inline constexpr int kMostDims = 576;
alignas(64) inline constexpr char kZeros[kMostDims * 4 + 64] = {};  // a row that is not there

// Asks for rows [begin, end) of `known`.
inline void prefetch_rows(const RowPointers& from, int32_t begin, int32_t end, int32_t known,
                          int64_t bytes) {
  for (int32_t j = begin; j < end && j < known; ++j)
    for (int64_t line = 0; line < bytes; line += 64)
      __builtin_prefetch(static_cast<const char*>(from.rows[j]) + line, 0, 2);
}
// Bytes of a row worth asking for: none where its elements lie apart.
inline int64_t row_bytes(const RowPointers& from, int32_t dim) {
  return from.step == 1 ? dim * elem_bytes(from.elem) : 0;
}

// Whether rows are adjacent elements that fill whole groups of words.
template <class Words>
inline bool whole_rows(const RowPointers& from, int32_t dim) {
  return from.step == 1 && from.scale == 1.0f && dim % (kKeyStep * Words::kValues) == 0;
}

// Calls f(words_of), where words_of(row, first) is kLanes words of a row from word `first` on.
template <class Words, class F>
inline void with_row_words(const RowPointers& from, int32_t dim, F&& f) {
  if (!whole_rows<Words>(from, dim))
    return f([&](const void* row, int first) {
      return row == nullptr ? VF{} : Words::load_words(from, row, first, dim);
    });
  with_elem<Words>(from.elem, [&]<Elem elem>() {
    f([](const void* row, int first) __attribute__((always_inline)) {
      return Words::template whole_words<elem>(row == nullptr ? kZeros : row, first);
    });
  });
}

// Rows as they stand, in whole vectors.
template <class Words>
void pack_q(const RowPointers& from, int32_t rows, int32_t dim, float* to) {
  const int words = (dim + Words::kValues - 1) / Words::kValues;
  const int64_t bytes = row_bytes(from, dim);
  with_row_words<Words>(from, dim, [&](auto words_of) {
    for (int r = 0; r < rows; ++r) {
      prefetch_rows(from, r + kRowsAhead, r + kRowsAhead + 1, rows, bytes);
      for (int w = 0; w < words; w += kLanes, to += kLanes) store(to, words_of(from.rows[r], w));
    }
  });
}

// Keys into groups, transposed: [group][word][key]. Keys of a group past the last are zeros, and so
// are words past the last dim, up to whole steps of words.
template <class Words>
void pack_k(const RowPointers& from, int32_t keys, int32_t dim, float* to) {
  const int words = ((dim - 1) / Words::kValues / kWordStep + 1) * kWordStep;
  const int64_t bytes = row_bytes(from, dim);
  prefetch_rows(from, 0, kRowsAhead, keys, bytes);
  with_row_words<Words>(from, dim, [&](auto words_of) {
    for (int first = 0; first < keys;
         first += kKeyStep, to += static_cast<int64_t>(words) * kKeyStep) {
      prefetch_rows(from, first + kRowsAhead, first + kRowsAhead + kKeyStep, keys, bytes);
      for (int half = 0; half < kKeyStep; half += kLanes) {
        const void* row[kLanes];
        for (int j = 0; j < kLanes; ++j)
          row[j] = first + half + j < keys ? from.rows[first + half + j] : nullptr;
        for (int w = 0; w < words; w += kLanes) {
          VF square[kLanes];
#pragma GCC unroll 16
          for (int j = 0; j < kLanes; ++j) square[j] = words_of(row[j], w);
          transpose(square);
          float* at = to + static_cast<int64_t>(w) * kKeyStep + half;
          if (words - w >= kLanes) {
#pragma GCC unroll 16
            for (int i = 0; i < kLanes; ++i) store(at + i * kKeyStep, square[i]);
          } else {
            for (int i = 0; i < words - w; ++i) store(at + i * kKeyStep, square[i]);
          }
        }
      }
    }
  });
}

// Keys into groups of dims: [group of dims][word of keys][dim], up to a whole group of keys.
template <class Words>
void pack_v(const RowPointers& from, int32_t keys, int32_t dim, const int32_t* seen, float* to) {
  const int padded = (keys + kKeyStep - 1) / kKeyStep * kKeyStep;
  const int64_t group_floats = int64_t{padded} / Words::kValues * kKeyStep;
  const int64_t bytes = row_bytes(from, dim);
  const auto each_word = [&](const void* absent, auto&& values_of) {
    for (int j = 0; j < padded; j += Words::kValues, to += kKeyStep) {
      prefetch_rows(from, j + kRowsAhead, j + kRowsAhead + Words::kValues, keys, bytes);
      const void* key[Words::kValues];
      for (int i = 0; i < Words::kValues; ++i) {
        const bool live =
            j + i < keys && (seen == nullptr || seen[j + i] != 0) && from.rows[j + i] != nullptr;
        key[i] = live ? from.rows[j + i] : absent;
      }
      float* group = to;
      for (int d = 0; d < dim; d += kKeyStep, group += group_floats) {
        VF values[2];
        values_of(key, d, values);
        store(group, values[0]);
        store(group + kLanes, values[1]);
      }
    }
  };
  using Keys = const void* const(&)[Words::kValues];
  if (!whole_rows<Words>(from, dim))
    return each_word(nullptr, [&](Keys key, int d, VF(&values)[2]) {
      Words::load_key_words(from, key, d, dim, values);
    });
  with_elem<Words>(from.elem, [&]<Elem elem>() {
    each_word(
        kZeros, [](Keys key, int d, VF(&values)[2]) __attribute__((always_inline)) {
          Words::template whole_key_words<elem>(key, d, values);
        });
  });
}

}  // namespace attend::native::ATTEND_ISA
