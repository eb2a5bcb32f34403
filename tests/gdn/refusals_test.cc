// One test for each refusal of ops/gdn: its code, its whole text, and that not a byte is written.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/gdn/tensors.h"
#include "tests/support/devices.h"
#include "tests/support/element.h"
#include "tests/support/run_row.h"
#include "tests/support/thrown.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr auto kInvalid = ErrorCode::kInvalidArgument;
constexpr auto kRange = ErrorCode::kOutOfRange;

GdnCase bare() {
  GdnCase c;
  c.batch = 2;
  c.seqlen = 3;
  c.sizes = {2, 4, 8, 6};
  return c;
}
GdnCase layer() {
  GdnCase c = bare();
  c.conv = GdnConv::kFourBias;
  c.conv_state = true;
  c.decay = GdnDecay::kGates;
  c.gated_beta = true;
  c.norm = GdnNorm::kF32Weight;
  return c;
}
GdnCase ragged() {
  GdnCase c = bare();
  c.layout = GdnLayout::kRaggedI32;
  return c;
}
GdnCase slots() {
  GdnCase c = bare();
  c.slots = GdnSlots::kI32;
  return c;
}
GdnCase alpha() {
  GdnCase c = bare();
  c.decay = GdnDecay::kAlpha;
  return c;
}
GdnCase channel() {
  GdnCase c = bare();
  c.decay = GdnDecay::kChannelG;
  return c;
}
GdnCase apart() {
  GdnCase c = slots();
  c.states = GdnStates::kApart;
  return c;
}
GdnCase stateless() {
  GdnCase c = bare();
  c.states = GdnStates::kNone;
  return c;
}
GdnCase stateless_layer() {
  GdnCase c = layer();
  c.states = GdnStates::kNone;
  return c;
}

struct Spoiled : GdnTensors {
  using GdnTensors::GdnTensors;
  std::vector<Values> more;
  TensorView values(DType dtype, std::initializer_list<int64_t> shape, double value = 0) {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    more.emplace_back(dtype, shape, std::vector<double>(static_cast<size_t>(n), value));
    return more.back();
  }
};

struct Refusal {
  const char* name;
  GdnCase (*of)();
  void (*spoil)(Spoiled&);
  ErrorCode code;
  const char* text;  // after "gdn: "
};

