// One test for each refusal of ops/: its code, its whole text, and that not a byte of any output is
// written.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/ops/refused_call.h"

namespace attend::testing {
namespace {

enum Ops { kBoth, kVanillaOnly, kFlashOnly };

struct Refusal {
  const char* name;
  Ops ops;
  bool ragged;
  void (*spoil)(RefusedCall&);
  ErrorCode code;
  const char* text;  // after "<operator>: "
};

const Refusal kRefusals[] = {
    // clang-format off
    {"WindowLeft", kBoth, false, [](RefusedCall& c) { c.params.mask.window_left = -2; }, ErrorCode::kInvalidArgument,
     "window_left is -2, expected -1 (unlimited) or more"},
    {"WindowRight", kBoth, false, [](RefusedCall& c) { c.params.mask.window_right = -7; }, ErrorCode::kInvalidArgument,
     "window_right is -7, expected -1 (unlimited) or more"},
    {"BlockSize", kBoth, false, [](RefusedCall& c) { c.params.mask.block_size = -1; }, ErrorCode::kInvalidArgument,
     "block_size is -1, expected 0 (off) or more"},
    {"CausalWithBlockSize", kBoth, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.block_size = 4; }, ErrorCode::kInvalidArgument,
     "causal is set and block_size is 4, expected one of the two; block_size alone is block-causal"},
    {"BlockOriginAlone", kBoth, false, [](RefusedCall& c) { c.params.mask.block_origin = c.indices({0, 0}); }, ErrorCode::kInvalidArgument,
     "block_origin is given, expected it only with block-causal; set block_size and not causal"},
    {"PrefixAlone", kBoth, false, [](RefusedCall& c) { c.params.mask.prefix_lens = c.indices({1, 1}); }, ErrorCode::kInvalidArgument,
     "prefix_lens is given, expected causal or block_size with it, whose rule it replaces"},
    {"HoleWithoutEnd", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}); }, ErrorCode::kInvalidArgument,
     "hole_ends is absent, expected it with hole_starts"},
    {"HoleWithoutStart", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({1, 1}); }, ErrorCode::kInvalidArgument,
     "hole_starts is absent, expected it with hole_ends"},
    {"SegmentsWithoutKeys", kBoth, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}); }, ErrorCode::kInvalidArgument,
     "kv_segment_ids is absent, expected it with q_segment_ids"},
    {"SegmentsWithoutRows", kBoth, false, [](RefusedCall& c) { c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}); }, ErrorCode::kInvalidArgument,
     "q_segment_ids is absent, expected it with kv_segment_ids"},
    {"ScaleInfinite", kBoth, false, [](RefusedCall& c) { c.params.softmax_scale = INFINITY; }, ErrorCode::kInvalidArgument,
     "softmax_scale is inf, expected a finite number"},
    {"ScaleNaN", kBoth, false, [](RefusedCall& c) { c.params.softmax_scale = NAN; }, ErrorCode::kInvalidArgument,
     "softmax_scale is nan, expected a finite number"},
    {"SoftcapNegative", kBoth, false, [](RefusedCall& c) { c.params.softcap = -2.5f; }, ErrorCode::kInvalidArgument,
     "softcap is -2.5, expected 0 (off) or a positive finite number"},
    {"SoftcapNaN", kBoth, false, [](RefusedCall& c) { c.params.softcap = NAN; }, ErrorCode::kInvalidArgument,
     "softcap is nan, expected 0 (off) or a positive finite number"},
    {"MaskWithBiasUnset", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {5}), c.params.bias = c.values(DType::kF32, {5}); }, ErrorCode::kInvalidArgument,
     "keep and bias are both given and mask_with_bias is unset, expected both or bias_only"},
    {"DropoutOne", kBoth, false, [](RefusedCall& c) { c.params.dropout_p = 1, c.params.deterministic = false, c.params.dropout_seed = 1; }, ErrorCode::kInvalidArgument,
     "dropout_p is 1, expected 0 <= p < 1"},
    {"DropoutNegative", kBoth, false, [](RefusedCall& c) { c.params.dropout_p = -0.5f, c.params.deterministic = false, c.params.dropout_seed = 1; }, ErrorCode::kInvalidArgument,
     "dropout_p is -0.5, expected 0 <= p < 1"},
    {"DropoutWithoutSeed", kBoth, false, [](RefusedCall& c) { c.params.dropout_p = 0.5f, c.params.deterministic = false; }, ErrorCode::kInvalidArgument,
     "dropout_seed is absent, expected it with dropout_p > 0 and deterministic off"},
    {"NoWorkers", kBoth, false, [](RefusedCall& c) { c.context.parallel_for.run = [](void*, int64_t, void (*)(void*, int64_t, int32_t), void*) {}; }, ErrorCode::kInvalidArgument,
     "parallel_for workers is 0, expected 1 or more"},
    {"HalfAnAllocator", kBoth, false, [](RefusedCall& c) { c.context.allocator.deallocate = [](void*, Device, void*, uint64_t, void*) {}; }, ErrorCode::kInvalidArgument,
     "allocator has one of its two functions, expected both or neither"},
    {"WordOfOthers_k_new", kBoth, false, [](RefusedCall& c) { c.args.k_new = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "k_new is given, expected it only with paged or append; use that operator"},
    {"WordOfOthers_v_new", kBoth, false, [](RefusedCall& c) { c.args.v_new = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "v_new is given, expected it only with paged or append; use that operator"},
    {"WordOfOthers_k_descale", kBoth, false, [](RefusedCall& c) { c.args.k_descale = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "k_descale is given, expected it only with paged or decode; use that operator"},
    {"WordOfOthers_v_descale", kBoth, false, [](RefusedCall& c) { c.args.v_descale = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "v_descale is given, expected it only with paged or decode; use that operator"},
    {"WordOfOthers_block_table", kBoth, false, [](RefusedCall& c) { c.args.seq.block_table = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "block_table is given, expected it only with paged; use that operator"},
    {"WordOfOthers_kv_indptr", kBoth, false, [](RefusedCall& c) { c.args.seq.kv_indptr = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "kv_indptr is given, expected it only with paged; use that operator"},
    {"WordOfOthers_kv_indices", kBoth, false, [](RefusedCall& c) { c.args.seq.kv_indices = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "kv_indices is given, expected it only with paged; use that operator"},
    {"WordOfOthers_kv_last_page_len", kBoth, false, [](RefusedCall& c) { c.args.seq.kv_last_page_len = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "kv_last_page_len is given, expected it only with paged; use that operator"},
    {"WordOfOthers_context_lens", kBoth, false, [](RefusedCall& c) { c.args.seq.context_lens = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "context_lens is given, expected it only with paged; use that operator"},
    {"WordOfOthers_slot_mapping", kBoth, false, [](RefusedCall& c) { c.args.seq.slot_mapping = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "slot_mapping is given, expected it only with paged or append; use that operator"},
    {"WordOfOthers_start", kBoth, false, [](RefusedCall& c) { c.args.seq.start = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "start is given, expected it only with decode; use that operator"},
    {"WordOfOthers_end", kBoth, false, [](RefusedCall& c) { c.args.seq.end = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "end is given, expected it only with decode; use that operator"},
    {"WordOfOthers_block_mask", kBoth, false, [](RefusedCall& c) { c.params.mask.block_mask = c.indices({0, 0}); }, ErrorCode::kUnsupported,
     "block_mask is given, expected it only with splash; use that operator"},
    {"WordOfOthers_ring", kBoth, false, [](RefusedCall& c) { c.params.ring_transport = reinterpret_cast<RingTransport*>(&c); }, ErrorCode::kUnsupported,
     "ring_transport is given, expected it only with ring; use that operator"},
    {"DeviceOfK", kBoth, false, [](RefusedCall& c) { c.args.k.device = {DeviceType::kCuda, 1}; }, ErrorCode::kInvalidArgument,
     "k is on cuda:1, expected native:0 like all tensors of the call"},
    {"DeviceOfLse", kBoth, false, [](RefusedCall& c) { c.args.lse.device = {DeviceType::kRocm, 0}; }, ErrorCode::kInvalidArgument,
     "lse is on rocm:0, expected native:0 like all tensors of the call"},
    {"RankTooLarge", kBoth, false, [](RefusedCall& c) { c.args.q.rank = 7; }, ErrorCode::kInvalidArgument,
     "q rank is 7, expected at most 5"},
    {"DtypeUnknown", kBoth, false, [](RefusedCall& c) { c.args.v.dtype = static_cast<DType>(99); }, ErrorCode::kInvalidArgument,
     "v dtype is 99, expected one that DType names"},
    {"NegativeDim", kBoth, false, [](RefusedCall& c) { c.args.k.shape[1] = -1; }, ErrorCode::kInvalidArgument,
     "k dim 1 is -1, expected 0 or more"},
    {"SizeOverflow", kBoth, false, [](RefusedCall& c) { c.args.q.shape[0] = int64_t{1} << 62; }, ErrorCode::kInvalidArgument,
     "q shape and strides reach beyond 64 bits, expected sizes that memory can hold"},
    {"StrideOverflow", kBoth, false, [](RefusedCall& c) { c.args.k.stride[1] = int64_t{1} << 62; }, ErrorCode::kInvalidArgument,
     "k shape and strides reach beyond 64 bits, expected sizes that memory can hold"},
    {"NullData", kBoth, false, [](RefusedCall& c) { c.args.v.data = nullptr; }, ErrorCode::kInvalidArgument,
     "v data is null, expected memory for 120 elements"},
    {"Misaligned", kBoth, false, [](RefusedCall& c) { c.args.q.data = static_cast<char*>(c.args.q.data) + 2; }, ErrorCode::kInvalidArgument,
     "q address is not a multiple of 4, expected the alignment of an element"},
    {"Absent_q", kBoth, false, [](RefusedCall& c) { c.args.q = {}; }, ErrorCode::kInvalidArgument,
     "q is absent, expected a tensor"},
    {"Absent_k", kBoth, false, [](RefusedCall& c) { c.args.k = {}; }, ErrorCode::kInvalidArgument,
     "k is absent, expected a tensor"},
    {"Absent_v", kBoth, false, [](RefusedCall& c) { c.args.v = {}; }, ErrorCode::kInvalidArgument,
     "v is absent, expected a tensor"},
    {"Absent_out", kBoth, false, [](RefusedCall& c) { c.args.out = {}; }, ErrorCode::kInvalidArgument,
     "out is absent, expected a tensor"},
    {"Rank_q", kBoth, false, [](RefusedCall& c) { c.args.q.rank = 3; }, ErrorCode::kInvalidArgument,
     "q rank is 3, expected 4 [batch, seqlen_q, heads, head_dim]"},
    {"Rank_k", kBoth, false, [](RefusedCall& c) { c.args.k.rank = 3; }, ErrorCode::kInvalidArgument,
     "k rank is 3, expected 4 [batch, seqlen_k, kv_heads, head_dim]"},
    {"Rank_v", kBoth, false, [](RefusedCall& c) { c.args.v.rank = 3; }, ErrorCode::kInvalidArgument,
     "v rank is 3, expected 4 [batch, seqlen_k, kv_heads, v_dim]"},
    {"Rank_out", kBoth, false, [](RefusedCall& c) { c.args.out.rank = 3; }, ErrorCode::kInvalidArgument,
     "out rank is 3, expected 4 [batch, seqlen_q, heads, v_dim]"},
    {"RaggedRank_q", kBoth, true, [](RefusedCall& c) { c.args.q.rank = 2; }, ErrorCode::kInvalidArgument,
     "q rank is 2, expected 3 [total_q, heads, head_dim], as cu_seqlens_q is given"},
    {"RaggedRank_k", kBoth, true, [](RefusedCall& c) { c.args.k.rank = 2; }, ErrorCode::kInvalidArgument,
     "k rank is 2, expected 3 [total_k, kv_heads, head_dim], as cu_seqlens_q is given"},
    {"RaggedRank_v", kBoth, true, [](RefusedCall& c) { c.args.v.rank = 2; }, ErrorCode::kInvalidArgument,
     "v rank is 2, expected 3 [total_k, kv_heads, v_dim], as cu_seqlens_q is given"},
    {"RaggedRank_out", kBoth, true, [](RefusedCall& c) { c.args.out.rank = 2; }, ErrorCode::kInvalidArgument,
     "out rank is 2, expected 3 [total_q, heads, v_dim], as cu_seqlens_q is given"},
    {"Dtype_q", kBoth, false, [](RefusedCall& c) { c.args.q.dtype = DType::kI32; }, ErrorCode::kInvalidArgument,
     "q dtype is i32, expected f32 or f16 or bf16"},
    {"Dtype_k", kBoth, false, [](RefusedCall& c) { c.args.k.dtype = DType::kBF16; }, ErrorCode::kInvalidArgument,
     "k dtype is bf16, expected f32 like q"},
    {"Dtype_v", kBoth, false, [](RefusedCall& c) { c.args.v.dtype = DType::kF16; }, ErrorCode::kInvalidArgument,
     "v dtype is f16, expected f32 like q"},
    {"Dtype_out", kBoth, false, [](RefusedCall& c) { c.args.out.dtype = DType::kF16; }, ErrorCode::kInvalidArgument,
     "out dtype is f16, expected f32"},
    {"HeadDim_k", kBoth, false, [](RefusedCall& c) { c.args.k.shape[3] = 7; }, ErrorCode::kInvalidArgument,
     "k dim 3 is 7, expected 8 (head_dim of q)"},
    {"Batch_k", kBoth, false, [](RefusedCall& c) { c.args.k.shape[0] = 1; }, ErrorCode::kInvalidArgument,
     "k dim 0 is 1, expected 2 (batch of q)"},
    {"Batch_v", kBoth, false, [](RefusedCall& c) { c.args.v.shape[0] = 1; }, ErrorCode::kInvalidArgument,
     "v dim 0 is 1, expected 2 (batch of q)"},
    {"Seqlen_v", kBoth, false, [](RefusedCall& c) { c.args.v.shape[1] = 4; }, ErrorCode::kInvalidArgument,
     "v dim 1 is 4, expected 5 (seqlen_k of k)"},
    {"Total_v", kBoth, true, [](RefusedCall& c) { c.args.v.shape[0] = 9; }, ErrorCode::kInvalidArgument,
     "v dim 0 is 9, expected 10 (total_k of k)"},
    {"KvHeads_v", kBoth, false, [](RefusedCall& c) { c.args.v.shape[2] = 1; }, ErrorCode::kInvalidArgument,
     "v dim 2 is 1, expected 2 (kv_heads of k)"},
    {"Batch_out", kBoth, false, [](RefusedCall& c) { c.args.out.shape[0] = 1; }, ErrorCode::kInvalidArgument,
     "out dim 0 is 1, expected 2 (batch of q)"},
    {"Seqlen_out", kBoth, false, [](RefusedCall& c) { c.args.out.shape[1] = 2; }, ErrorCode::kInvalidArgument,
     "out dim 1 is 2, expected 3 (seqlen_q of q)"},
    {"Total_out", kBoth, true, [](RefusedCall& c) { c.args.out.shape[0] = 5; }, ErrorCode::kInvalidArgument,
     "out dim 0 is 5, expected 6 (total_q of q)"},
    {"Heads_out", kBoth, false, [](RefusedCall& c) { c.args.out.shape[2] = 3; }, ErrorCode::kInvalidArgument,
     "out dim 2 is 3, expected 4 (heads of q)"},
    {"VDim_out", kBoth, false, [](RefusedCall& c) { c.args.out.shape[3] = 5; }, ErrorCode::kInvalidArgument,
     "out dim 3 is 5, expected 6 (v_dim of v)"},
    {"HeadsNotMultiple", kBoth, false, [](RefusedCall& c) { c.args.q.shape[2] = c.args.out.shape[2] = 3; }, ErrorCode::kInvalidArgument,
     "q heads is 3, expected a multiple of kv_heads of k, 2"},
    {"NoKvHeads", kBoth, false, [](RefusedCall& c) { c.args.k.shape[2] = c.args.v.shape[2] = 0; }, ErrorCode::kInvalidArgument,
     "q heads is 4, expected a multiple of kv_heads of k, 0"},
    {"NoHeadDim", kBoth, false, [](RefusedCall& c) { c.args.q.shape[3] = c.args.k.shape[3] = 0; }, ErrorCode::kInvalidArgument,
     "q head_dim is 0, expected 1 or more"},
    {"NoVDim", kBoth, false, [](RefusedCall& c) { c.args.v.shape[3] = c.args.out.shape[3] = 0; }, ErrorCode::kInvalidArgument,
     "v v_dim is 0, expected 1 or more"},
    {"CuSeqlensQAlone", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = {}; }, ErrorCode::kInvalidArgument,
     "cu_seqlens_k is absent, expected it with cu_seqlens_q"},
    {"CuSeqlensKAlone", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = {}; }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q is absent, expected it with cu_seqlens_k"},
    {"CuSeqlensRank", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.values(DType::kI32, {3, 1}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q rank is 2, expected 1 [batch + 1]"},
    {"CuSeqlensDtype", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.values(DType::kF32, {3}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q dtype is f32, expected i32 or i64"},
    {"CuSeqlensEmpty", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.values(DType::kI32, {0}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q dim 0 is 0, expected batch + 1"},
    {"CuSeqlensKLength", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({0, 10}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_k dim 0 is 2, expected 3 (batch + 1, as cu_seqlens_q has)"},
    {"MaxSeqlenQNegative", kBoth, false, [](RefusedCall& c) { c.args.seq.max_seqlen_q = -1; }, ErrorCode::kInvalidArgument,
     "max_seqlen_q is -1, expected 0 (not told) or an upper bound"},
    {"MaxSeqlenKNegative", kBoth, false, [](RefusedCall& c) { c.args.seq.max_seqlen_k = -3; }, ErrorCode::kInvalidArgument,
     "max_seqlen_k is -3, expected 0 (not told) or an upper bound"},
    {"Lse_dtype", kBoth, false, [](RefusedCall& c) { c.args.lse.dtype = DType::kF16; }, ErrorCode::kInvalidArgument,
     "lse dtype is f16, expected f32"},
    {"Lse_rank", kBoth, false, [](RefusedCall& c) { c.args.lse.rank = 2; }, ErrorCode::kInvalidArgument,
     "lse rank is 2, expected 3 [batch, heads, seqlen_q]"},
    {"Lse_raggedRank", kBoth, true, [](RefusedCall& c) { c.args.lse.rank = 1; }, ErrorCode::kInvalidArgument,
     "lse rank is 1, expected 2 [heads, total_q]"},
    {"Lse_batch", kBoth, false, [](RefusedCall& c) { c.args.lse.shape[0] = 1; }, ErrorCode::kInvalidArgument,
     "lse dim 0 is 1, expected 2 (batch)"},
    {"Lse_heads", kBoth, false, [](RefusedCall& c) { c.args.lse.shape[1] = 3; }, ErrorCode::kInvalidArgument,
     "lse dim 1 is 3, expected 4 (heads of q)"},
    {"Lse_seqlen", kBoth, false, [](RefusedCall& c) { c.args.lse.shape[2] = 2; }, ErrorCode::kInvalidArgument,
     "lse dim 2 is 2, expected 3 (seqlen_q of q)"},
    {"Lse_total", kBoth, true, [](RefusedCall& c) { c.args.lse.shape[1] = 5; }, ErrorCode::kInvalidArgument,
     "lse dim 1 is 5, expected 6 (total_q of q)"},
    {"Length_seqused_q", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "seqused_q dim 0 is 3, expected 2 (batch)"},
    {"Dtype_seqused_q", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "seqused_q dtype is f32, expected i32 or i64"},
    {"Rank_seqused_q", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "seqused_q rank is 2, expected 1 [batch]"},
    {"Length_seqused_k", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "seqused_k dim 0 is 3, expected 2 (batch)"},
    {"Dtype_seqused_k", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "seqused_k dtype is f32, expected i32 or i64"},
    {"Rank_seqused_k", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "seqused_k rank is 2, expected 1 [batch]"},
    {"Length_q_start", kBoth, false, [](RefusedCall& c) { c.params.mask.q_start = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "q_start dim 0 is 3, expected 2 (batch)"},
    {"Dtype_q_start", kBoth, false, [](RefusedCall& c) { c.params.mask.q_start = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "q_start dtype is f32, expected i32 or i64"},
    {"Rank_q_start", kBoth, false, [](RefusedCall& c) { c.params.mask.q_start = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "q_start rank is 2, expected 1 [batch]"},
    {"Length_block_origin", kBoth, false, [](RefusedCall& c) { c.params.mask.block_size = 2, c.params.mask.block_origin = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "block_origin dim 0 is 3, expected 2 (batch)"},
    {"Dtype_block_origin", kBoth, false, [](RefusedCall& c) { c.params.mask.block_size = 2, c.params.mask.block_origin = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "block_origin dtype is f32, expected i32 or i64"},
    {"Rank_block_origin", kBoth, false, [](RefusedCall& c) { c.params.mask.block_size = 2, c.params.mask.block_origin = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "block_origin rank is 2, expected 1 [batch]"},
    {"Length_prefix_lens", kBoth, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.prefix_lens = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "prefix_lens dim 0 is 3, expected 2 (batch)"},
    {"Dtype_prefix_lens", kBoth, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.prefix_lens = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "prefix_lens dtype is f32, expected i32 or i64"},
    {"Rank_prefix_lens", kBoth, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.prefix_lens = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "prefix_lens rank is 2, expected 1 [batch]"},
    {"Length_hole_starts", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({2, 2}), c.params.mask.hole_starts = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "hole_starts dim 0 is 3, expected 2 (batch)"},
    {"Dtype_hole_starts", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({2, 2}), c.params.mask.hole_starts = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "hole_starts dtype is f32, expected i32 or i64"},
    {"Rank_hole_starts", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({2, 2}), c.params.mask.hole_starts = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "hole_starts rank is 2, expected 1 [batch]"},
    {"Length_hole_ends", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}), c.params.mask.hole_ends = c.indices({1, 1, 1}); }, ErrorCode::kInvalidArgument,
     "hole_ends dim 0 is 3, expected 2 (batch)"},
    {"Dtype_hole_ends", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}), c.params.mask.hole_ends = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "hole_ends dtype is f32, expected i32 or i64"},
    {"Rank_hole_ends", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}), c.params.mask.hole_ends = c.values(DType::kI64, {2, 1}); }, ErrorCode::kInvalidArgument,
     "hole_ends rank is 2, expected 1 [batch]"},
    {"Segments_dtype", kBoth, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}), c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}), c.params.mask.kv_segment_ids = c.values(DType::kBool, {2, 5}); }, ErrorCode::kInvalidArgument,
     "kv_segment_ids dtype is bool, expected i32 or i64"},
    {"Segments_rank", kBoth, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}), c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}), c.params.mask.q_segment_ids = c.values(DType::kI32, {6}); }, ErrorCode::kInvalidArgument,
     "q_segment_ids rank is 1, expected 2 [batch, seqlen]"},
    {"Segments_batch", kBoth, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}), c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}), c.params.mask.q_segment_ids = c.values(DType::kI32, {1, 3}); }, ErrorCode::kInvalidArgument,
     "q_segment_ids dim 0 is 1, expected 2 (batch)"},
    {"Segments_rows", kBoth, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}), c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}), c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 4}); }, ErrorCode::kInvalidArgument,
     "q_segment_ids dim 1 is 4, expected 3 (rows of q)"},
    {"Segments_keys", kBoth, false, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}), c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}), c.params.mask.kv_segment_ids = c.values(DType::kI64, {2, 3}); }, ErrorCode::kInvalidArgument,
     "kv_segment_ids dim 1 is 3, expected 5 (rows of k)"},
    {"Segments_raggedRank", kBoth, true, [](RefusedCall& c) { c.params.mask.q_segment_ids = c.values(DType::kI32, {2, 3}), c.params.mask.kv_segment_ids = c.values(DType::kI32, {2, 5}); }, ErrorCode::kInvalidArgument,
     "q_segment_ids rank is 2, expected 1 [total]"},
    {"Rank_keep", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {1, 1, 1, 1, 5}); }, ErrorCode::kInvalidArgument,
     "keep rank is 5, expected 4 [batch, heads, seqlen_q, seqlen_k] or less"},
    {"Keys_keep", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {4}); }, ErrorCode::kInvalidArgument,
     "keep dim 0 is 4, expected 1 or 5 (seqlen_k)"},
    {"Rows_keep", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {2, 5}); }, ErrorCode::kInvalidArgument,
     "keep dim 0 is 2, expected 1 or 3 (seqlen_q)"},
    {"Heads_keep", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {2, 3, 5}); }, ErrorCode::kInvalidArgument,
     "keep dim 0 is 2, expected 1 or 4 (heads)"},
    {"Batch_keep", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kBool, {3, 4, 3, 5}); }, ErrorCode::kInvalidArgument,
     "keep dim 0 is 3, expected 1 or 2 (batch)"},
    {"Rank_bias", kBoth, false, [](RefusedCall& c) { c.params.bias = c.values(DType::kF32, {1, 1, 1, 1, 5}); }, ErrorCode::kInvalidArgument,
     "bias rank is 5, expected 4 [batch, heads, seqlen_q, seqlen_k] or less"},
    {"Keys_bias", kBoth, false, [](RefusedCall& c) { c.params.bias = c.values(DType::kF32, {4}); }, ErrorCode::kInvalidArgument,
     "bias dim 0 is 4, expected 1 or 5 (seqlen_k)"},
    {"Rows_bias", kBoth, false, [](RefusedCall& c) { c.params.bias = c.values(DType::kF32, {2, 5}); }, ErrorCode::kInvalidArgument,
     "bias dim 0 is 2, expected 1 or 3 (seqlen_q)"},
    {"Heads_bias", kBoth, false, [](RefusedCall& c) { c.params.bias = c.values(DType::kF32, {2, 3, 5}); }, ErrorCode::kInvalidArgument,
     "bias dim 0 is 2, expected 1 or 4 (heads)"},
    {"Batch_bias", kBoth, false, [](RefusedCall& c) { c.params.bias = c.values(DType::kF32, {3, 4, 3, 5}); }, ErrorCode::kInvalidArgument,
     "bias dim 0 is 3, expected 1 or 2 (batch)"},
    {"Dtype_keep", kBoth, false, [](RefusedCall& c) { c.params.mask.keep = c.values(DType::kF32, {5}); }, ErrorCode::kInvalidArgument,
     "keep dtype is f32, expected bool"},
    {"Dtype_bias", kBoth, false, [](RefusedCall& c) { c.params.bias = c.values(DType::kBool, {5}); }, ErrorCode::kInvalidArgument,
     "bias dtype is bool, expected f32 or f16 or bf16"},
    {"Alibi_dtype", kBoth, false, [](RefusedCall& c) { c.params.alibi_slopes = c.values(DType::kF16, {4}); }, ErrorCode::kInvalidArgument,
     "alibi_slopes dtype is f16, expected f32"},
    {"Alibi_rank", kBoth, false, [](RefusedCall& c) { c.params.alibi_slopes = c.values(DType::kF32, {1, 2, 4}); }, ErrorCode::kInvalidArgument,
     "alibi_slopes rank is 3, expected 1 [heads], or 2 [batch, heads]"},
    {"Alibi_batch", kBoth, false, [](RefusedCall& c) { c.params.alibi_slopes = c.values(DType::kF32, {1, 4}); }, ErrorCode::kInvalidArgument,
     "alibi_slopes dim 0 is 1, expected 2 (batch)"},
    {"Alibi_heads", kBoth, false, [](RefusedCall& c) { c.params.alibi_slopes = c.values(DType::kF32, {2}); }, ErrorCode::kInvalidArgument,
     "alibi_slopes dim 0 is 2, expected 4 (heads of q)"},
    {"Sinks_dtype", kBoth, false, [](RefusedCall& c) { c.params.sinks = c.values(DType::kBF16, {4}); }, ErrorCode::kInvalidArgument,
     "sinks dtype is bf16, expected f32"},
    {"Sinks_rank", kBoth, false, [](RefusedCall& c) { c.params.sinks = c.values(DType::kF32, {1, 2, 4}); }, ErrorCode::kInvalidArgument,
     "sinks rank is 3, expected 1 [heads], or 2 [heads, n]"},
    {"Sinks_heads", kBoth, false, [](RefusedCall& c) { c.params.sinks = c.values(DType::kF32, {2, 4}); }, ErrorCode::kInvalidArgument,
     "sinks dim 0 is 2, expected 4 (heads of q)"},
    {"Rank_weights", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.values(DType::kF32, {4, 3, 5}); }, ErrorCode::kInvalidArgument,
     "weights rank is 3, expected 4 [batch, heads, seqlen_q, seqlen_k]"},
    {"Dim0_weights", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.weights, c.args.weights.shape[0] = 1; }, ErrorCode::kInvalidArgument,
     "weights dim 0 is 1, expected 2 (batch)"},
    {"Dim1_weights", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.weights, c.args.weights.shape[1] = 2; }, ErrorCode::kInvalidArgument,
     "weights dim 1 is 2, expected 4 (heads of q)"},
    {"Dim2_weights", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.weights, c.args.weights.shape[2] = 4; }, ErrorCode::kInvalidArgument,
     "weights dim 2 is 4, expected 3 (seqlen_q)"},
    {"Dim3_weights", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.weights, c.args.weights.shape[3] = 6; }, ErrorCode::kInvalidArgument,
     "weights dim 3 is 6, expected 5 (seqlen_k)"},
    {"Rank_scores", kVanillaOnly, false, [](RefusedCall& c) { c.args.scores = c.values(DType::kF32, {4, 3, 5}); }, ErrorCode::kInvalidArgument,
     "scores rank is 3, expected 4 [batch, heads, seqlen_q, seqlen_k]"},
    {"Dim0_scores", kVanillaOnly, false, [](RefusedCall& c) { c.args.scores = c.scores, c.args.scores.shape[0] = 1; }, ErrorCode::kInvalidArgument,
     "scores dim 0 is 1, expected 2 (batch)"},
    {"Dim1_scores", kVanillaOnly, false, [](RefusedCall& c) { c.args.scores = c.scores, c.args.scores.shape[1] = 2; }, ErrorCode::kInvalidArgument,
     "scores dim 1 is 2, expected 4 (heads of q)"},
    {"Dim2_scores", kVanillaOnly, false, [](RefusedCall& c) { c.args.scores = c.scores, c.args.scores.shape[2] = 4; }, ErrorCode::kInvalidArgument,
     "scores dim 2 is 4, expected 3 (seqlen_q)"},
    {"Dim3_scores", kVanillaOnly, false, [](RefusedCall& c) { c.args.scores = c.scores, c.args.scores.shape[3] = 6; }, ErrorCode::kInvalidArgument,
     "scores dim 3 is 6, expected 5 (seqlen_k)"},
    {"Dtype_weights", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.values(DType::kBF16, {2, 4, 3, 5}); }, ErrorCode::kInvalidArgument,
     "weights dtype is bf16, expected f32"},
    {"Dtype_scores", kVanillaOnly, false, [](RefusedCall& c) { c.args.scores = c.values(DType::kBF16, {2, 4, 3, 5}); }, ErrorCode::kInvalidArgument,
     "scores dtype is bf16, expected f32"},
    {"VanillaHeadDim", kVanillaOnly, false, [](RefusedCall& c) { c.args.q = c.values(DType::kF32, {2, 3, 4, 257}), c.args.k = c.values(DType::kF32, {2, 5, 2, 257}); }, ErrorCode::kUnsupported,
     "head_dim is 257 and v_dim 6, expected at most 256; flash takes 512 and 576/512"},
    {"VanillaVDim", kVanillaOnly, false, [](RefusedCall& c) { c.args.v = c.values(DType::kF32, {2, 5, 2, 300}), c.args.out = c.values(DType::kF32, {2, 3, 4, 300}); }, ErrorCode::kUnsupported,
     "head_dim is 8 and v_dim 300, expected at most 256; flash takes 512 and 576/512"},
    {"FlashHeadDim", kFlashOnly, false, [](RefusedCall& c) { c.args.q = c.values(DType::kF32, {2, 3, 4, 576}), c.args.k = c.values(DType::kF32, {2, 5, 2, 576}); }, ErrorCode::kUnsupported,
     "head_dim is 576 and v_dim 6, expected at most 512, or 576 with 512"},
    {"FlashWeights", kFlashOnly, false, [](RefusedCall& c) { c.args.weights = c.weights; }, ErrorCode::kUnsupported,
     "weights are asked for, expected none, as flash never materialises them; use vanilla"},
    {"FlashScores", kFlashOnly, false, [](RefusedCall& c) { c.args.scores = c.scores; }, ErrorCode::kUnsupported,
     "scores are asked for, expected none, as flash never materialises them; use vanilla"},
    {"FlashDropout", kFlashOnly, false, [](RefusedCall& c) { c.params.dropout_p = 0.5f, c.params.deterministic = false, c.params.dropout_seed = 1; }, ErrorCode::kUnsupported,
     "dropout_p is set and deterministic is off, expected no dropout; use vanilla or ring"},
    {"CuQStart", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.indices({1, 3, 6}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q[0] is 1, expected 0"},
    {"CuQFalls", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.indices({0, 5, 4}, DType::kI64); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_q[2] is 4, expected at least 5, the value before it"},
    {"CuQBeyond", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_q = c.indices({0, 3, 11}); }, ErrorCode::kOutOfRange,
     "cu_seqlens_q[2] is 11, expected at most 6, the rows there are"},
    {"CuQOverMax", kBoth, true, [](RefusedCall& c) { c.args.seq.max_seqlen_q = 2; }, ErrorCode::kOutOfRange,
     "length 3 of sequence 0 in cu_seqlens_q is over the bound, expected at most max_seqlen 2"},
    {"MaxQBelowSeqlen", kBoth, false, [](RefusedCall& c) { c.args.seq.max_seqlen_q = 1; }, ErrorCode::kOutOfRange,
     "max_seqlen_q is 1, expected at least seqlen 3"},
    {"SequsedQNegative", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({1, -1}); }, ErrorCode::kOutOfRange,
     "seqused_q[1] is -1, expected 0 to 3, the rows of its sequence"},
    {"SequsedQBeyond", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({9, 1}, DType::kI64); }, ErrorCode::kOutOfRange,
     "seqused_q[0] is 9, expected 0 to 3, the rows of its sequence"},
    {"SequsedQBeyondRagged", kBoth, true, [](RefusedCall& c) { c.args.seq.seqused_q = c.indices({1, 8}); }, ErrorCode::kOutOfRange,
     "seqused_q[1] is 8, expected 0 to 3, the rows of its sequence"},
    {"CuKStart", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({1, 3, 10}); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_k[0] is 1, expected 0"},
    {"CuKFalls", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({0, 5, 4}, DType::kI64); }, ErrorCode::kInvalidArgument,
     "cu_seqlens_k[2] is 4, expected at least 5, the value before it"},
    {"CuKBeyond", kBoth, true, [](RefusedCall& c) { c.args.seq.cu_seqlens_k = c.indices({0, 3, 11}); }, ErrorCode::kOutOfRange,
     "cu_seqlens_k[2] is 11, expected at most 10, the rows there are"},
    {"CuKOverMax", kBoth, true, [](RefusedCall& c) { c.args.seq.max_seqlen_k = 2; }, ErrorCode::kOutOfRange,
     "length 5 of sequence 0 in cu_seqlens_k is over the bound, expected at most max_seqlen 2"},
    {"MaxKBelowSeqlen", kBoth, false, [](RefusedCall& c) { c.args.seq.max_seqlen_k = 1; }, ErrorCode::kOutOfRange,
     "max_seqlen_k is 1, expected at least seqlen 5"},
    {"SequsedKNegative", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({1, -1}); }, ErrorCode::kOutOfRange,
     "seqused_k[1] is -1, expected 0 to 5, the rows of its sequence"},
    {"SequsedKBeyond", kBoth, false, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({9, 1}, DType::kI64); }, ErrorCode::kOutOfRange,
     "seqused_k[0] is 9, expected 0 to 5, the rows of its sequence"},
    {"SequsedKBeyondRagged", kBoth, true, [](RefusedCall& c) { c.args.seq.seqused_k = c.indices({1, 8}); }, ErrorCode::kOutOfRange,
     "seqused_k[1] is 8, expected 0 to 5, the rows of its sequence"},
    {"Far_q_start", kBoth, false, [](RefusedCall& c) { c.params.mask.q_start = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "q_start[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_block_origin", kBoth, false, [](RefusedCall& c) { c.params.mask.block_size = 2, c.params.mask.block_origin = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "block_origin[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_prefix_lens", kBoth, false, [](RefusedCall& c) { c.params.mask.causal = true, c.params.mask.prefix_lens = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "prefix_lens[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_hole_starts", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_ends = c.indices({2, 2}), c.params.mask.hole_starts = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "hole_starts[1] is -1000000000000000, expected a position within 2^48"},
    {"Far_hole_ends", kBoth, false, [](RefusedCall& c) { c.params.mask.hole_starts = c.indices({1, 1}), c.params.mask.hole_ends = c.indices({0, -1e15}, DType::kI64); }, ErrorCode::kOutOfRange,
     "hole_ends[1] is -1000000000000000, expected a position within 2^48"},
    {"OutOverlapsQ", kBoth, false, [](RefusedCall& c) { c.args.out.data = c.args.q.data; }, ErrorCode::kInvalidArgument,
     "out memory overlaps q, expected memory of its own"},
    {"OutOverlapsV", kBoth, false, [](RefusedCall& c) { c.args.v.data = c.values(DType::kF32, {1000}).data, c.args.out.data = static_cast<float*>(c.args.v.data) + 50; }, ErrorCode::kInvalidArgument,
     "out memory overlaps v, expected memory of its own"},
    {"LseOverlapsOut", kBoth, false, [](RefusedCall& c) { c.args.lse.data = static_cast<float*>(c.args.out.data) + 120; }, ErrorCode::kInvalidArgument,
     "out memory overlaps lse, expected memory of its own"},
    {"LseOverlapsBias", kBoth, false, [](RefusedCall& c) { c.params.bias = contiguous(c.values(DType::kF32, {1000}).data, DType::kF32, {3, 5}), c.args.lse.data = static_cast<float*>(c.params.bias.data) + 14; }, ErrorCode::kInvalidArgument,
     "lse memory overlaps bias, expected memory of its own"},
    {"OutOverlapsIndices", kBoth, false, [](RefusedCall& c) { c.params.mask.q_start = contiguous(c.args.out.data, DType::kI32, {2}); }, ErrorCode::kInvalidArgument,
     "out memory overlaps q_start, expected memory of its own"},
    {"WeightsOverlapScores", kVanillaOnly, false, [](RefusedCall& c) { c.args.weights = c.weights, c.args.scores = c.weights; }, ErrorCode::kInvalidArgument,
     "weights memory overlaps scores, expected memory of its own"},
    {"OutBroadcast", kBoth, false, [](RefusedCall& c) { c.args.out.stride[2] = 0; }, ErrorCode::kInvalidArgument,
     "out strides put two elements at one address, expected distinct ones"},
    {"LseFolded", kBoth, false, [](RefusedCall& c) { c.args.lse.stride[1] = 2; }, ErrorCode::kInvalidArgument,
     "lse strides put two elements at one address, expected distinct ones"},
    {"OutOfStrideOneRow", kBoth, false, [](RefusedCall& c) { c.args.out.stride[1] = 23; }, ErrorCode::kInvalidArgument,
     "out strides put two elements at one address, expected distinct ones"},
    // clang-format on
};

struct OpRefusal {
  OpId op;
  const Refusal* refusal;
};

void PrintTo(const OpRefusal& p, std::ostream* stream) {
  *stream << name(p.op) << " " << p.refusal->name;
}

std::vector<OpRefusal> refusals_of_each_operator() {
  std::vector<OpRefusal> list;
  for (const Refusal& r : kRefusals) {
    if (r.ops != kFlashOnly) list.push_back({OpId::kVanilla, &r});
    if (r.ops != kVanillaOnly) list.push_back({OpId::kFlash, &r});
  }
  return list;
}

class Refused : public ::testing::TestWithParam<OpRefusal> {};

// Runs call; the error's code and text.
template <class F>
void expect_error(ErrorCode code, const std::string& text, F&& call) {
  try {
    call();
    ADD_FAILURE() << "ran, expected: " << text;
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), std::string(name(code)));
    EXPECT_EQ(e.what(), text);
  }
}

