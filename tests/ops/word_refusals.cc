// Refusals of scalars, and of words that need or exclude one another or belong to another operator.
#include <cmath>

#include "tests/ops/refusal.h"

namespace attend::testing {
namespace {

const Refusal kRefusals[] = {
    // clang-format off
    {"WindowLeft", kAny, false, [](RefusedCall& c) { c.params.mask.window_left = -2; }, ErrorCode::kInvalidArgument,
     "window_left is -2, expected -1 (unlimited) or more"},
    {"WindowRight", kAny, false, [](RefusedCall& c) { c.params.mask.window_right = -7; }, ErrorCode::kInvalidArgument,
     "window_right is -7, expected -1 (unlimited) or more"},
    {"BlockSize", kAny, false, [](RefusedCall& c) { c.params.mask.block_size = -1; }, ErrorCode::kInvalidArgument,
     "block_size is -1, expected 0 (off) or more"},
    {"CausalWithBlockSize", kAny, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.block_size = 4; }, ErrorCode::kInvalidArgument,
     "causal is set and block_size is 4, expected one of the two; block_size alone is block-causal"},
    {"BlockOriginAlone", kAny, false, [](RefusedCall& c) { c.params.mask.block_origin = c.indices({0, 0}); }, ErrorCode::kInvalidArgument,
     "block_origin is given, expected it only with block-causal; set block_size and not causal"},
    {"PrefixAlone", kAny, false, [](RefusedCall& c) { c.params.mask.prefix_lens = c.indices({1, 1}); }, ErrorCode::kInvalidArgument,
     "prefix_lens is given, expected causal or block_size with it, whose rule it replaces"},
    {"HoleWithoutEnd", kAny, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}); }, ErrorCode::kInvalidArgument,
     "hole_ends is absent, expected it with hole_starts"},
    {"HoleWithoutStart", kAny, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({1, 1}); }, ErrorCode::kInvalidArgument,
     "hole_starts is absent, expected it with hole_ends"},
    {"SegmentsWithoutKeys", kAny, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}); }, ErrorCode::kInvalidArgument,
     "kv_segment_ids is absent, expected it with q_segment_ids"},
    {"SegmentsWithoutRows", kAny, false, [](RefusedCall& c) { c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}); }, ErrorCode::kInvalidArgument,
     "q_segment_ids is absent, expected it with kv_segment_ids"},
    {"ScaleInfinite", kAny, false, [](RefusedCall& c) { c.params.softmax_scale = INFINITY; }, ErrorCode::kInvalidArgument,
     "softmax_scale is inf, expected a finite number"},
    {"ScaleNaN", kAny, false, [](RefusedCall& c) { c.params.softmax_scale = NAN; }, ErrorCode::kInvalidArgument,
     "softmax_scale is nan, expected a finite number"},
    {"SoftcapNegative", kAny, false, [](RefusedCall& c) { c.params.softcap = -2.5f; }, ErrorCode::kInvalidArgument,
     "softcap is -2.5, expected 0 (off) or a positive finite number"},
    {"SoftcapNaN", kAny, false, [](RefusedCall& c) { c.params.softcap = NAN; }, ErrorCode::kInvalidArgument,
     "softcap is nan, expected 0 (off) or a positive finite number"},
    {"MaskWithBiasUnset", kAny & ~kSdpa, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {5}), c.params.bias = c.values(DType::kF32, {5}); }, ErrorCode::kInvalidArgument,
     "keep and bias are both given and mask_with_bias is unset, expected both or bias_only"},
    {"DropoutOne", kAny, false, [](RefusedCall& c) { c.params.dropout_p = 1, c.params.deterministic = false, c.params.dropout_seed = 1; }, ErrorCode::kInvalidArgument,
     "dropout_p is 1, expected 0 <= p < 1"},
    {"DropoutNegative", kAny, false, [](RefusedCall& c) { c.params.dropout_p = -0.5f, c.params.deterministic = false, c.params.dropout_seed = 1; }, ErrorCode::kInvalidArgument,
     "dropout_p is -0.5, expected 0 <= p < 1"},
    {"DropoutWithoutSeed", kAny, false, [](RefusedCall& c) { c.params.dropout_p = 0.5f, c.params.deterministic = false; }, ErrorCode::kInvalidArgument,
     "dropout_seed is absent, expected it with dropout_p > 0 and deterministic off"},
    {"NoWorkers", kAny, false, [](RefusedCall& c) { c.context.parallel_for.run = [](void*, int64_t, void (*)(void*, int64_t, int32_t), void*) {}; }, ErrorCode::kInvalidArgument,
     "parallel_for workers is 0, expected 1 or more"},
    {"HalfAnAllocator", kAny, false, [](RefusedCall& c) { c.context.allocator.deallocate = [](void*, Device, void*, uint64_t, void*) {}; }, ErrorCode::kInvalidArgument,
     "allocator has one of its two functions, expected both or neither"},
    {"WordOfOthers_k_new", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.k_new = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "k_new is given, expected it only with paged or append; use that operator"},
    {"WordOfOthers_v_new", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.v_new = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "v_new is given, expected it only with paged or append; use that operator"},
    {"WordOfOthers_k_descale", kPlain, false, [](RefusedCall& c) { c.args.k_descale = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "k_descale is given, expected it only with paged or decode; use that operator"},
    {"WordOfOthers_v_descale", kPlain, false, [](RefusedCall& c) { c.args.v_descale = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "v_descale is given, expected it only with paged or decode; use that operator"},
    {"WordOfOthers_block_table", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.seq.block_table = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "block_table is given, expected it only with paged; use that operator"},
    {"WordOfOthers_kv_indptr", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.seq.kv_indptr = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "kv_indptr is given, expected it only with paged; use that operator"},
    {"WordOfOthers_kv_indices", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.seq.kv_indices = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "kv_indices is given, expected it only with paged; use that operator"},
    {"WordOfOthers_kv_last_page_len", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.seq.kv_last_page_len = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "kv_last_page_len is given, expected it only with paged; use that operator"},
    {"WordOfOthers_context_lens", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.seq.context_lens = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "context_lens is given, expected it only with paged; use that operator"},
    {"WordOfOthers_slot_mapping", kAny & ~kPaged, false, [](RefusedCall& c) { c.args.seq.slot_mapping = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "slot_mapping is given, expected it only with paged or append; use that operator"},
    {"WordOfOthers_start", kAny & ~kDecode, false, [](RefusedCall& c) { c.args.seq.start = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "start is given, expected it only with decode; use that operator"},
    {"WordOfOthers_end", kAny & ~kDecode, false, [](RefusedCall& c) { c.args.seq.end = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "end is given, expected it only with decode; use that operator"},
    {"WordOfOthers_block_mask", kAny & ~kSplash, false, [](RefusedCall& c) { c.params.mask.block_mask = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "block_mask is given, expected it only with splash; use that operator"},
    {"WordOfOthers_ring", kAny & ~kRing, false, [](RefusedCall& c) { c.params.ring_transport = reinterpret_cast<RingTransport*>(&c); }, ErrorCode::kUnsupported,
     "ring_transport is given, expected it only with ring; use that operator"},
    {"NoWeights", kAny & ~kVanilla, false, [](RefusedCall& c) { c.args.weights = c.weights; }, ErrorCode::kUnsupported,
     "weights are asked for, expected none, as % never materialises them; use vanilla"},
    {"NoScores", kAny & ~kVanilla, false, [](RefusedCall& c) { c.args.scores = c.scores; }, ErrorCode::kUnsupported,
     "scores are asked for, expected none, as % never materialises them; use vanilla"},
    {"NoDropout", kAny & ~(kVanilla | kRing), false, [](RefusedCall& c) { c.params.dropout_p = 0.5f, c.params.deterministic = false, c.params.dropout_seed = 1; }, ErrorCode::kUnsupported,
     "dropout_p is set and deterministic is off, expected no dropout; use vanilla or ring"},
    // clang-format on
};

}  // namespace

std::span<const Refusal> word_refusals() { return kRefusals; }

}  // namespace attend::testing
