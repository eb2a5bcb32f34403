#include <attend/attend.h>

#include <cstdio>
#include <vector>

int main() {
  using namespace attend;
  std::vector<float> q(4 * 2 * 64, 1.0f), k(4 * 64, 1.0f), v(4 * 64), out(q.size());
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / 64);  // token t holds t
  AttentionArgs args;
  args.q = contiguous(q.data(), DType::kF32, {1, 4, 2, 64});  // [batch, seqlen, heads, head_dim]
  args.k = contiguous(k.data(), DType::kF32, {1, 4, 1, 64});  // both query heads read one key head
  args.v = contiguous(v.data(), DType::kF32, {1, 4, 1, 64});
  args.out = contiguous(out.data(), DType::kF32, {1, 4, 2, 64});
  AttentionParams params;
  params.mask.causal = true;
  const RunResult result = FlashAttention().forward(args, params);
  std::printf("%s: token 3 sees the mean of 0, 1, 2, 3 = %.2f\n", result.kernel, out.back());
}
