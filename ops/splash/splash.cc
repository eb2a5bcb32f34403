#include <string>

#include "attend/operator.h"
#include "ops/check/checker.h"
#include "ops/checks.h"

namespace attend {
namespace {

void check_block_mask(const AttentionArgs& a, const MaskSpec& m) {
  const Checker c("splash");
  if (!m.block_mask) {
    if (m.block_mask_q != 0 || m.block_mask_k != 0)
      throw_invalid("splash",
                    "block_mask is absent, expected it with block_mask_q and block_mask_k");
    return;
  }
  const auto positive = [](const char* word, int32_t size) {
    if (size < 1)
      throw_invalid("splash", std::string(word) + " is " + std::to_string(size) +
                                  ", expected 1 or more with block_mask");
  };
  positive("block_mask_q", m.block_mask_q);
  positive("block_mask_k", m.block_mask_k);
  c.dtype("block_mask", m.block_mask, {DType::kBool});
  const MaxLengths longest = max_lengths(a);
  const int64_t batch = a.seq.cu_seqlens_q ? a.seq.cu_seqlens_q.dim(0) - 1 : a.q.dim(0);
  const auto tiles = [](int64_t length, int32_t size) {  // of any length: it is not yet checked
    return length / size + (length % size != 0 ? 1 : 0);
  };
  int64_t full[4] = {batch, a.q.dim(-2), tiles(longest.q, m.block_mask_q),
                     tiles(longest.k, m.block_mask_k)};
  // Lengths that stand in a device's memory are not read: the mask tells how many tiles there are.
  if (a.q.device.type != DeviceType::kNative) {
    if (longest.q == 0 && m.block_mask.rank >= 2) full[2] = m.block_mask.dim(-2);
    if (longest.k == 0 && m.block_mask.rank >= 1) full[3] = m.block_mask.dim(-1);
  }
  c.broadcast("block_mask", m.block_mask, full, {"batch", "heads", "q_tiles", "k_tiles"});
}

}  // namespace

void SplashAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("splash", a, p, {"block_mask"});
  check_shapes("splash", a, p);
  check_dims("splash", a, false);
  refuse_materialised("splash", a, p);
  check_block_mask(a, p.mask);
}

AttentionOp::Fallback SplashAttention::falls_back(const AttentionArgs& a,
                                                  const AttentionParams& p) const {
  if (max_lengths(a).q == 1)
    return {OpId::kVanilla, "splash: one query row has no tiles to skip; vanilla ran"};
  const MaskSpec& m = p.mask;
  const bool sparse = m.window_left >= 0 || m.window_right >= 0 || m.hole_starts ||
                      m.q_segment_ids || m.keep || m.block_mask;
  if (!m.causal && m.block_size == 0 && !sparse)
    return {OpId::kVanilla, "splash: the call is neither causal nor sparse; vanilla ran"};
  return {OpId::kSplash, ""};
}

}  // namespace attend
