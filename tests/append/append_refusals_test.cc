// Every refusal of append: its code, its whole text, and that not a byte of the caches changes.
#include <gtest/gtest.h>

#include <vector>

#include "attend/operator.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

constexpr int64_t kPages = 3, kPageSize = 4, kHeads = 2, kDim = 8, kVDim = 4, kTokens = 5;

struct Call {
  std::vector<float> k = std::vector<float>(kPages * kPageSize * kHeads * kDim, 7),
                     v = std::vector<float>(kPages * kPageSize * kHeads * kVDim, 7),
                     k_new = std::vector<float>(kTokens * kHeads * kDim, 1),
                     v_new = std::vector<float>(kTokens * kHeads * kVDim, 1), scale = {1, 1, 1, 1};
  std::vector<int64_t> slots = {3, -1, 0, 11, 5};
  AttentionArgs args;
  AttentionParams params;

  Call() {
    args.k = contiguous(k.data(), DType::kF32, {kPages, kPageSize, kHeads, kDim});
    args.v = contiguous(v.data(), DType::kF32, {kPages, kPageSize, kHeads, kVDim});
    args.k_new = contiguous(k_new.data(), DType::kF32, {kTokens, kHeads, kDim});
    args.v_new = contiguous(v_new.data(), DType::kF32, {kTokens, kHeads, kVDim});
    args.seq.slot_mapping = contiguous(slots.data(), DType::kI64, {kTokens});
  }
  TensorView scales(std::initializer_list<int64_t> shape) {
    return contiguous(scale.data(), DType::kF32, shape);
  }
  TensorView numbers(std::initializer_list<int64_t> shape) {
    return contiguous(scale.data(), DType::kI32, shape);
  }
  void expect_unchanged() const {
    EXPECT_EQ(k, std::vector<float>(k.size(), 7));
    EXPECT_EQ(v, std::vector<float>(v.size(), 7));
  }
};

struct Refusal {
  const char* name;
  ErrorCode code;
  void (*spoil)(Call&);
  const char* text;  // after "append: "
};

