// For each word of AttentionArgs and AttentionParams: what stands beside it, and a value that is
// not neutral. Operators that do not have what stands beside it refuse that, by name.
#include "tests/reliability/honest_call.h"

namespace attend::testing {
namespace {

using Call = HonestCall;

void alone(Call&) {}
void csr(Call& c) {
  if (c.paged()) c.csr();
}
void own_rows(Call& c) {
  if (c.paged()) c.own_rows();
}
void causal(Call& c) { c.params.mask.causal = true; }
// Rows that stand before the last keys, so that one row alone does not see all of them.
void early_rows(Call& c) { c.params.mask.q_start = c.ints({1, 3}); }
void blocks(Call& c) {
  early_rows(c);
  c.params.mask.block_size = 4;
}
void empty_hole(Call& c) {
  c.params.mask.hole_starts = c.ints({4, 4});
  c.params.mask.hole_ends = c.ints({4, 4});
}
void one_segment(Call& c) {
  c.params.mask.q_segment_ids =
      c.ints({2, c.rows}, std::vector<double>(static_cast<size_t>(2 * c.rows), 1));
  c.params.mask.kv_segment_ids = c.ints({2, Call::kKeys}, std::vector<double>(2 * Call::kKeys, 1));
}
void block_mask(Call& c) {
  c.params.mask.block_mask_q = c.params.mask.block_mask_k = 3;
  c.params.mask.block_mask = c.bools({Call::kHeads, 2, 3});
}
void keep_and_bias(Call& c) {
  c.params.mask.keep = c.bools({Call::kKeys});
  c.params.bias = c.noise(DType::kF32, {Call::kKeys}, 21);
  c.params.mask_with_bias = MaskWithBias::kBoth;
}
void dropout(Call& c) {
  c.params.deterministic = false;
  c.params.dropout_p = 0.5f;
  c.params.dropout_seed = 3;
}
void masked_scores(Call& c) {
  c.params.mask.window_left = 2;
  c.params.softcap = 3.0f;
  c.args.scores = c.nothing(DType::kF32, {Call::kBatch, Call::kHeads, c.rows, Call::kKeys});
}
TensorView pairs(Call& c) {
  return c.nothing(DType::kF32, {Call::kBatch, Call::kHeads, c.rows, Call::kKeys});
}
TensorView descales(Call& c) {
  return c.noise(DType::kF32, {Call::kBatch, Call::kKvHeads}, 31, 0.1);
}

// clang-format off
const WordTrial kTrials[] = {
    {"q", alone, [](Call& c) { c.args.q = c.noise(c.dtype, {2, c.rows, Call::kHeads, Call::kDim}, 11); }},
    {"k", alone, [](Call& c) { c.args.k = c.noise(c.args.k.dtype, {c.args.k.dim(0), c.args.k.dim(1), Call::kKvHeads, Call::kDim}, 12, 20); }},
    {"v", alone, [](Call& c) { c.args.v = c.noise(c.args.v.dtype, {c.args.v.dim(0), c.args.v.dim(1), Call::kKvHeads, Call::kVDim}, 13, 20); }},
    {"out", [](Call& c) { c.args.out = c.nothing(c.dtype, {2, c.rows, Call::kHeads, Call::kVDim}); },
     [](Call& c) { c.args.out = c.nothing(DType::kF32, {2, c.rows, Call::kHeads, Call::kVDim}); c.args.lse = {}; }},
    {"lse", [](Call& c) { c.args.lse = {}; }, [](Call& c) { c.args.lse = c.nothing(DType::kF32, {2, Call::kHeads, c.rows}); }},
    {"weights", alone, [](Call& c) { c.args.weights = pairs(c); }},
    {"scores", alone, [](Call& c) { c.args.scores = pairs(c); }},
    {"k_new", own_rows, [](Call& c) { c.args.k_new = c.noise(c.dtype, {Call::kBatch * c.rows, Call::kKvHeads, Call::kDim}, 14); }},
    {"v_new", own_rows, [](Call& c) { c.args.v_new = c.noise(c.dtype, {Call::kBatch * c.rows, Call::kKvHeads, Call::kVDim}, 15); }},
    {"k_descale", alone, [](Call& c) { c.args.k_descale = descales(c); }},
    {"v_descale", alone, [](Call& c) { c.args.v_descale = descales(c); }},
    {"cu_seqlens_q", alone, [](Call& c) { c.args.seq.cu_seqlens_q = c.ints({0, 3, 5}); }},
    {"cu_seqlens_k", alone, [](Call& c) { c.args.seq.seqused_k = {}; c.args.seq.cu_seqlens_k = c.ints({0, 4, 9}); }},
    {"seqused_q", alone, [](Call& c) { c.args.seq.seqused_q = c.ints({0, 1}); }},
    {"seqused_k", alone, [](Call& c) { c.args.seq.seqused_k = c.ints({7, 5}); }},
    {"block_table", alone, [](Call& c) { c.args.seq.block_table = c.ints({2, 5}, {1, 8, 2, 11, 4, 3, 7, 0, 9, 5}); }},
    {"kv_indptr", csr, [](Call& c) { c.args.seq.kv_indptr = c.ints({0, 2, 6}); }},
    {"kv_indices", csr, [](Call& c) { c.args.seq.kv_indices = c.ints({7, 3, 0, 9, 1, 5}); }},
    {"kv_last_page_len", csr, [](Call& c) { c.args.seq.kv_last_page_len = c.ints({2, 1}); }},
    {"context_lens", own_rows, [](Call& c) { c.args.seq.context_lens = c.ints({2, 0}); }},
    {"slot_mapping", own_rows, [](Call& c) { c.args.seq.slot_mapping = c.ints({12, 13, 20, -1, -1, -5, -1, -1, -1, -1}); }},
    {"start", alone, [](Call& c) { c.args.seq.start = c.ints({2, 4}); }},
    {"end", alone, [](Call& c) { c.args.seq.end = c.ints({6, 5}); }},
    {"max_seqlen_q", alone, [](Call& c) { c.args.seq.max_seqlen_q = c.rows > 1 ? c.rows - 1 : -1; }},
    {"max_seqlen_k", alone, [](Call& c) { c.args.seq.max_seqlen_k = 7; }},
    {"softmax_scale", alone, [](Call& c) { c.params.softmax_scale = 0.017f; }},
    {"softcap", alone, [](Call& c) { c.params.softcap = 0.7f; }},
    {"causal", early_rows, causal},
    {"diagonal", causal, [](Call& c) { c.params.mask.diagonal = c.op == OpId::kSdpa ? Diagonal::kBottomRight : Diagonal::kTopLeft; }},
    {"block_size", early_rows, [](Call& c) { c.params.mask.block_size = 3; }},
    {"window_left", alone, [](Call& c) { c.params.mask.window_left = 2; }},
    {"window_right", early_rows, [](Call& c) { c.params.mask.window_right = 0; }},
    {"q_start", causal, [](Call& c) { c.params.mask.q_start = c.ints({3, 1}); }},
    {"block_origin", blocks, [](Call& c) { c.params.mask.block_origin = c.ints({-1, 3}); }},
    {"prefix_lens", [](Call& c) { c.params.mask.causal = true; c.params.mask.q_start = c.ints({1, 2}); },
     [](Call& c) { c.params.mask.prefix_lens = c.ints({6, 8}); }},
    {"hole_starts", empty_hole, [](Call& c) { c.params.mask.hole_starts = c.ints({2, 1}); }},
    {"hole_ends", empty_hole, [](Call& c) { c.params.mask.hole_ends = c.ints({6, 8}); }},
    {"q_segment_ids", one_segment, [](Call& c) { c.params.mask.q_segment_ids = c.ints({2, c.rows}, std::vector<double>(static_cast<size_t>(2 * c.rows), -1)); }},
    {"kv_segment_ids", one_segment, [](Call& c) { c.params.mask.kv_segment_ids = c.ints({2, 9}, {1, 1, 2, 1, -1, 1, 3, 1, 1, 2, 2, 1, 1, 1, 1, 1, 0, 1}); }},
    {"keep", alone, [](Call& c) { c.params.mask.keep = c.bools({Call::kHeads, c.rows, Call::kKeys}); }},
    {"block_mask", [](Call& c) { block_mask(c); c.params.mask.block_mask = c.bools({Call::kHeads, 2, 3}, true); }, block_mask},
    {"block_mask_q", block_mask, [](Call& c) { c.params.mask.block_mask_q = 4; }, "block_mask"},
    {"block_mask_k", block_mask, [](Call& c) { c.params.mask.block_mask_k = 4; }, "block_mask"},
    {"bias", alone, [](Call& c) { c.params.bias = c.noise(DType::kF32, {Call::kHeads, c.rows, Call::kKeys}, 22); }},
    {"alibi_slopes", alone, [](Call& c) { c.params.alibi_slopes = c.noise(DType::kF32, {Call::kBatch, Call::kHeads}, 23); }},
    {"sinks", alone, [](Call& c) { c.params.sinks = c.noise(DType::kF32, {Call::kHeads, 2}, 24); }},
    {"mask_with_bias", keep_and_bias, [](Call& c) { c.params.mask_with_bias = MaskWithBias::kBiasOnly; }},
    {"init_bias", alone, [](Call& c) {
       static TensorView bias;
       bias = c.noise(DType::kF32, {Call::kHeads, 1, Call::kKeys}, 25);
       c.params.init_bias = {[](void* view) { return *static_cast<TensorView*>(view); }, &bias};
     }},
    {"deterministic", [](Call& c) { dropout(c); c.params.deterministic = true; }, [](Call& c) { c.params.deterministic = false; }},
    {"allow_tf32", alone, [](Call& c) { c.params.allow_tf32 = true; }, nullptr, true},
    {"dropout_p", [](Call& c) { dropout(c); c.params.dropout_p = 0.0f; }, dropout},
    {"dropout_seed", dropout, [](Call& c) { c.params.dropout_seed = 4; }, "dropout"},
    {"dropout_offset", dropout, [](Call& c) { c.params.dropout_offset = 7; }, "dropout"},
    {"scores_stage", masked_scores, [](Call& c) { c.params.scores_stage = ScoresStage::kScaled; }, "scores"},
    {"ring_transport", alone, [](Call& c) { c.params.ring_transport = reinterpret_cast<RingTransport*>(&c); }},
    {"ring_placement", alone, [](Call& c) { c.params.ring_placement = RingPlacement::kZigzag; }},
};
// clang-format on

}  // namespace

std::span<const WordTrial> word_trials() { return kTrials; }

}  // namespace attend::testing