TEST_P(Refused, InWordsAndNothingWritten) {
  const auto& [op, refusal] = GetParam();
  RefusedCall call(refusal->ragged);
  refusal->spoil(call);
  const std::string text = std::string(name(op)) + ": " + refusal->text;
  expect_error(refusal->code, text,
               [&, op = op] { attention_op(op).forward(call.args, call.params, call.context); });
  EXPECT_TRUE(call.outputs_untouched());
  if (call.context.parallel_for.run || call.context.allocator.deallocate)
    return;  // not for supports()
  // supports() says the same without throwing.
  const Support support = attention_op(op).supports(call.args, call.params, Device{});
  EXPECT_EQ(support.code, refusal->code);
  EXPECT_EQ(support.message, text);
}

INSTANTIATE_TEST_SUITE_P(Ops, Refused, ::testing::ValuesIn(refusals_of_each_operator()),
                         [](const auto& p) {
                           return std::string(name(p.param.op)) + "_" + p.param.refusal->name;
                         });

// The call that is spoilt above is itself legal, or the tests above would prove nothing.
TEST(Refusals, TheUnspoiltCallRuns) {
  for (OpId op : {OpId::kVanilla, OpId::kFlash}) {
    for (bool ragged : {false, true}) {
      RefusedCall call(ragged);
      attention_op(op).forward(call.args, call.params);
      for (double x : call.out.all()) ASSERT_NEAR(x, 0.5, 1e-6);
    }
  }
}

// The doors of other devices are in dispatch/doors_test.
TEST(Refusals, TheWrongDoor) {
  RefusedCall call;
  const FlashAttention flash;
  call.args.q.device = {DeviceType::kRocm, 0};
  expect_error(
      ErrorCode::kInvalidArgument,
      "forward_native: q is on rocm, expected native; move the tensors there or call forward",
      [&] { flash.forward_native(call.args, call.params); });
  EXPECT_TRUE(call.outputs_untouched());
}

TEST(Refusals, AnUnknownKernelNamesTheKnownOnes) {
  RefusedCall call;
  try {
    FlashAttention().run_kernel("flash/native/none", call.args, call.params);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    const std::string text = e.what();
    EXPECT_EQ(text.rfind("flash: kernel is 'flash/native/none', expected one of ", 0), 0u) << text;
    EXPECT_NE(text.find("flash/native/portable"), std::string::npos) << text;
  }
  EXPECT_TRUE(call.outputs_untouched());
}

TEST(Refusals, OperatorsThatAreNotBuiltYet) {
  expect_error(ErrorCode::kUnsupported,
               "paged: this operator is not built yet, expected vanilla or flash",
               [] { attention_op(OpId::kPaged); });
}

}  // namespace
}  // namespace attend::testing