constexpr ErrorCode kInvalid = ErrorCode::kInvalidArgument, kRange = ErrorCode::kOutOfRange;
const Refusal kRefusals[] = {
    // clang-format off
    {"NoK", kInvalid, [](Call& c) { c.args.k = {}; }, "k is absent, expected a tensor"},
    {"NoV", kInvalid, [](Call& c) { c.args.v = {}; }, "v is absent, expected a tensor"},
    {"NoKNew", kInvalid, [](Call& c) { c.args.k_new = {}; }, "k_new is absent, expected a tensor"},
    {"NoVNew", kInvalid, [](Call& c) { c.args.v_new = {}; }, "v_new is absent, expected a tensor"},
    {"NoSlots", kInvalid, [](Call& c) { c.args.seq.slot_mapping = {}; }, "slot_mapping is absent, expected a tensor"},
    {"RankK", kInvalid, [](Call& c) { c.args.k.rank = 3; }, "k rank is 3, expected 4 [pages, page_size, kv_heads, head_dim]"},
    {"RankV", kInvalid, [](Call& c) { c.args.v.rank = 3; }, "v rank is 3, expected 4 [pages, page_size, kv_heads, v_dim]"},
    {"RankKNew", kInvalid, [](Call& c) { c.args.k_new.rank = 2; }, "k_new rank is 2, expected 3 [tokens, kv_heads, dim]"},
    {"RankSlots", kInvalid, [](Call& c) { c.args.seq.slot_mapping.rank = 2; c.args.seq.slot_mapping.shape[1] = 1; }, "slot_mapping rank is 2, expected 1 [tokens]"},
    {"DtypeK", kInvalid, [](Call& c) { c.args.k.dtype = DType::kI32; },
     "k dtype is i32, expected f32 or f16 or bf16 or f8_e4m3 or f8_e5m2 or i8"},
    {"DtypeKNew", kInvalid, [](Call& c) { c.args.k_new.dtype = DType::kF8E4M3; }, "k_new dtype is f8_e4m3, expected f32 or f16 or bf16"},
    {"DtypeSlots", kInvalid, [](Call& c) { c.args.seq.slot_mapping.dtype = DType::kF32; }, "slot_mapping dtype is f32, expected i32 or i64"},
    {"Pages", kInvalid, [](Call& c) { c.args.v.shape[0] = 2; }, "v dim 0 is 2, expected 3 (pages of k)"},
    {"PageSize", kInvalid, [](Call& c) { c.args.v.shape[1] = 2; }, "v dim 1 is 2, expected 4 (page_size of k)"},
    {"PageSizeZero", kInvalid, [](Call& c) { c.args.k.shape[1] = 0; }, "k page_size is 0, expected 1 or more"},
    {"HeadsV", kInvalid, [](Call& c) { c.args.v.shape[2] = 1; }, "v dim 2 is 1, expected 2 (kv_heads of k)"},
    {"HeadsKNew", kInvalid, [](Call& c) { c.args.k_new.shape[1] = 1; }, "k_new dim 1 is 1, expected 2 (kv_heads of k)"},
    {"DimKNew", kInvalid, [](Call& c) { c.args.k_new.shape[2] = 4; }, "k_new dim 2 is 4, expected 8 (head_dim of k)"},
    {"DimVNew", kInvalid, [](Call& c) { c.args.v_new.shape[2] = 3; }, "v_new dim 2 is 3, expected 4 (v_dim of v)"},
    {"TokensVNew", kInvalid, [](Call& c) { c.args.v_new.shape[0] = 4; }, "v_new dim 0 is 4, expected 5 (tokens of k_new)"},
    {"TokensSlots", kInvalid, [](Call& c) { c.args.seq.slot_mapping.shape[0] = 4; }, "slot_mapping dim 0 is 4, expected 5 (tokens of k_new)"},
    {"DescaleOfFloats", kInvalid, [](Call& c) { c.args.k_descale = c.scales({1}); },
     "k_descale is given for a cache of f32, expected it only with f8_e4m3, f8_e5m2 or i8"},
    {"DescaleOfRequests", kInvalid, [](Call& c) { c.args.v.dtype = DType::kI8; c.args.v_descale = c.scales({2, 2}); },
     "v_descale dim 0 is 2, expected 1 (batch)"},
    {"DescaleHeads", kInvalid, [](Call& c) { c.args.v.dtype = DType::kI8; c.args.v_descale = c.scales({3}); },
     "v_descale dim 0 is 3, expected 2 (kv_heads of k)"},
    {"DescaleDtype", kInvalid, [](Call& c) { c.args.k.dtype = DType::kI8; c.args.k_descale = c.numbers({1}); },
     "k_descale dtype is i32, expected f32"},
    {"Device", kInvalid, [](Call& c) { c.args.k_new.device = {DeviceType::kCuda, 0}; },
     "k_new is on cuda:0, expected native:0 (device of k)"},
    {"SlotBeyond", kRange, [](Call& c) { c.slots[3] = 12; },
     "slot_mapping[3] is 12, expected below 12 (pages x page_size of k), or negative"},
    {"SlotFarBeyond", kRange, [](Call& c) { c.slots[4] = INT64_MAX; },
     "slot_mapping[4] is 9223372036854775807, expected below 12 (pages x page_size of k), or negative"},
    {"SlotBeyondInTheLast", kRange, [](Call& c) { c.slots = {0, 1, 2, 3, int64_t{1} << 32}; },
     "slot_mapping[4] is 4294967296, expected below 12 (pages x page_size of k), or negative"},
    {"SlotTwice", kInvalid, [](Call& c) { c.slots[4] = 3; },
     "slot_mapping[4] is 3, expected a slot of its own; slot_mapping[0] has it"},
    {"NoPages", kRange, [](Call& c) { c.args.k.shape[0] = c.args.v.shape[0] = 0; },
     "slot_mapping[0] is 3, expected below 0 (pages x page_size of k), or negative"},
    {"RowsInTheCache", kInvalid, [](Call& c) { c.args.k_new.data = c.k.data(); }, "k memory overlaps k_new, expected memory of its own"},
    {"KInV", kInvalid, [](Call& c) { c.args.v.data = c.k.data() + 4; }, "k memory overlaps v, expected memory of its own"},
    {"VInKButOtherRows", kInvalid, [](Call& c) { c.args.v = c.args.k; c.args.v.shape[3] = 4; },
     "k memory overlaps v, expected memory of its own"},
    {"TwoSlotsAtOneAddress", kInvalid, [](Call& c) { c.args.k.stride[1] = 0; },
     "k strides put two elements at one address, expected distinct ones"},
    // clang-format on
};

class AppendRefusals : public ::testing::TestWithParam<Refusal> {};

TEST_P(AppendRefusals, SaysWhyAndStoresNothing) {
  Call call;
  GetParam().spoil(call);
  const Thrown e = thrown([&] { AppendKv().forward_native(call.args, call.params); });
  EXPECT_EQ(e.code, GetParam().code);
  EXPECT_EQ(e.what, std::string("append: ") + GetParam().text);
  call.expect_unchanged();
}

INSTANTIATE_TEST_SUITE_P(Append, AppendRefusals, ::testing::ValuesIn(kRefusals),
                         [](const auto& p) { return std::string(p.param.name); });

