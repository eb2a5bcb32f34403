#include <attend/attend.h>

#include <cstdio>
#include <thread>
#include <vector>

// Three ranks, here threads of one process, share a causal sequence of 12 tokens. Zigzag gives each
// of them an early and a late piece, and so the same work.
int main() {
  using namespace attend;
  constexpr int64_t kTokens = 12, kDim = 16;
  constexpr int32_t kRanks = 3;
  InProcessRing ring(kRanks);
  float seen[kTokens];  // by token: the mean of the values that it sees

  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < kRanks; ++rank)
    threads.emplace_back([&, rank] {
      std::vector<int64_t> tokens;  // this rank's, in local order
      for (const RingSpan& span : ring_cut(RingPlacement::kZigzag, kTokens, rank, kRanks))
        for (int64_t i = 0; i < span.count; ++i) tokens.push_back(span.first + i);
      const auto rows = static_cast<int64_t>(tokens.size());
      std::vector<float> q(tokens.size() * kDim, 1.0f), k(q), v(q), out(q.size());
      for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(tokens[i / kDim]);
      AttentionArgs args;
      args.q = contiguous(q.data(), DType::kF32, {1, rows, 1, kDim});
      args.k = contiguous(k.data(), DType::kF32, {1, rows, 1, kDim});
      args.v = contiguous(v.data(), DType::kF32, {1, rows, 1, kDim});
      args.out = contiguous(out.data(), DType::kF32, {1, rows, 1, kDim});
      AttentionParams params;
      params.mask.causal = true;  // by position in the whole sequence
      params.ring_transport = ring.transport(rank);
      params.ring_placement = RingPlacement::kZigzag;
      RingAttention().forward(args, params);
      for (size_t i = 0; i < tokens.size(); ++i) seen[tokens[i]] = out[i * kDim];
    });
  for (std::thread& thread : threads) thread.join();
  for (int64_t t = 0; t < kTokens; ++t)
    std::printf("token %d sees the mean of 0 .. %d = %.2f\n", static_cast<int>(t),
                static_cast<int>(t), static_cast<double>(seen[t]));
}
