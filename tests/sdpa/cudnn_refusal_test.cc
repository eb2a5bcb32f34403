// What sdpa/cuda/cudnn says to calls that it does not take, and to those that it would take if there
// were an NVIDIA device: run over the stand-in driver, which cuDNN does not know.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "attend/attend.h"

namespace attend {
namespace {

constexpr Device kCuda0{DeviceType::kCuda, 0};

// bf16 [2, 64, 4, 64] and two kv heads, a call that cuDNN takes.
struct Call {
  static constexpr int64_t kBatch = 2, kRows = 64, kHeads = 4, kKvHeads = 2, kDim = 64;
  Tensor q = Tensor::empty(DType::kBF16, {kBatch, kRows, kHeads, kDim}, kCuda0);
  Tensor k = Tensor::empty(DType::kBF16, {kBatch, kRows, kKvHeads, kDim}, kCuda0);
  Tensor v = Tensor::empty(DType::kBF16, {kBatch, kRows, kKvHeads, kDim}, kCuda0);
  Tensor out = Tensor::empty(DType::kF32, {kBatch, kRows, kHeads, kDim}, kCuda0);
  Tensor words = Tensor::empty(DType::kF32, {1 << 16}, kCuda0);
  AttentionArgs args;
  AttentionParams params;
  Call() {
    args.q = q, args.k = k, args.v = v;
    args.out = contiguous(out.view().data, DType::kBF16, {kBatch, kRows, kHeads, kDim}, kCuda0);
  }
  TensorView word(DType dtype, std::initializer_list<int64_t> shape) const {
    return contiguous(words.view().data, dtype, shape, kCuda0);
  }
  std::string answer() const {
    for (const KernelAnswer& a : SdpaAttention().explain(args, params, kCuda0))
      if (std::string(a.kernel) == "sdpa/cuda/cudnn") return to_string(a.status);
    return "no such row";
  }
};

struct Refusal {
  const char* name;
  std::function<void(Call&)> spoil;
  const char* text;
};
const std::vector<Refusal> kRefusals = {
    {"Softcap", [](Call& c) { c.params.softcap = 3; }, "softcap is given"},
    {"Bias", [](Call& c) { c.params.bias = c.word(DType::kF32, {64}); }, "bias is given"},
    {"Alibi", [](Call& c) { c.params.alibi_slopes = c.word(DType::kF32, {4}); },
     "alibi_slopes is given"},
    {"Sinks", [](Call& c) { c.params.sinks = c.word(DType::kF32, {4}); }, "sinks is given"},
    {"Keep", [](Call& c) { c.params.mask.keep = c.word(DType::kBool, {64}); }, "keep is given"},
    {"WindowAlone", [](Call& c) { c.params.mask.window_left = 3; },
     "window_left without causal is given"},
    {"WindowRight", [](Call& c) { c.params.mask.window_right = 3; }, "window_right is given"},
    {"QStart", [](Call& c) { c.params.mask.q_start = c.word(DType::kI32, {2}); },
     "q_start is given"},
    {"Lengths", [](Call& c) { c.args.seq.seqused_k = c.word(DType::kI32, {2}); },
     "seqused_k is given"},
    {"F32",
     [](Call& c) {
       for (TensorView* t : {&c.args.q, &c.args.k, &c.args.v, &c.args.out}) {
         t->dtype = DType::kF32;
         t->shape[0] = 1;
         t->shape[1] = 32;
       }
     },
     "q dtype is f32, expected f16 or bf16"},
    {"OutF32", [](Call& c) { c.args.out = c.out; }, "out dtype is f32, expected that of q"},
    {"HeadDim", [](Call& c) { c.args.q.shape[3] = c.args.k.shape[3] = 60; },
     "head_dim is 60, expected a multiple of 8"},
    {"VDim", [](Call& c) { c.args.v.shape[3] = c.args.out.shape[3] = 12; },
     "v_dim is 12, expected a multiple of 8"},
    {"LastStride",
     [](Call& c) {
       c.args.k.shape[3] = c.args.q.shape[3] = 32;
       c.args.k.stride[3] = 2;
     },
     "k stride 3 is 2, expected 1"},
    {"Broadcast", [](Call& c) { c.args.v.stride[0] = 0; },
     "v stride 0 is 0, expected a positive multiple of 8"},
    {"OddStride",
     [](Call& c) {
       c.args.q.shape[3] = c.args.k.shape[3] = 56;
       c.args.q.stride[2] = 60;
     },
     "q stride 2 is 60, expected a positive multiple of 8"},
    {"Address",
     [](Call& c) {
       c.args.q.shape[1] = c.args.out.shape[1] = 63;
       c.args.q.data = static_cast<char*>(c.args.q.data) + 8;
     },
     "q address is not a multiple of 16"},
    {"OneRow", [](Call& c) { c.args.q.shape[1] = c.args.out.shape[1] = 1; }, "q has one row"},
    {"Empty", [](Call& c) { c.args.k.shape[1] = c.args.v.shape[1] = 0; }, "k is empty"},
    {"Scale", [](Call& c) { c.params.softmax_scale = 0.0f; }, "softmax_scale is not above 0"},
    {"RowsAboveTheDiagonal",
     [](Call& c) {
       c.args.k.shape[1] = c.args.v.shape[1] = 32;
       c.params.mask.causal = true;
       c.params.mask.diagonal = Diagonal::kBottomRight;
     },
     "a row sees no key"},
    {"RowsBeyondTheWindow",
     [](Call& c) {
       c.args.k.shape[1] = c.args.v.shape[1] = 32;
       c.params.mask.causal = true;
       c.params.mask.window_left = 31;
     },
     "a row sees no key"},
};

// Ragged, as [128, 4, 64] and lengths that nobody reads.
void pack(Call& c) {
  constexpr int64_t kTotal = Call::kBatch * Call::kRows;
  for (TensorView* t : {&c.args.q, &c.args.k, &c.args.v, &c.args.out}) {
    const int64_t heads = t->dim(2), dim = t->dim(3);
    *t = contiguous(t->data, t->dtype, {kTotal, heads, dim}, kCuda0);
  }
  c.args.seq.cu_seqlens_q = c.args.seq.cu_seqlens_k = c.word(DType::kI32, {Call::kBatch + 1});
}
const std::vector<Refusal> kRaggedRefusals = {
    {"Used",
     [](Call& c) {
       pack(c);
       c.args.seq.seqused_k = c.word(DType::kI32, {2});
     },
     "seqused_k is given"},
    {"OneRowEach",
     [](Call& c) {
       pack(c);
       c.args.seq.max_seqlen_q = 1;
     },
     "q has one row"},
    {"RaggedStride",
     [](Call& c) {
       pack(c);
       c.args.v.stride[1] = 0;
     },
     "v stride 1 is 0, expected a positive multiple of 8"},
    {"RaggedEmpty",
     [](Call& c) {
       pack(c);
       c.args.k.shape[0] = c.args.v.shape[0] = 0;
     },
     "k is empty"},
};

class CudnnRow : public ::testing::TestWithParam<Refusal> {};
INSTANTIATE_TEST_SUITE_P(Sdpa, CudnnRow, ::testing::ValuesIn(kRefusals),
                         [](const auto& p) { return p.param.name; });

INSTANTIATE_TEST_SUITE_P(SdpaRagged, CudnnRow, ::testing::ValuesIn(kRaggedRefusals),
                         [](const auto& p) { return p.param.name; });

TEST_P(CudnnRow, SaysWhatStandsInTheWay) {
  Call call;
  GetParam().spoil(call);
  const std::string answer = call.answer();
  EXPECT_TRUE(answer.starts_with(GetParam().text)) << answer;
  EXPECT_TRUE(SdpaAttention().supports(call.args, call.params, kCuda0))
      << "flash's tiles take it, expected a legal call";
}

TEST(CudnnRow, TakesNoCallInHostExecution) {
  Call call, ragged;
  pack(ragged);
  for (const bool causal : {false, true})
    for (const int32_t window : {-1, 5}) {
      for (Call* c : {&call, &ragged}) {
        c->params.mask.causal = causal || window >= 0;
        c->params.mask.window_left = window;
      }
      EXPECT_EQ(ragged.answer(), "cuDNN runs on NVIDIA devices, not in host execution");
      EXPECT_EQ(call.answer(), "cuDNN runs on NVIDIA devices, not in host execution");
    }
}

}  // namespace
}  // namespace attend