// Append computes no score: every other word is refused by its name.
struct Word {
  const char* name;
  void (*set)(Call&);
};
const Word kWords[] = {
    // clang-format off
    {"q", [](Call& c) { c.args.q = c.scales({1, 1, 2, 2}); }},
    {"out", [](Call& c) { c.args.out = c.scales({4}); }},
    {"lse", [](Call& c) { c.args.lse = c.scales({4}); }},
    {"weights", [](Call& c) { c.args.weights = c.scales({4}); }},
    {"scores", [](Call& c) { c.args.scores = c.scales({4}); }},
    {"cu_seqlens_q", [](Call& c) { c.args.seq.cu_seqlens_q = c.numbers({2}); }},
    {"cu_seqlens_k", [](Call& c) { c.args.seq.cu_seqlens_k = c.numbers({2}); }},
    {"seqused_q", [](Call& c) { c.args.seq.seqused_q = c.numbers({2}); }},
    {"seqused_k", [](Call& c) { c.args.seq.seqused_k = c.numbers({2}); }},
    {"block_table", [](Call& c) { c.args.seq.block_table = c.numbers({1, 2}); }},
    {"kv_indptr", [](Call& c) { c.args.seq.kv_indptr = c.numbers({2}); }},
    {"kv_indices", [](Call& c) { c.args.seq.kv_indices = c.numbers({2}); }},
    {"kv_last_page_len", [](Call& c) { c.args.seq.kv_last_page_len = c.numbers({2}); }},
    {"context_lens", [](Call& c) { c.args.seq.context_lens = c.numbers({2}); }},
    {"start", [](Call& c) { c.args.seq.start = c.numbers({2}); }},
    {"end", [](Call& c) { c.args.seq.end = c.numbers({2}); }},
    {"q_start", [](Call& c) { c.params.mask.q_start = c.numbers({2}); }},
    {"keep", [](Call& c) { c.params.mask.keep = contiguous(c.scale.data(), DType::kBool, {2}); }},
    {"block_mask", [](Call& c) { c.params.mask.block_mask = contiguous(c.scale.data(), DType::kBool, {2}); }},
    {"bias", [](Call& c) { c.params.bias = c.scales({4}); }},
    {"alibi_slopes", [](Call& c) { c.params.alibi_slopes = c.scales({2}); }},
    {"sinks", [](Call& c) { c.params.sinks = c.scales({2}); }},
    {"hole_starts", [](Call& c) { c.params.mask.hole_starts = c.params.mask.hole_ends = c.numbers({2}); }},
    {"q_segment_ids", [](Call& c) { c.params.mask.q_segment_ids = c.params.mask.kv_segment_ids = c.numbers({2}); }},
    {"prefix_lens", [](Call& c) { c.params.mask.causal = true; c.params.mask.prefix_lens = c.numbers({2}); }},
    {"block_origin", [](Call& c) { c.params.mask.block_size = 4; c.params.mask.block_origin = c.numbers({2}); }},
    {"softmax_scale", [](Call& c) { c.params.softmax_scale = 1.0f; }},
    {"softcap", [](Call& c) { c.params.softcap = 1.0f; }},
    {"causal", [](Call& c) { c.params.mask.causal = true; }},
    {"diagonal", [](Call& c) { c.params.mask.diagonal = Diagonal::kTopLeft; }},
    {"block_size", [](Call& c) { c.params.mask.block_size = 2; }},
    {"window_left", [](Call& c) { c.params.mask.window_left = 2; }},
    {"window_right", [](Call& c) { c.params.mask.window_right = 0; }},
    {"block_mask_q", [](Call& c) { c.params.mask.block_mask_q = 64; }},
    {"block_mask_k", [](Call& c) { c.params.mask.block_mask_k = 64; }},
    {"mask_with_bias", [](Call& c) { c.params.mask_with_bias = MaskWithBias::kBoth; }},
    {"dropout_p", [](Call& c) { c.params.dropout_p = 0.5f; c.params.deterministic = false; c.params.dropout_seed = 3; }},
    {"dropout_seed", [](Call& c) { c.params.dropout_seed = 3; }},
    {"dropout_offset", [](Call& c) { c.params.dropout_offset = 3; }},
    {"scores_stage", [](Call& c) { c.params.scores_stage = ScoresStage::kScaled; }},
    {"ring_placement", [](Call& c) { c.params.ring_placement = RingPlacement::kZigzag; }},
    {"max_seqlen_q", [](Call& c) { c.args.seq.max_seqlen_q = 4; }},
    {"max_seqlen_k", [](Call& c) { c.args.seq.max_seqlen_k = 4; }},
    // clang-format on
};

class AppendWords : public ::testing::TestWithParam<Word> {};

TEST_P(AppendWords, AreRefusedByName) {
  Call call;
  GetParam().set(call);
  const Thrown e = thrown([&] { AppendKv().forward_native(call.args, call.params); });
  EXPECT_EQ(e.code, ErrorCode::kUnsupported);
  EXPECT_EQ(e.what, std::string("append: ") + GetParam().name +
                        " is given, expected k, v, k_new, v_new, k_descale, v_descale and "
                        "slot_mapping alone, as append stores rows; use paged");
  call.expect_unchanged();
}

INSTANTIATE_TEST_SUITE_P(Append, AppendWords, ::testing::ValuesIn(kWords),
                         [](const auto& p) { return std::string(p.param.name); });

}  // namespace
}  // namespace attend::testing
