#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/native/convert.h"
#include "ops/common/layout.h"

namespace attend::native {

// What the words of a call do to the scores of one task of sdpa/native/onednn, between its two
// products: bias added, hidden keys replaced by -inf (contract 2, steps 3 and 4). Hidden scores may
// be NaN or infinite; nothing of them is left.
class ScoreWords {
 public:
  // The query heads [head, head + heads), the rows [row, row + rows), the keys [0, keys).
  struct Block {
    int64_t head = 0, heads = 0, row = 0, rows = 0, keys = 0;
  };

  ScoreWords(const AttentionParams& p, const Sequence& s, const Block& block, std::byte* memory)
      : keep_(p.mask.keep), bias_(p.bias), s_(s), block_(block) {
    keys_bias_ = reinterpret_cast<float*>(memory);
    visible_ = reinterpret_cast<uint8_t*>(keys_bias_ + block.keys);
    seen_ = visible_ + block.keys;
    empty_ = seen_ + block.keys;
  }
  static uint64_t bytes(const Block& block) {
    return static_cast<uint64_t>(6 * block.keys + block.heads * block.rows);
  }

  // scores: [heads, rows, keys]
  void apply(float* scores) {
    std::fill_n(seen_, block_.keys, uint8_t{0});
    for (int64_t h = 0; h < block_.heads; ++h)
      for (int64_t r = 0; r < block_.rows; ++r) {
        const int64_t n = h * block_.rows + r;
        float* row = scores + n * block_.keys;
        empty_[n] = !apply_row(row, block_.head + h, block_.row + r);
        // A softmax of nothing would be NaN. Whatever comes of zeros is thrown away.
        if (empty_[n]) std::fill_n(row, block_.keys, 0.0f);
      }
  }

  // After apply: whether some row of the block sees a key, and whether row r of a head sees none.
  bool seen(int64_t key) const { return seen_[key] != 0; }
  bool empty(int64_t head, int64_t r) const { return empty_[head * block_.rows + r] != 0; }

 private:
  // False if the row sees no key.
  bool apply_row(float* scores, int64_t head, int64_t i) {
    const KeyRange range = s_.mask.keys(i);
    const int64_t begin = std::clamp<int64_t>(range.begin, 0, block_.keys),
                  end = std::clamp<int64_t>(range.end, begin, block_.keys);
    std::fill(scores, scores + begin, -INFINITY);
    std::fill(scores + end, scores + block_.keys, -INFINITY);
    if (!keep_ && !bias_) {
      std::fill(seen_ + begin, seen_ + end, uint8_t{1});
      return begin < end;
    }
    load(head, i);
    uint8_t any = 0;
    for (int64_t j = begin; j < end; ++j) {
      scores[j] = visible_[j] != 0 ? scores[j] + keys_bias_[j] : -INFINITY;
      seen_[j] |= visible_[j];
      any |= visible_[j];
    }
    return any != 0;
  }

  // The words of one row as vectors over keys; rows that share them load them once.
  void load(int64_t head, int64_t i) {
    const std::byte* keep = keep_ ? keep_.at(s_.b, head, i) : nullptr;
    const std::byte* bias = bias_ ? bias_.at(s_.b, head, i) : nullptr;
    if (loaded_ && keep == last_keep_ && bias == last_bias_) return;
    loaded_ = true;
    last_keep_ = keep;
    last_bias_ = bias;
    for (int64_t j = 0; j < block_.keys; ++j)
      visible_[j] = keep == nullptr || keep[j * keep_.j] != std::byte{0};
    if (bias == nullptr) return std::fill_n(keys_bias_, block_.keys, 0.0f), void();
    const int64_t step = bias_.j * size_bytes(bias_.dtype);
    for (int64_t j = 0; j < block_.keys; ++j) {
      keys_bias_[j] = attend::load(bias + j * step, bias_.dtype);
      visible_[j] &= static_cast<uint8_t>(keys_bias_[j] != -INFINITY);
    }
  }

  const BroadcastView keep_, bias_;
  const Sequence& s_;
  const Block block_;
  float* keys_bias_;  // of the last row that was loaded
  uint8_t *visible_, *seen_, *empty_;
  const std::byte *last_keep_ = nullptr, *last_bias_ = nullptr;
  bool loaded_ = false;
};

}  // namespace attend::native