const Refusal kRefusals[] = {
    // clang-format off
    // words
    {"ScaleInfinite", bare, [](Spoiled& t) { t.params.softmax_scale = INFINITY; }, kInvalid, "softmax_scale is inf, expected a finite number"},
    {"ChunkZero", bare, [](Spoiled& t) { t.params.chunk_size = 0; }, kInvalid, "chunk_size is 0, expected 1 to 1024 tokens"},
    {"ChunkLarge", bare, [](Spoiled& t) { t.params.chunk_size = 1025; }, kInvalid, "chunk_size is 1025, expected 1 to 1024 tokens"},
    {"QWithMixed", layer, [](Spoiled& t) { t.args.q = t.values(DType::kF32, {2, 3, 2, 8}); }, kInvalid, "q and mixed_qkv are both given, expected one of the two"},
    {"KWithMixed", layer, [](Spoiled& t) { t.args.k = t.values(DType::kF32, {2, 3, 2, 8}); }, kInvalid, "k and mixed_qkv are both given, expected one of the two"},
    {"VWithMixed", layer, [](Spoiled& t) { t.args.v = t.values(DType::kF32, {2, 3, 4, 6}); }, kInvalid, "v and mixed_qkv are both given, expected one of the two"},
    {"NoQ", bare, [](Spoiled& t) { t.args.q = {}; }, kInvalid, "q is absent, expected q, k and v, or mixed_qkv"},
    {"NoK", bare, [](Spoiled& t) { t.args.k = {}; }, kInvalid, "k is absent, expected q, k and v, or mixed_qkv"},
    {"NoV", bare, [](Spoiled& t) { t.args.v = {}; }, kInvalid, "v is absent, expected q, k and v, or mixed_qkv"},
    {"NoOut", bare, [](Spoiled& t) { t.args.out = {}; }, kInvalid, "out is absent, expected a tensor"},
    {"NoConvWeight", layer, [](Spoiled& t) { t.args.conv_weight = {}; }, kInvalid, "conv_weight is absent, expected it with mixed_qkv"},
    {"ConvWeightAlone", bare, [](Spoiled& t) { t.args.conv_weight = t.values(DType::kF32, {56, 4}); }, kInvalid, "conv_weight is given, expected it only with mixed_qkv"},
    {"ConvBiasAlone", bare, [](Spoiled& t) { t.args.conv_bias = t.values(DType::kF32, {56}); }, kInvalid, "conv_bias is given, expected it only with mixed_qkv"},
    {"ConvStateAlone", bare, [](Spoiled& t) { t.args.conv_state = t.values(DType::kF32, {2, 56, 3}); }, kInvalid, "conv_state is given, expected it only with mixed_qkv"},
    {"ConvSiluAlone", bare, [](Spoiled& t) { t.params.conv_silu = false; }, kInvalid, "conv_silu is off, expected it only with mixed_qkv"},
    {"KHeadsNegative", bare, [](Spoiled& t) { t.params.k_heads = -1; }, kInvalid, "k_heads is -1, expected 0 (not told) or more"},
    {"VHeadsNegative", bare, [](Spoiled& t) { t.params.v_heads = -2; }, kInvalid, "v_heads is -2, expected 0 (not told) or more"},
    {"GWithAlpha", bare, [](Spoiled& t) { t.args.alpha = t.values(DType::kF32, {2, 3, 4}, 0.5); }, kInvalid, "g and alpha are both given, expected one of the two"},
    {"GWithA", bare, [](Spoiled& t) { t.args.a = t.values(DType::kF32, {2, 3, 4}); }, kInvalid, "g and a are both given, expected one of the two"},
    {"AlphaWithA", alpha, [](Spoiled& t) { t.args.a = t.values(DType::kF32, {2, 3, 4}); }, kInvalid, "alpha and a are both given, expected one of the two"},
    {"NoDecay", bare, [](Spoiled& t) { t.args.g = {}; }, kInvalid, "g is absent, expected one of g, alpha, or a with a_log and dt_bias"},
    {"NoALog", layer, [](Spoiled& t) { t.args.a_log = {}; }, kInvalid, "a_log is absent, expected it with a"},
    {"NoDtBias", layer, [](Spoiled& t) { t.args.dt_bias = {}; }, kInvalid, "dt_bias is absent, expected it with a"},
    {"ALogAlone", bare, [](Spoiled& t) { t.args.a_log = t.values(DType::kF32, {4}); }, kInvalid, "a_log is given, expected it only with a"},
    {"DtBiasAlone", bare, [](Spoiled& t) { t.args.dt_bias = t.values(DType::kF32, {4}); }, kInvalid, "dt_bias is given, expected it only with a"},
    {"BetaWithB", bare, [](Spoiled& t) { t.args.b = t.values(DType::kF32, {2, 3, 4}); }, kInvalid, "beta and b are both given, expected one of the two"},
    {"NoBeta", bare, [](Spoiled& t) { t.args.beta = {}; }, kInvalid, "beta is absent, expected one of beta and b"},
    {"ZWithoutWeight", bare, [](Spoiled& t) { t.args.z = t.values(DType::kF32, {2, 3, 4, 6}); }, kInvalid, "norm_weight is absent, expected it with z"},
    {"WeightWithoutZ", bare, [](Spoiled& t) { t.args.norm_weight = t.values(DType::kF32, {6}); }, kInvalid, "z is absent, expected it with norm_weight"},
    {"L2EpsNegative", bare, [](Spoiled& t) { t.params.l2_eps = -1; }, kInvalid, "l2_eps is -1, expected 0 or a positive finite number"},
    {"L2EpsUnused", bare, [](Spoiled& t) { t.params.normalize_qk = false, t.params.l2_eps = 0.5f; }, kInvalid, "l2_eps is 0.5, expected it only with normalize_qk"},
    {"NormEpsNaN", layer, [](Spoiled& t) { t.params.norm_eps = NAN; }, kInvalid, "norm_eps is nan, expected 0 or a positive finite number"},
    {"NormEpsUnused", bare, [](Spoiled& t) { t.params.norm_eps = 0.5f; }, kInvalid, "norm_eps is 0.5, expected it only with z and norm_weight"},
    {"SlotsWithoutPools", stateless, [](Spoiled& t) { t.args.state_indices = t.values(DType::kI32, {2}); }, kInvalid, "state_indices is given, expected it only with state, final_state or conv_state"},
    {"PaddingSlotNegative", slots, [](Spoiled& t) { t.params.padding_slot = -2; }, kInvalid, "padding_slot is -2, expected -1 (none) or a slot"},
    {"PaddingWithoutSlots", bare, [](Spoiled& t) { t.params.padding_slot = 0; }, kInvalid, "padding_slot is 0, expected it only with state_indices"},
    // tensors
    {"OtherDevice", bare, [](Spoiled& t) { t.args.k.device = {DeviceType::kCuda, 1}; }, kInvalid, "k is on cuda:1, expected native:0 (device of q)"},
    {"NullData", bare, [](Spoiled& t) { t.args.beta.data = nullptr; }, kInvalid, "beta data is null, expected memory for 24 elements"},
    {"Misaligned", bare, [](Spoiled& t) { t.args.g.data = static_cast<char*>(t.args.g.data) + 2; }, kInvalid, "g address is not a multiple of 4, expected the alignment of an element"},
    {"NegativeDim", bare, [](Spoiled& t) { t.args.v.shape[1] = -3; }, kInvalid, "v dim 1 is -3, expected 0 or more"},
    {"Overflow", bare, [](Spoiled& t) { t.args.state.stride[0] = INT64_MAX / 2; }, kInvalid, "state shape and strides reach beyond 64 bits, expected sizes that memory can hold"},
    // shapes
    {"CuRank", ragged, [](Spoiled& t) { t.args.cu_seqlens = t.values(DType::kI32, {3, 1}); }, kInvalid, "cu_seqlens rank is 2, expected 1 [batch + 1]"},
    {"CuDtype", ragged, [](Spoiled& t) { t.args.cu_seqlens = t.values(DType::kF32, {3}); }, kInvalid, "cu_seqlens dtype is f32, expected i32 or i64"},
    {"CuEmpty", ragged, [](Spoiled& t) { t.args.cu_seqlens = t.values(DType::kI32, {0}); }, kInvalid, "cu_seqlens dim 0 is 0, expected batch + 1"},
    {"OutRank", bare, [](Spoiled& t) { t.args.out.rank = 3; }, kInvalid, "out rank is 3, expected 4 [batch, seqlen, heads, v_dim]"},
    {"OutRankRagged", ragged, [](Spoiled& t) { t.args.out.rank = 2; }, kInvalid, "out rank is 2, expected 3 [total, heads, v_dim], as cu_seqlens is given"},
    {"OutDtype", bare, [](Spoiled& t) { t.args.out.dtype = DType::kBF16; }, kInvalid, "out dtype is bf16, expected f32"},
    {"OutDim", bare, [](Spoiled& t) { t.args.out.shape[3] = 5; }, kInvalid, "out dim 3 is 5, expected 6 (v_dim of v)"},
    {"OutHeads", bare, [](Spoiled& t) { t.args.out.shape[2] = 2; }, kInvalid, "out dim 2 is 2, expected 4 (the larger of k_heads and v_heads)"},
    {"OutRows", bare, [](Spoiled& t) { t.args.out.shape[1] = 2; }, kInvalid, "out dim 1 is 2, expected 3 (seqlen of q)"},
    {"QRank", bare, [](Spoiled& t) { t.args.q.rank = 3; }, kInvalid, "q rank is 3, expected 4 [batch, seqlen, k_heads, k_dim]"},
    {"KRank", bare, [](Spoiled& t) { t.args.k.rank = 3; }, kInvalid, "k rank is 3, expected 4 [batch, seqlen, k_heads, k_dim]"},
    {"VRank", bare, [](Spoiled& t) { t.args.v.rank = 3; }, kInvalid, "v rank is 3, expected 4 [batch, seqlen, v_heads, v_dim]"},
    {"QDtype", bare, [](Spoiled& t) { t.args.q.dtype = DType::kI32; }, kInvalid, "q dtype is i32, expected f32 or f16 or bf16"},
    {"KDtype", bare, [](Spoiled& t) { t.args.k.dtype = DType::kF16; }, kInvalid, "k dtype is f16, expected f32 like q"},
    {"VDtype", bare, [](Spoiled& t) { t.args.v.dtype = DType::kBF16; }, kInvalid, "v dtype is bf16, expected f32 like q"},
    {"KRows", bare, [](Spoiled& t) { t.args.k.shape[1] = 2; }, kInvalid, "k dim 1 is 2, expected 3 (seqlen of q)"},
    {"KBatch", bare, [](Spoiled& t) { t.args.k.shape[0] = 1; }, kInvalid, "k dim 0 is 1, expected 2 (batch of q)"},
    {"VRowsRagged", ragged, [](Spoiled& t) { t.args.v.shape[0] = 2; }, kInvalid, "v dim 0 is 2, expected 6 (total of q)"},
    {"KHeadsOfK", bare, [](Spoiled& t) { t.args.k.shape[2] = 1; }, kInvalid, "k dim 2 is 1, expected 2 (k_heads of q)"},
    {"KDimOfK", bare, [](Spoiled& t) { t.args.k.shape[3] = 7; }, kInvalid, "k dim 3 is 7, expected 8 (k_dim of q)"},
    {"NoHeads", bare, [](Spoiled& t) { t.args.q.shape[2] = t.args.k.shape[2] = 0; }, kInvalid, "q k_heads is 0, expected 1 or more"},
    {"NoKDim", bare, [](Spoiled& t) { t.args.q.shape[3] = t.args.k.shape[3] = 0; }, kInvalid, "q k_dim is 0, expected 1 or more"},
    {"NoVHeads", bare, [](Spoiled& t) { t.args.v.shape[2] = 0; }, kInvalid, "v v_heads is 0, expected 1 or more"},
    {"NoVDim", bare, [](Spoiled& t) { t.args.v.shape[3] = 0; }, kInvalid, "v v_dim is 0, expected 1 or more"},
    {"HeadsDoNotDivide", bare, [](Spoiled& t) { t.args.v.shape[2] = 3; }, kInvalid, "v v_heads is 3, expected a multiple of k_heads 2, or the reverse"},
    {"KHeadsTold", bare, [](Spoiled& t) { t.params.k_heads = 3; }, kInvalid, "k_heads is 3, expected 2 (k_heads of q) or 0"},
    {"VHeadsTold", bare, [](Spoiled& t) { t.params.v_heads = 3; }, kInvalid, "v_heads is 3, expected 4 (v_heads of v) or 0"},
    {"MixedRank", layer, [](Spoiled& t) { t.args.mixed_qkv.rank = 2; }, kInvalid, "mixed_qkv rank is 2, expected 3 [batch, seqlen, channels]"},
    {"MixedDtype", layer, [](Spoiled& t) { t.args.mixed_qkv.dtype = DType::kI32; }, kInvalid, "mixed_qkv dtype is i32, expected f32 or f16 or bf16"},
    {"MixedChannels", layer, [](Spoiled& t) { t.args.mixed_qkv.shape[2] = 55; }, kInvalid, "mixed_qkv channels is 55, expected 2 k_heads k_dim + v_heads v_dim with v_heads 4, v_dim 6, k_heads 2, k_dim 8 of the state"},
    {"MixedHeadsUnknown", stateless_layer, [](Spoiled& t) { t.params.k_heads = 0; }, kInvalid, "k_heads is 0, expected the key heads of mixed_qkv, as without state and final_state no shape tells k_dim"},
    {"MixedOutHeads", layer, [](Spoiled& t) { t.args.out.shape[2] = 8, t.args.out.stride[2] = 3; }, kInvalid, "out dim 2 is 8, expected 4 (the larger of k_heads and v_heads)"},
    {"ConvWeightRank", layer, [](Spoiled& t) { t.args.conv_weight.rank = 1; }, kInvalid, "conv_weight rank is 1, expected 2 [channels, taps]"},
    {"ConvWeightChannels", layer, [](Spoiled& t) { t.args.conv_weight.shape[0] = 50; }, kInvalid, "conv_weight dim 0 is 50, expected 56 (channels of mixed_qkv)"},
    {"ConvNoTaps", layer, [](Spoiled& t) { t.args.conv_weight.shape[1] = 0; }, kInvalid, "conv_weight taps is 0, expected 1 or more"},
    {"ConvWeightDtype", layer, [](Spoiled& t) { t.args.conv_weight.dtype = DType::kI32; }, kInvalid, "conv_weight dtype is i32, expected f32 or f16 or bf16"},
    {"ConvBiasRank", layer, [](Spoiled& t) { t.args.conv_bias = t.values(DType::kF32, {56, 1}); }, kInvalid, "conv_bias rank is 2, expected 1 [channels]"},
    {"ConvBiasChannels", layer, [](Spoiled& t) { t.args.conv_bias.shape[0] = 8; }, kInvalid, "conv_bias dim 0 is 8, expected 56 (channels of mixed_qkv)"},
    {"ConvBiasDtype", layer, [](Spoiled& t) { t.args.conv_bias.dtype = DType::kI32; }, kInvalid, "conv_bias dtype is i32, expected f32 or f16 or bf16"},
    {"ConvStateDtype", layer, [](Spoiled& t) { t.args.conv_state = t.values(DType::kBF16, {2, 56, 3}); }, kInvalid, "conv_state dtype is bf16, expected f32 like mixed_qkv"},
    {"ConvStateRank", layer, [](Spoiled& t) { t.args.conv_state.rank = 2; }, kInvalid, "conv_state rank is 2, expected 3 [batch or slots, channels, taps - 1]"},
    {"ConvStateBatch", layer, [](Spoiled& t) { t.args.conv_state.shape[0] = 1; }, kInvalid, "conv_state dim 0 is 1, expected 2 (batch)"},
    {"ConvStateChannels", layer, [](Spoiled& t) { t.args.conv_state.shape[1] = 40; }, kInvalid, "conv_state dim 1 is 40, expected 56 (channels of mixed_qkv)"},
    {"ConvStateTaps", layer, [](Spoiled& t) { t.args.conv_state.shape[2] = 2; }, kInvalid, "conv_state dim 2 is 2, expected 3 (taps of conv_weight less 1)"},
    {"GDtype", bare, [](Spoiled& t) { t.args.g = t.values(DType::kF16, {2, 3, 4}); }, kInvalid, "g dtype is f16, expected f32"},
    {"GRank", bare, [](Spoiled& t) { t.args.g.rank = 2; }, kInvalid, "g rank is 2, expected 3 [batch, seqlen, heads] or [.., heads, k_dim]"},
    {"GHeads", bare, [](Spoiled& t) { t.args.g.shape[2] = 2; }, kInvalid, "g dim 2 is 2, expected 4 (heads of out)"},
    {"GRows", bare, [](Spoiled& t) { t.args.g.shape[1] = 2; }, kInvalid, "g dim 1 is 2, expected 3 (seqlen of q)"},
    {"GChannels", channel, [](Spoiled& t) { t.args.g.shape[3] = 6; }, kInvalid, "g dim 3 is 6, expected 8 (k_dim)"},
    {"AlphaDtype", alpha, [](Spoiled& t) { t.args.alpha.dtype = DType::kI32; }, kInvalid, "alpha dtype is i32, expected f32"},
    {"BetaDtype", bare, [](Spoiled& t) { t.args.beta.dtype = DType::kI32; }, kInvalid, "beta dtype is i32, expected f32"},
    {"BetaRank", bare, [](Spoiled& t) { t.args.beta.rank = 2; }, kInvalid, "beta rank is 2, expected 3 [batch, seqlen, heads]"},
    {"BetaHeads", bare, [](Spoiled& t) { t.args.beta.shape[2] = 1; }, kInvalid, "beta dim 2 is 1, expected 4 (heads of out)"},
    {"ADtype", layer, [](Spoiled& t) { t.args.a.dtype = DType::kI32; }, kInvalid, "a dtype is i32, expected f32 or f16 or bf16"},
    {"AHeads", layer, [](Spoiled& t) { t.args.a.shape[2] = 3; }, kInvalid, "a dim 2 is 3, expected 4 (heads of out)"},
    {"BRank", layer, [](Spoiled& t) { t.args.b.rank = 2; }, kInvalid, "b rank is 2, expected 3 [batch, seqlen, heads]"},
    {"ALogDtype", layer, [](Spoiled& t) { t.args.a_log.dtype = DType::kI32; }, kInvalid, "a_log dtype is i32, expected f32"},
    {"ALogHeads", layer, [](Spoiled& t) { t.args.a_log.shape[0] = 2; }, kInvalid, "a_log dim 0 is 2, expected 4 (heads of out)"},
    {"DtBiasRank", layer, [](Spoiled& t) { t.args.dt_bias = t.values(DType::kF32, {4, 1}); }, kInvalid, "dt_bias rank is 2, expected 1 [heads]"},
    {"StateRank", bare, [](Spoiled& t) { t.args.state.rank = 3; }, kInvalid, "state rank is 3, expected 4 [batch or slots, heads, v_dim, k_dim]"},
    {"StateDtype", bare, [](Spoiled& t) { t.args.state = t.values(DType::kBF16, {2, 4, 6, 8}); }, kInvalid, "state dtype is bf16, expected f32"},
    {"StateBatch", bare, [](Spoiled& t) { t.args.state.shape[0] = 1; }, kInvalid, "state dim 0 is 1, expected 2 (batch)"},
    {"StateHeads", bare, [](Spoiled& t) { t.args.state.shape[1] = 2; }, kInvalid, "state dim 1 is 2, expected 4 (heads of out)"},
    {"StateVDim", bare, [](Spoiled& t) { t.args.state.shape[2] = 5; }, kInvalid, "state dim 2 is 5, expected 6 (v_dim of out)"},
    {"StateKDim", bare, [](Spoiled& t) { t.args.state.shape[3] = 6; }, kInvalid, "state dim 3 is 6, expected 8 (k_dim)"},
    {"FinalSlots", apart, [](Spoiled& t) { t.args.final_state.shape[0] = 4; }, kInvalid, "final_state dim 0 is 4, expected 5 (slots of state)"},
    {"IndicesDtype", slots, [](Spoiled& t) { t.args.state_indices = t.values(DType::kF32, {2}); }, kInvalid, "state_indices dtype is f32, expected i32 or i64"},
    {"IndicesBatch", slots, [](Spoiled& t) { t.args.state_indices.shape[0] = 1; }, kInvalid, "state_indices dim 0 is 1, expected 2 (batch)"},
    {"ZRank", layer, [](Spoiled& t) { t.args.z.rank = 3; }, kInvalid, "z rank is 3, expected 4 [batch, seqlen, heads, v_dim]"},
    {"ZDim", layer, [](Spoiled& t) { t.args.z.shape[3] = 4; }, kInvalid, "z dim 3 is 4, expected 6 (v_dim of out)"},
    {"ZHeads", layer, [](Spoiled& t) { t.args.z.shape[2] = 2; }, kInvalid, "z dim 2 is 2, expected 4 (heads of out)"},
    {"NormWeightDim", layer, [](Spoiled& t) { t.args.norm_weight.shape[0] = 4; }, kInvalid, "norm_weight dim 0 is 4, expected 6 (v_dim of out)"},
    {"NormWeightDtype", layer, [](Spoiled& t) { t.args.norm_weight.dtype = DType::kI32; }, kInvalid, "norm_weight dtype is i32, expected f32 or f16 or bf16"},
    // contents
    {"CuStart", ragged, [](Spoiled& t) { *static_cast<int32_t*>(t.args.cu_seqlens.data) = 1; }, kInvalid, "cu_seqlens[0] is 1, expected 0"},
    {"CuDecreasing", ragged, [](Spoiled& t) { static_cast<int32_t*>(t.args.cu_seqlens.data)[2] = 2; }, kInvalid, "cu_seqlens[2] is 2, expected at least 3, the value before it"},
    {"CuBeyond", ragged, [](Spoiled& t) { static_cast<int32_t*>(t.args.cu_seqlens.data)[2] = 7; }, kRange, "cu_seqlens[2] is 7, expected at most 6, the rows there are"},
    {"SlotNegative", slots, [](Spoiled& t) { static_cast<int32_t*>(t.args.state_indices.data)[1] = -1; }, kRange, "state_indices[1] is -1, expected 0 to 4, the slots there are"},
    {"SlotBeyond", slots, [](Spoiled& t) { static_cast<int32_t*>(t.args.state_indices.data)[0] = 5; }, kRange, "state_indices[0] is 5, expected 0 to 4, the slots there are"},
    {"SlotTwice", slots, [](Spoiled& t) { static_cast<int32_t*>(t.args.state_indices.data)[1] = 3; }, kInvalid, "state_indices[1] is 3, expected a slot of its own; state_indices[0] has it"},
    {"SlotTwiceBesidePadding", slots, [](Spoiled& t) { t.params.padding_slot = 0, static_cast<int32_t*>(t.args.state_indices.data)[1] = 3; }, kInvalid, "state_indices[1] is 3, expected a slot of its own; state_indices[0] has it"},
    {"PaddingBeyond", slots, [](Spoiled& t) { t.params.padding_slot = 5; }, kRange, "padding_slot is 5, expected below 5, the slots there are"},
    {"GPositive", bare, [](Spoiled& t) { store(DType::kF32, address_of(t.args.g, {1, 2, 3}), 0.25); }, kRange, "g[1, 2, 3] is 0.25, expected 0 or less, the natural logarithm of a decay"},
    {"GNaN", bare, [](Spoiled& t) { store(DType::kF32, address_of(t.args.g, {0, 1, 2}), NAN); }, kRange, "g[0, 1, 2] is nan, expected 0 or less, the natural logarithm of a decay"},
    {"GChannelPositive", channel, [](Spoiled& t) { store(DType::kF32, address_of(t.args.g, {1, 0, 2, 7}), 1e-6); }, kRange, "g[1, 0, 2, 7] is 1e-06, expected 0 or less, the natural logarithm of a decay"},
    {"GPositiveRagged", ragged, [](Spoiled& t) { store(DType::kF32, address_of(t.args.g, {2, 1}), 3); }, kRange, "g[2, 1] is 3, expected 0 or less, the natural logarithm of a decay"},
    {"AlphaZero", alpha, [](Spoiled& t) { store(DType::kF32, address_of(t.args.alpha, {0, 0, 0}), 0); }, kRange, "alpha[0, 0, 0] is 0, expected a decay above 0 and at most 1"},
    {"AlphaLogarithm", alpha, [](Spoiled& t) { store(DType::kF32, address_of(t.args.alpha, {0, 0, 1}), -0.5); }, kRange, "alpha[0, 0, 1] is -0.5, expected a decay above 0 and at most 1"},
    {"AlphaLarge", alpha, [](Spoiled& t) { store(DType::kF32, address_of(t.args.alpha, {1, 1, 1}), 1.5); }, kRange, "alpha[1, 1, 1] is 1.5, expected a decay above 0 and at most 1"},
    {"AlphaNaN", alpha, [](Spoiled& t) { store(DType::kF32, address_of(t.args.alpha, {1, 1, 2}), NAN); }, kRange, "alpha[1, 1, 2] is nan, expected a decay above 0 and at most 1"},
    {"BetaNegative", bare, [](Spoiled& t) { store(DType::kF32, address_of(t.args.beta, {0, 2, 0}), -0.5); }, kRange, "beta[0, 2, 0] is -0.5, expected 0 to 2"},
    {"BetaLarge", bare, [](Spoiled& t) { store(DType::kF32, address_of(t.args.beta, {1, 0, 3}), 2.5); }, kRange, "beta[1, 0, 3] is 2.5, expected 0 to 2"},
    {"BetaNaN", bare, [](Spoiled& t) { store(DType::kF32, address_of(t.args.beta, {1, 0, 1}), NAN); }, kRange, "beta[1, 0, 1] is nan, expected 0 to 2"},
    // overlap
    {"OutIsV", bare, [](Spoiled& t) { t.args.out.data = t.args.v.data; }, kInvalid, "out memory overlaps v, expected memory of its own"},
    {"OutIsQ", bare, [](Spoiled& t) { t.args.q.data = t.args.out.data; }, kInvalid, "out memory overlaps q, expected memory of its own"},
    {"StateIsK", bare, [](Spoiled& t) { t.args.k.data = t.args.state.data; }, kInvalid, "state memory overlaps k, expected memory of its own"},
    {"FinalShifted", apart, [](Spoiled& t) { t.args.final_state.data = static_cast<float*>(t.args.state.data) + 1; }, kInvalid, "final_state memory overlaps state, expected memory of its own"},
    {"FinalReversed", apart, [](Spoiled& t) { t.args.final_state = t.args.state, t.args.final_state.data = address_of(t.args.state, {4}), t.args.final_state.stride[0] *= -1; }, kInvalid, "final_state memory overlaps state, expected memory of its own"},
    {"StateShared", bare, [](Spoiled& t) { t.args.state.stride[0] = 0; }, kInvalid, "state strides put two elements at one address, expected distinct ones"},
    {"ConvStateIsMixed", layer, [](Spoiled& t) { t.args.conv_state.data = t.args.mixed_qkv.data; }, kInvalid, "conv_state memory overlaps mixed_qkv, expected memory of its own"},
    // clang-format on
};

