// Metadata of one's own: an engine describes a step once, an attention layer deep inside the model
// fetches the description, and no function in between passes it on.
#include <attend/attend.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

using namespace attend;

namespace {

// A strategy whose tokens see only a few tokens before them.
struct SlidingMetadata : AttnMetadata {
  int32_t window = 0;  // tokens before a token's own position

  std::string_view strategy() const noexcept override { return "sliding"; }

  void validate() const override {
    AttnMetadata::validate();
    if (window < 0) {
      throw Error(ErrorCode::kInvalidArgument,
                  "sliding: window is " + std::to_string(window) + ", expected at least 0");
    }
  }

  void apply_to(SeqLayout& layout, MaskSpec& mask) const override {
    AttnMetadata::apply_to(layout, mask);
    mask.causal = true;
    mask.window_left = window;
  }
};

// What stands in the model: it knows its tensors and nothing of batches, strategies or windows.
RunResult attention_layer(AttentionArgs args) {
  AttentionParams params;
  fetch_attn_metadata().apply_to(args.seq, params.mask);
  return FlashAttention().forward(args, params);
}

}  // namespace

int main() {
  // Two requests of 2 and 4 tokens lie one behind the other; token t of the batch holds the value
  // t.
  constexpr int64_t kTokens = 6, kDim = 32;
  std::vector<float> q(kTokens * kDim, 1.0f), k(q), v(q.size()), out(q.size());
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / kDim);
  AttentionArgs args;
  args.q = contiguous(q.data(), DType::kF32, {kTokens, 1, kDim});
  args.k = contiguous(k.data(), DType::kF32, {kTokens, 1, kDim});
  args.v = contiguous(v.data(), DType::kF32, {kTokens, 1, kDim});
  args.out = contiguous(out.data(), DType::kF32, {kTokens, 1, kDim});

  std::array<int32_t, 3> starts{0, 2, 6};
  SlidingMetadata step;
  step.cu_seqlens_q = contiguous(starts.data(), DType::kI32, {3});
  step.cu_seqlens_k = step.cu_seqlens_q;
  step.max_seqlen_q = step.max_seqlen_k = 4;
  step.window = 1;

  {
    const MetadataScope scope(step);
    const auto& typed = fetch_attn_metadata_as<SlidingMetadata>();
    const RunResult result = attention_layer(args);
    std::printf("strategy %s, window %d, %s\n", std::string(typed.strategy()).c_str(), typed.window,
                result.kernel);
  }
  for (size_t t = 0; t < kTokens; ++t) std::printf("token %zu: %.1f\n", t, out[t * kDim]);

  try {
    attention_layer(args);
  } catch (const Error& error) {  // the scope has ended
    std::printf("%s: %s\n", name(error.code()), error.what());
  }
}
