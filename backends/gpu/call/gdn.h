#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"
#include "ops/gdn/shape.h"

namespace attend::gpu {

// Rows of [.., heads, inner] or [.., heads]: element d of head h of token i of sequence b, whose first
// row is `first`, is (b * sequence + (first + i) * token + h * head + d * dim) elements from data.
struct GdnRows {
  std::byte* data = nullptr;
  int64_t sequence = 0, token = 0, head = 0, dim = 0;
  int32_t group = 1;       // heads of out that share a head here
  bool of_values = false;  // inner counts value dims
  DType dtype = DType::kF32;
};

// What decays are made of.
enum class GdnDecayFrom : uint8_t { kLogarithm, kLinear, kGate, kChannelLogarithm, kChannelLinear };

// What every kernel of gdn is given. The layer's parts hand rows on in f32.
struct GdnCall {
  enum { kQ, kK, kV, kRule, kDecay, kBeta, kRows };

  GdnArgs args;
  GdnParams params;
  GdnShape shape;
  // q, k, v as given or as the convolution makes them; the rule's rows of out, which are out itself
  // where no norm follows; what decay and beta are made of.
  GdnRows rows[kRows];
  GdnDecayFrom decay_from = GdnDecayFrom::kLogarithm;
  const uint8_t* skip = nullptr;  // [batch]: not 0 = nothing of it is written; may be null
};

// The rule (body/gdn_rule.h): a block has one sequence, one head and `slice` of its value dims.
struct GdnRuleShape {
  int most_k;  // k_dim at most
  int slice;
  uint32_t shared_bytes;
};
inline constexpr GdnRuleShape kGdnNarrow{128, 32, 41760}, kGdnWide{256, 16, 55840};
inline constexpr int kGdnRuleThreads = 128;
inline constexpr Kernel kGdnRuleNarrow{"attend_gdn_rule_128", kGdnRuleThreads};
inline constexpr Kernel kGdnRuleWide{"attend_gdn_rule_256", kGdnRuleThreads};
inline constexpr int kGdnTile = 16;      // tokens of a chunk form
inline constexpr int kGdnFewTokens = 8;  // of a last part that goes step by step

// The convolution, and the past that it leaves to the next call: a block has kGdnChannels channels,
// of kGdnConvTokens rows or of one sequence.
inline constexpr Kernel kGdnConv{"attend_gdn_conv", 128};
inline constexpr Kernel kGdnPast{"attend_gdn_past", 128};
inline constexpr int kGdnChannels = 128, kGdnConvTokens = 16;

// The gated norm: a team of 32 threads has one head of one row.
inline constexpr int kGdnNormTeam = 32;
inline constexpr Kernel kGdnNorm{"attend_gdn_norm", 128};
inline constexpr int kGdnNormRows = kGdnNorm.threads / kGdnNormTeam;  // of a block

}  // namespace attend::gpu