class GdnRefusals : public ::testing::TestWithParam<Refusal> {};

// The same call with its tensors on a device: what contents are is found there, and check() says
// it; all else is refused before anything is launched. Duplicates are found by debug builds.
void expect_refused_on(DeviceType device, const Refusal& r, const GdnTensors& t) {
  if (device == DeviceType::kNative || std::string(r.name) == "OtherDevice") return;
  const Device there{device, 0};
  GdnArgs args = t.args;
  GdnParams params = t.params;
  relabel(args, params, there);
  const Support support = GatedDeltaNet().supports(args, params, there);
  if (!support) {
    EXPECT_EQ(support.message, std::string("gdn: ") + r.text);
    return;
  }
#ifdef NDEBUG
  if (std::string(r.text).find("a slot of its own") != std::string::npos) return;
#endif
  const Thrown e = thrown([&] { forward_there(GatedDeltaNet(), device, t.args, t.params); });
  EXPECT_EQ(e.code, r.code);
  EXPECT_EQ(e.what, std::string("ExecContext::check: ") + r.text +
                        "; the request that holds it was skipped");
}

TEST_P(GdnRefusals, SaysWhyAndWritesNothing) {
  const Refusal& r = GetParam();
  Spoiled good(r.of());
  EXPECT_NO_THROW(GatedDeltaNet().forward(good.args, good.params)) << "before it is spoiled";
  Spoiled t(r.of());
  t.more.reserve(4);
  r.spoil(t);
  const auto before = t.written_bytes();
  const Thrown e = thrown([&] { GatedDeltaNet().forward_native(t.args, t.params); });
  EXPECT_EQ(e.code, r.code);
  EXPECT_EQ(e.what, std::string("gdn: ") + r.text);
  EXPECT_TRUE(t.written_bytes() == before);
  for (DeviceType device : test_devices()) expect_refused_on(device, r, t);
}

