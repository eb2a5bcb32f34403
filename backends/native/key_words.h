#pragma once
#include <algorithm>
#include <cstring>

#include "attend/kernel.h"
#include "backends/native/convert.h"
#include "backends/native/tile_worker.h"
#include "ops/common/layout.h"

namespace attend::native {

// The words that decide key by key: bias, keep, segments and block masks. For one row and the keys of one tile
// they become contiguous vectors, read again only when a row's own differ from the last row's: a
// mask over keys alone is read once a tile, and one over (row, key) once for all heads that stand
// at one position.
class KeyWords {
 public:
  explicit KeyWords(const AttentionParams& p)
      : keep_(p.mask.keep),
        bias_(p.bias),
        blocks_(p.mask.block_mask),
        block_q_(p.mask.block_mask_q),
        block_k_(p.mask.block_mask_k),
        q_ids_(p.mask.q_segment_ids),
        kv_ids_(p.mask.kv_segment_ids) {}

  // Begins the tile of keys [j0, j0 + keys), padded to `padded`.
  void start_tile(const Worker& w, const Sequence& s, int64_t j0, int32_t keys, int32_t padded) {
    j0_ = j0;
    keys_ = keys;
    padded_ = padded;
    last_bias_ = nullptr;
    loaded_keep_ = false;
    if (!kv_ids_) return;
    const IndexVector ids = ids_of(kv_ids_, s.b, s.k_first);
    for (int32_t j = 0; j < keys; ++j) w.segments[j] = index_at(ids, j0 + j);
  }

  // Fills in what row (head, i) has.
  void load_row(const Worker& w, const Sequence& s, int64_t head, int64_t i, TileRow& row) {
    if (bias_) {
      load_bias(w, bias_.at(s.b, head, i));
      row.bias = w.bias;
    }
    if (!keep_ && !q_ids_ && !blocks_) return;
    Hiding hiding;
    if (keep_) hiding.keep = keep_.at(s.b, head, i);
    if (blocks_) hiding.blocks = blocks_.at(s.b, head, i / block_q_);
    if (q_ids_) hiding.id = index_at(ids_of(q_ids_, s.b, s.q_first), i);
    load_keep(w, hiding);
    row.keep = w.keep;
  }

 private:
  // What a row has that hides keys one by one.
  struct Hiding {
    const std::byte *keep = nullptr, *blocks = nullptr;  // rows of the masks
    int64_t id = -1;  // of its segment; negative is padding, which sees nothing
    friend bool operator==(const Hiding&, const Hiding&) = default;
  };

  void load_bias(const Worker& w, const std::byte* row) {
    if (row == last_bias_) return;
    last_bias_ = row;
    const int64_t size = size_bytes(bias_.dtype), step = bias_.j * size;
    const std::byte* from = row + j0_ * step;
    if (bias_.j == 1 && bias_.dtype == DType::kF32) {
      std::memcpy(w.bias, from, static_cast<size_t>(keys_) * sizeof(float));
    } else {
      for (int32_t j = 0; j < keys_; ++j) w.bias[j] = load(from + j * step, bias_.dtype);
    }
    std::fill(w.bias + keys_, w.bias + padded_, 0.0f);
  }

  void load_keep(const Worker& w, const Hiding& row) {
    if (loaded_keep_ && row == last_) return;
    loaded_keep_ = true;
    last_ = row;
    if (row.keep == nullptr) {
      std::fill_n(w.keep, keys_, uint8_t{1});
    } else if (keep_.j == 1) {
      std::memcpy(w.keep, row.keep + j0_, static_cast<size_t>(keys_));
    } else {
      for (int32_t j = 0; j < keys_; ++j)
        w.keep[j] = static_cast<uint8_t>(row.keep[(j0_ + j) * keep_.j]);
    }
    if (row.blocks != nullptr)
      for (int32_t j = 0; j < keys_; ++j)
        if (row.blocks[(j0_ + j) / block_k_ * blocks_.j] == std::byte{0}) w.keep[j] = 0;
    if (q_ids_)
      for (int32_t j = 0; j < keys_; ++j)
        w.keep[j] = static_cast<uint8_t>(w.keep[j] != 0 && row.id >= 0 && w.segments[j] == row.id);
    std::fill(w.keep + keys_, w.keep + padded_, uint8_t{0});
  }

  BroadcastView keep_, bias_, blocks_;
  int64_t block_q_, block_k_;
  TensorView q_ids_, kv_ids_;
  int64_t j0_ = 0;
  int32_t keys_ = 0, padded_ = 0;
  const std::byte* last_bias_ = nullptr;
  Hiding last_;
  bool loaded_keep_ = false;
};

}  // namespace attend::native
