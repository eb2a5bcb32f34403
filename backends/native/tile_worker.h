#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backends/native/elem.h"
#include "backends/native/isa/tile_ops.h"
#include "ops/common/layout.h"
#include "ops/common/split_plan.h"

// The shapes of tiles, each with its reason, and the memory that one thread works in.
namespace attend::native {

// Packed K and V of one tile and the scores of a panel stay in a second-level cache of 1 MiB. Keys
// decide where sums are cut, so they depend on the dimensions alone.
inline int32_t keys_per_tile(int64_t dim) {
  return dim <= 128 ? kMaxKeys : dim <= 256 ? kMaxKeys / 2 : kMaxKeys / 4;
}
// A packed tile serves all rows of a task: the more there are, the less packing costs (with 288
// rows of 128 dims it took a fifth of the time). Their Q and accumulators may go through a third
// level, as they are read once a tile.
inline constexpr int64_t kRowsBytes = 2 << 20;
// Rows whose scores are kept all at once, as words that go key by key want it.
inline constexpr int64_t kKeptScoresBytes = 256 << 10;

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// More rows than split_plan() cuts the keys of, but too few to be divided among threads, each of which
// would pack all keys: their keys are cut, too, at multiples of this. Folding a part in costs 1 % of
// its products.
inline constexpr int64_t kWideSplitRows = 256, kWideSplitKeys = 2048;

// Stacks of narrow tiles that one task takes at most.
inline constexpr int64_t kMostTogether = 8;

// Whether some word decides key by key (key_words.h).
inline bool has_key_words(const AttentionParams& p) {
  return p.mask.keep || p.bias || p.mask.q_segment_ids || p.mask.block_mask;
}

// Whether keys may have to change their form (key_rows.h).
inline bool must_stage(const AttentionArgs& a) {
  if (a.k.step(-1) != 1 || a.v.step(-1) != 1) return true;
  if (!a.k_new) return false;
  return a.k_new.dtype != a.k.dtype || a.v_new.dtype != a.v.dtype || a.k_new.step(-1) != 1 ||
         a.v_new.step(-1) != 1 || a.k_descale || a.v_descale;
}

// The sizes of a call that its tiles have in common.
struct TileSizes {
  int64_t head_words, q_words, v_dims;
  int32_t keys, rows = 0;
  bool keep_scores;       // of all rows at once: V is packed when it is known which keys are seen
  int32_t part_rows;      // rows of a part of split keys (split_plan.h)
  int32_t row_step;       // of a panel
  int64_t staged_floats;  // of a tile of keys that must change its form (key_rows.h)

  TileSizes(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
            const CallShape& s)
      : head_words(round_up((s.head_dim + ops.word_values - 1) / ops.word_values, ops.word_step)),
        q_words(round_up(head_words, ops.lanes)),
        v_dims(round_up(s.v_dim, ops.dim_step)),
        keys(keys_per_tile(std::max(s.head_dim, s.v_dim))),
        keep_scores(has_key_words(p)),
        part_rows(static_cast<int32_t>(round_up(kWideSplitRows, ops.row_step))),
        row_step(ops.row_step),
        staged_floats(must_stage(a) ? keys * std::max(s.head_dim, s.v_dim) : 0) {
    const int64_t row_bytes = (q_words + v_dims) * static_cast<int64_t>(sizeof(float));
    int64_t most = kRowsBytes / row_bytes;
    if (keep_scores)
      most = std::min<int64_t>(most, kKeptScoresBytes / (kScoreStride * int64_t{sizeof(float)}));
    rows = static_cast<int32_t>(std::max(kMostTogether, most / ops.row_step)) * ops.row_step;
  }
};

// The running state of a tile's rows: largest scores, sums of weights, accumulators.
struct RowState {
  float *m, *l, *out;
};

// What one thread works in.
struct Worker {
  float *q, *k, *v, *s, *factor, *bias, *staged;
  RowState state, folded;  // of the keys at hand; of the parts before them
  const void **q_rows, **k_rows, **v_rows;
  int64_t* segments;
  int32_t* seen;
  uint8_t* keep;
  uint8_t* fresh;  // of panels: no key has met them yet

  // Lays the parts out from `base` on; returns the bytes they take.
  uint64_t lay_out(std::byte* base, const TileSizes& z) {
    uint64_t at = 0;
    const auto part = [&](auto*& pointer, int64_t count) {
      using T = std::remove_reference_t<decltype(*pointer)>;
      if (base != nullptr) pointer = reinterpret_cast<T*>(base + at);
      at += static_cast<uint64_t>(round_up(count * static_cast<int64_t>(sizeof(T)), 64));
    };
    part(q, z.rows * z.q_words);
    part(k, z.keys * z.head_words);
    part(v, z.keys * z.v_dims);
    part(s, std::max<int64_t>(z.keep_scores ? z.rows : kMostRowStep, z.row_step * kMostTogether) *
                kScoreStride);
    const auto rows_state = [&](RowState& of, int64_t rows) {
      part(of.out, rows * z.v_dims);
      part(of.m, rows + kMostRowStep);  // vectors are read from the last row on
      part(of.l, rows + kMostRowStep);
    };
    rows_state(state, z.rows);
    rows_state(folded, std::max<int64_t>(z.part_rows, kMostTogether * z.row_step));
    part(factor, z.rows + kMostRowStep);
    part(fresh, z.rows);
    part(bias, z.keys);
    part(staged, z.staged_floats);
    part(q_rows, z.rows);
    for (const void*** key_rows : {&k_rows, &v_rows})
      part(*key_rows, kMostTogether * 2 * z.keys);  // of narrow rows, with those asked for ahead
    part(segments, z.keys);
    part(seen, z.keys);
    part(keep, z.keys);
    return at;
  }
};

// The n-th panel of a worker, as a worker of its own that shares the rest.
inline Worker panel_of(Worker w, const TileSizes& z, int64_t n) {
  const int64_t row = n * z.row_step;
  w.q += row * z.q_words;
  for (RowState* of : {&w.state, &w.folded}) {
    of->m += row;
    of->l += row;
    of->out += row * z.v_dims;
  }
  w.factor += row;
  w.s += row * kScoreStride;
  w.k_rows += n * 2 * z.keys;
  w.v_rows += n * 2 * z.keys;
  w.fresh += n;
  return w;
}

inline uint64_t bytes_per_worker(const TileSizes& sizes) {
  Worker worker{};
  return worker.lay_out(nullptr, sizes);
}

}  // namespace attend::native
