#pragma once
#include <cstddef>
#include <cstdint>

// What flash needs from an instruction set: operations on one tile of rows x keys, as plain
// functions. The loop over tiles, the mask and everything that is not arithmetic stay in flash.cc,
// which is built with baseline flags, so that no inline function of a shared header is compiled
// here and kept by the linker for everyone.
namespace attend::native {

// Element types at this boundary (attend::DType is not included here).
enum class Elem : uint8_t { kF32, kF16, kBF16, kF8E4M3, kF8E5M2, kI8 };

// Rows of q, k or v: row i begins at rows[i], elements `step` apart, each to be multiplied by
// `scale`. A null row is zeros.
struct RowPointers {
  const void* const* rows;
  int64_t step;
  Elem elem;
  float scale = 1.0f;  // 1 where packed words hold pairs
};

// One tile of keys, and what its panels have in common.
//   k       packed: [group of key_step keys][word of head_dim][key]
//   v       packed: [group of dim_step dims][word of keys][dim]
// A word is 32 bits: one f32, or a pair of bf16 that a dot-product instruction takes at once.
inline constexpr int kMaxKeys = 256;                // keys of one tile, at most
inline constexpr int kScoreStride = kMaxKeys + 16;  // no power of two: rows share no cache set
inline constexpr int kNarrowRows = 8;  // up to which reading K and V in place wins over packing

inline constexpr int kMostRowStep = 32;

struct Tile {
  const float* k;
  const float* v;
  int32_t head_words;    // head_dim in words, in whole word_steps
  int32_t q_words;       // the same in whole vectors, as rows of q are apart
  int32_t keys;          // keys packed in k and v, whole groups of key_step
  int32_t v_dims;        // v_dim rounded up to dim_step
  float scale, softcap;  // softcap 0 = off
  bool exact;   // weights as exact as f32 lets them be, though they are rounded to bf16: for lse
  bool scaled;  // whether prepare() takes every row through steps 1 to 4 of AttentionParams
};

// Up to row_step rows against one tile.
//   q       [row][word of head_dim], rows q_words apart, zeros beyond head_dim
//   s       scores, then weights: row r at s + r * kScoreStride
//   out     accumulators: row r at out + r * v_dims
struct Panel {
  const float* q;
  float* s;
  float* out;
  float *m, *l, *factor;  // per row: largest score, sum of weights, factor of this tile's rescale;
                          // a vector may be read from the last
  int32_t rows;
  int32_t first_key, last_key;  // the keys that some row may see: [first, last)
  int32_t key_begin, key_end;   // the same in whole groups of key_step, as scores are made
  bool fresh;                   // out holds nothing yet
  bool topped;  // scores() has left the largest scores, and prepare() has not changed them since
};

// What one row needs beyond scale and softcap. Keys count from the tile's first.
struct TileRow {
  int32_t begin, end;            // visible keys
  int32_t hole_begin, hole_end;  // and hidden among them
  float slope, position;         // alibi: s -= slope * |position - key|
  const float* bias;             // [keys] or null
  const uint8_t* keep;           // [keys] or null
  int32_t* seen;                 // [keys] or null: set to nonzero where this row sees the key
};

// Keys whose scores of narrow rows fill a register tile: a vector of so many rows x keys.
constexpr int32_t narrow_keys(int32_t lanes, int32_t rows) {
  const int32_t block = lanes >= 16 ? 4 : lanes >= 8 ? 2 : 1;  // rows are taken in blocks of it
  int32_t least = block;
  while (rows % least != 0) least /= 2;
  return lanes / least;
}

// Where a row goes: elements `step` apart. next: a row that is written soon, or null.
struct OutRow {
  void* row;
  int64_t step;
  Elem elem;
  void* next;
};

struct TileOps {
  int32_t row_step;     // rows of a register tile
  int32_t key_step;     // keys of a packed group
  int32_t dim_step;     // value dims of a packed group
  int32_t word_values;  // values per word: 1, or 2 for bf16 pairs
  int32_t lanes;        // words of a vector
  int32_t word_step;    // words of head_dim in k are a multiple of it

  // Rows as they stand, in whole vectors; beyond the last dim are zeros.
  void (*pack_q)(const RowPointers& from, int32_t rows, int32_t dim, float* to);
  void (*pack_k)(const RowPointers& from, int32_t keys, int32_t dim, float* to);
  // Keys with seen[key] == 0 become zeros, so that what stands there reaches nobody; seen may be
  // null.
  void (*pack_v)(const RowPointers& from, int32_t keys, int32_t dim, const int32_t* seen,
                 float* to);
  // And, if `before` is given, the softmax of that panel of the tile meanwhile.
  void (*scores)(const Tile& tile, const Panel& panel, const Panel* before);
  bool leaves_tops;  // whether scores() leaves each row's largest ones for softmax (Panel::topped)
  // Row r's words on its scores: wanted where tile.scaled, or where the row does not see every key
  // of its panel.
  void (*prepare)(const Tile& tile, const Panel& panel, int32_t r, const TileRow& row);
  void (*softmax)(const Tile& tile, const Panel& panel);  // scores to weights
  void (*accumulate)(const Tile& tile, const Panel& panel);

  // A panel of at most kNarrowRows rows: K and V are read where they lie. Rows of k and v have
  // adjacent elements (step 1), and there is an address for each key of the panel, which has whole
  // groups of narrow_keys().
  void (*scores_narrow)(const Tile& tile, const Panel& panel, const RowPointers& k, int32_t dim);
  void (*accumulate_narrow)(const Tile& tile, const Panel& panel, const RowPointers& v,
                            int32_t dim);

  void (*store)(const float* from, float scale, int32_t dim, const OutRow& to);
};

// scores_narrow and accumulate_narrow of rows in bf16 pairs over caches of bytes.
struct ByteOps {
  void (*scores)(const Tile& tile, const Panel& panel, const RowPointers& k, int32_t dim);
  void (*accumulate)(const Tile& tile, const Panel& panel, const RowPointers& v, int32_t dim);
};

extern const TileOps kPortableOps;
#if defined(__x86_64__)
extern const ByteOps kByteOps;
extern const TileOps kAvx2Ops, kAvx512Ops, kAvx512Bf16Ops, kAmxBf16Ops;
#endif

}  // namespace attend::native
