// Refusals of what index tensors hold.
#include "tests/ops/refusal.h"

namespace attend::testing {
namespace {

const Refusal kRefusals[] = {
    // clang-format off
    {"CuQStart", kPlain, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.indices({1, 3, 6}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q[0] is 1, expected 0", true},
    {"CuQFalls", kPlain, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.indices({0, 5, 4}, DType::kI64); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q[2] is 4, expected at least 5, the value before it", true},
    {"CuQBeyond", kPlain, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.indices({0, 3, 11}); }, ErrorCode::kOutOfRange,
     "cu_seqlens_q[2] is 11, expected at most 6, the rows there are"},
    {"CuQOverMax", kPlain, true, [](RefusedCall& c) { c.args.seq.max_seqlen_q = 2; }, ErrorCode::kOutOfRange,
     "length 3 of sequence 0 in cu_seqlens_q is over the bound, expected at most max_seqlen 2"},
    {"MaxQBelowSeqlen", kPlain, false, [](RefusedCall& c) { c.args.seq.max_seqlen_q = 1; }, ErrorCode::kOutOfRange,
     "max_seqlen_q is 1, expected at least seqlen 3"},
    {"SequsedQNegative", kAny & ~kDecode, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({1, -1}); }, ErrorCode::kOutOfRange,
     "seqused_q[1] is -1, expected 0 to 3, the rows of its sequence"},
    {"SequsedQBeyond", kPlain, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({9, 1}, DType::kI64); }, ErrorCode::kOutOfRange,
     "seqused_q[0] is 9, expected 0 to 3, the rows of its sequence"},
    {"SequsedQBeyondRagged", kPlain, true, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({1, 8}); }, ErrorCode::kOutOfRange,
     "seqused_q[1] is 8, expected 0 to 3, the rows of its sequence"},
    {"CuKStart", kPlain, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({1, 3, 10}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_k[0] is 1, expected 0", true},
    {"CuKFalls", kPlain, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({0, 5, 4}, DType::kI64); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_k[2] is 4, expected at least 5, the value before it", true},
    {"CuKBeyond", kPlain, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({0, 3, 11}); }, ErrorCode::kOutOfRange,
     "cu_seqlens_k[2] is 11, expected at most 10, the rows there are"},
    {"CuKOverMax", kPlain, true, [](RefusedCall& c) { c.args.seq.max_seqlen_k = 2; }, ErrorCode::kOutOfRange,
     "length 5 of sequence 0 in cu_seqlens_k is over the bound, expected at most max_seqlen 2"},
    {"MaxKBelowSeqlen", kPlain, false, [](RefusedCall& c) { c.args.seq.max_seqlen_k = 1; }, ErrorCode::kOutOfRange,
     "max_seqlen_k is 1, expected at least seqlen 5"},
    {"SequsedKNegative", kPlain, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({1, -1}); }, ErrorCode::kOutOfRange,
     "seqused_k[1] is -1, expected 0 to 5, the rows of its sequence"},
    {"SequsedKBeyond", kPlain, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({9, 1}, DType::kI64); }, ErrorCode::kOutOfRange,
     "seqused_k[0] is 9, expected 0 to 5, the rows of its sequence"},
    {"SequsedKBeyondRagged", kPlain, true, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({1, 8}); }, ErrorCode::kOutOfRange,
     "seqused_k[1] is 8, expected 0 to 5, the rows of its sequence"},
    {"Far_q_start", kAny, false, [](RefusedCall& c) { c.params.mask.q_start = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "q_start[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_block_origin", kAny, false, [](RefusedCall& c) { c.params.mask.block_size = 2, c.params.mask.block_origin = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "block_origin[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_prefix_lens", kAny, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.prefix_lens = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "prefix_lens[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_hole_starts", kAny, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({2, 2}), c.params.mask.hole_starts = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "hole_starts[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_hole_ends", kAny, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}), c.params.mask.hole_ends = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "hole_ends[1] is -1000000000000000, expected a position within 2^48"},
    // clang-format on
};

}  // namespace

std::span<const Refusal> index_refusals() { return kRefusals; }

}  // namespace attend::testing