INSTANTIATE_TEST_SUITE_P(Rows, GdnRefusals, ::testing::ValuesIn(kRefusals),
                         [](const auto& p) { return std::string(p.param.name); });

// What looks like a mistake and is none.
TEST(GdnTakes, GatesOutOfRangeInPadding) {
  GdnCase c = slots();
  c.slots = GdnSlots::kPadding;
  GdnTensors t(c);
  store(DType::kF32, address_of(t.args.g, {0, 1, 1}), 5);
  store(DType::kF32, address_of(t.args.beta, {0, 1, 1}), -5);
  EXPECT_NO_THROW(GatedDeltaNet().forward(t.args, t.params));
}

TEST(GdnTakes, OneStateForAllWhenItIsOnlyRead) {
  GdnCase c = bare();
  c.states = GdnStates::kApart;
  GdnTensors t(c);
  t.args.state.stride[0] = 0;
  const GdnGold gold = t.gold();
  GatedDeltaNet().forward(t.args, t.params);
  EXPECT_LE(relative_rms(t.args.out, gold.out), 1e-5);
}

TEST(GdnTakes, NamesTheRowThatRan) {
  GdnTensors t(bare());
  EXPECT_EQ(std::string(GatedDeltaNet().forward(t.args, t.params).kernel),
            Registry::global().gdn_kernels(DeviceType::kNative).front().name);
  EXPECT_EQ(GatedDeltaNet().explain(t.args, t.params, Device{}).size(),
            Registry::global().gdn_kernels(DeviceType::kNative).size());
}

// Heads that shapes tell need not be told.
TEST(GdnTakes, AStateTellsTheHeadsOfMixedQkv) {
  GdnTensors t(layer());
  t.params.k_heads = t.params.v_heads = 0;
  const GdnGold gold = t.gold();
  GatedDeltaNet().forward(t.args, t.params);
  EXPECT_LE(relative_rms(t.args.out, gold.out), 1e-5);
}

}  // namespace
}  // namespace attend::testing
