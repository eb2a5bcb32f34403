#pragma once
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"
#include "ops/common/layout.h"

namespace attend::gpu {

// The words that decide pair by pair: keep, segments, block masks; and bias. One lane asks for the
// pairs of the rows it holds.
struct KeyWords {
  BroadcastView keep, bias, blocks;
  int64_t block_q = 1, block_k = 1;
  IndexVector q_ids, kv_ids;  // of one sequence

  KeyWords() = default;
  ATTEND_DEVICE KeyWords(const AttentionParams& p, const Sequence& s)
      : keep(p.mask.keep), bias(p.bias), blocks(p.mask.block_mask) {
    if (blocks) {
      block_q = p.mask.block_mask_q;
      block_k = p.mask.block_mask_k;
    }
    if (!p.mask.q_segment_ids) return;
    q_ids = ids_of(p.mask.q_segment_ids, s.b, s.q_first);
    kv_ids = ids_of(p.mask.kv_segment_ids, s.b, s.k_first);
  }

  // Whether there are any that select pairs; whether any can hide a key, which -inf in a bias does.
  ATTEND_DEVICE bool select() const { return keep || blocks || q_ids; }
  ATTEND_DEVICE bool hide() const { return select() || bias; }

  // Those of one row.
  struct Row {
    const std::byte *keep = nullptr, *bias = nullptr, *blocks = nullptr;
    int64_t id = 0;
  };
  ATTEND_DEVICE Row row(int64_t b, int64_t head, int64_t i) const {
    Row r;
    if (keep) r.keep = keep.at(b, head, i);
    if (bias) r.bias = bias.at(b, head, i);
    if (blocks) r.blocks = blocks.at(b, head, i / block_q);
    if (q_ids) r.id = index_at(q_ids, i);
    return r;
  }
  ATTEND_DEVICE bool keeps(const Row& r, int64_t j) const {
    if (r.keep != nullptr && r.keep[j * keep.j] == std::byte{0}) return false;
    if (r.blocks != nullptr && r.blocks[j / block_k * blocks.j] == std::byte{0}) return false;
    return !q_ids || (r.id >= 0 && index_at(kv_ids, j) == r.id);
  }
  ATTEND_DEVICE float bias_of(const Row& r, int64_t j) const {
    return r.bias == nullptr ? 0.0f
                             : load(r.bias + j * bias.j * size_bytes(bias.dtype), bias.dtype);
  }
};

}  // namespace attend::gpu
