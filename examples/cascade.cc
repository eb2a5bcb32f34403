// Two requests share a prefix of their keys. The prefix is attended once, by the rows of both as if
// they were one sequence; each request attends its own pages; the two parts are merged by their lse.
#include <attend/attend.h>

#include <cstdio>
#include <vector>

int main() {
  using namespace attend;
  constexpr int64_t kRequests = 2, kHeads = 2, kDim = 64, kPageSize = 2;
  // Pages 0 and 1 hold the prefix, page 2 is request 0's own and page 3 request 1's. Token t holds
  // t, and all keys are alike: an output is the mean of what its request sees.
  std::vector<float> k(4 * kPageSize * kDim, 1.0f), v(k.size()), q(kRequests * kHeads * kDim, 1.0f);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / kDim);
  std::vector<float> out(q.size()), own_out(q.size()), lse(kRequests * kHeads), own_lse(lse.size());

  AttentionArgs prefix;  // [1, requests, ..] rows, [1, 4, ..] keys: the pages follow one another
  prefix.q = contiguous(q.data(), DType::kF32, {1, kRequests, kHeads, kDim});
  prefix.k = contiguous(k.data(), DType::kF32, {1, 2 * kPageSize, 1, kDim});
  prefix.v = contiguous(v.data(), DType::kF32, {1, 2 * kPageSize, 1, kDim});
  prefix.out = contiguous(out.data(), DType::kF32, {1, kRequests, kHeads, kDim});
  prefix.lse = contiguous(lse.data(), DType::kF32, {1, kHeads, kRequests});
  const RunResult shared = FlashAttention().forward(prefix, {});

  std::vector<int32_t> table = {2, 3}, keys = {kPageSize, kPageSize};
  AttentionArgs own;
  own.q = contiguous(q.data(), DType::kF32, {kRequests, 1, kHeads, kDim});
  own.k = contiguous(k.data(), DType::kF32, {4, kPageSize, 1, kDim});
  own.v = contiguous(v.data(), DType::kF32, {4, kPageSize, 1, kDim});
  own.out = contiguous(own_out.data(), DType::kF32, {kRequests, 1, kHeads, kDim});
  own.lse = contiguous(own_lse.data(), DType::kF32, {kRequests, kHeads, 1});
  own.seq.block_table = contiguous(table.data(), DType::kI32, {kRequests, 1});
  own.seq.seqused_k = contiguous(keys.data(), DType::kI32, {kRequests});
  const RunResult apart = PagedAttention().forward(own, {});

  MergeArgs parts;  // the prefix's part again, seen request by request; the result in its place
  parts.out_a = contiguous(out.data(), DType::kF32, {kRequests, 1, kHeads, kDim});
  parts.lse_a = transposed(prefix.lse, 0, 2);  // [requests, heads, 1]
  parts.out_b = own.out;
  parts.lse_b = own.lse;
  parts.out = parts.out_a;
  parts.lse = parts.lse_a;
  const RunResult joined = MergePartials().forward(parts, {});

  std::printf("%s, %s, %s\n", shared.kernel, apart.kernel, joined.kernel);
  std::printf("request 0: the mean of 0, 1, 2, 3, 4, 5 = %.2f\n", out.front());
  std::printf("request 1: the mean of 0, 1, 2, 3, 6, 7 = %.2f\n", out.back());
}
