#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "attend/operator.h"
#include "ops/check/checker.h"

namespace attend {
namespace {

// Nothing that is given may be ignored, and append computes no score.
void refuse_scores(const AttentionArgs& a, const AttentionParams& p) {
  static constexpr std::string_view kTaken[] = {"k",         "v",         "k_new",       "v_new",
                                                "k_descale", "v_descale", "slot_mapping"};
  const auto refuse = [](const char* word) {
    throw_unsupported("append", std::string(word) +
                                    " is given, expected k, v, k_new, v_new, k_descale, v_descale "
                                    "and slot_mapping alone, as append stores rows; use paged");
  };
  for_each_tensor(a, p, [&](const char* arg, const TensorView& t, Role) {
    if (t && std::find(std::begin(kTaken), std::end(kTaken), arg) == std::end(kTaken)) refuse(arg);
  });
  const AttentionParams plain;
  const MaskSpec& m = p.mask;
  const std::pair<const char*, bool> scalars[] = {
      {"softmax_scale", p.softmax_scale.has_value()},
      {"softcap", p.softcap != plain.softcap},
      {"causal", m.causal},
      {"diagonal", m.diagonal == Diagonal::kTopLeft},
      {"block_size", m.block_size != 0},
      {"window_left", m.window_left != -1},
      {"window_right", m.window_right != -1},
      {"block_mask_q", m.block_mask_q != 0},
      {"block_mask_k", m.block_mask_k != 0},
      {"mask_with_bias", p.mask_with_bias != MaskWithBias::kUnset},
      {"dropout_p", p.dropout_p != 0.0f},
      {"dropout_seed", p.dropout_seed.has_value()},
      {"dropout_offset", p.dropout_offset != 0},
      {"scores_stage", p.scores_stage != plain.scores_stage},
      {"ring_transport", p.ring_transport != nullptr},
      {"ring_placement", p.ring_placement != plain.ring_placement},
      {"max_seqlen_q", a.seq.max_seqlen_q != 0},
      {"max_seqlen_k", a.seq.max_seqlen_k != 0},
  };
  for (const auto& [word, given] : scalars)
    if (given) refuse(word);
}

void check_cache(const Checker& c, const char* arg, const TensorView& cache, const char* shape) {
  c.rank(arg, cache, 4, shape);
  c.dtype(arg, cache,
          {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI8});
  if (cache.dim(1) < 1)
    throw_invalid(c.where(), std::string(arg) + " page_size is 0, expected 1 or more");
}

void check_rows(const Checker& c, const char* arg, const TensorView& rows, const TensorView& cache,
                const char* heads, const char* dim) {
  c.rank(arg, rows, 3, "[tokens, kv_heads, dim]");
  c.dtype(arg, rows, {DType::kF32, DType::kF16, DType::kBF16});
  c.dim(arg, rows, 1, cache.dim(2), heads);
  c.dim(arg, rows, 2, cache.dim(3), dim);
}

}  // namespace

void AppendKv::check(const AttentionArgs& a, const AttentionParams& p) const {
  const Checker c("append");
  refuse_scores(a, p);
  c.given("k", a.k, "a tensor");
  c.given("v", a.v, "a tensor");
  c.given("k_new", a.k_new, "a tensor");
  c.given("v_new", a.v_new, "a tensor");
  c.given("slot_mapping", a.seq.slot_mapping, "a tensor");
  check_cache(c, "k", a.k, "[pages, page_size, kv_heads, head_dim]");
  check_cache(c, "v", a.v, "[pages, page_size, kv_heads, v_dim]");
  c.dim("v", a.v, 0, a.k.dim(0), "pages of k");
  c.dim("v", a.v, 1, a.k.dim(1), "page_size of k");
  c.dim("v", a.v, 2, a.k.dim(2), "kv_heads of k");
  check_rows(c, "k_new", a.k_new, a.k, "kv_heads of k", "head_dim of k");
  check_rows(c, "v_new", a.v_new, a.v, "kv_heads of v", "v_dim of v");
  c.dim("v_new", a.v_new, 0, a.k_new.dim(0), "tokens of k_new");
  c.rank("slot_mapping", a.seq.slot_mapping, 1, "[tokens]");
  c.dtype("slot_mapping", a.seq.slot_mapping, {DType::kI32, DType::kI64});
  c.dim("slot_mapping", a.seq.slot_mapping, 0, a.k_new.dim(0), "tokens of k_new");
  // Without requests a [batch, kv_heads] descale has one row.
  check_descale(c, "k_descale", a.k_descale, a.k, 1);
  check_descale(c, "v_descale", a.v_descale, a.v, 1);
}

}  // namespace attend
