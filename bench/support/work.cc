#include "bench/support/work.h"

#include "tests/support/oracle.h"

namespace attend::bench {

Work work_of(const AttentionArgs& args, const AttentionParams& params) {
  const testing::Oracle oracle(args, params);
  // Only keep and block_mask can tell heads apart; without them one head speaks for all.
  const bool heads_differ = params.mask.keep.rank > 2 || params.mask.block_mask.rank > 2;
  const int64_t counted = heads_differ ? oracle.heads() : 1;
  Work w;
  for (int64_t b = 0; b < oracle.batch(); ++b)
    for (int64_t h = 0; h < counted; ++h)
      for (int64_t i = 0; i < oracle.seqlen_q(b); ++i)
        for (int64_t j = 0; j < oracle.seqlen_k(b); ++j) w.pairs += oracle.sees(b, h, i, j);
  w.pairs *= oracle.heads() / counted;
  w.flop =
      2.0 * static_cast<double>(oracle.head_dim() + oracle.v_dim()) * static_cast<double>(w.pairs);
  const auto bytes = [](const TensorView& t) {
    return static_cast<double>(t.num_elements() * size_bytes(t.dtype));
  };
  const auto key_bytes = [&](const TensorView& t) {
    return static_cast<double>(w.keys * t.dim(-2) * t.dim(-1) * size_bytes(t.dtype));
  };
  for (int64_t b = 0; b < oracle.batch(); ++b) w.keys += oracle.seqlen_k(b);
  w.bytes = bytes(args.q) + bytes(args.out) + key_bytes(args.k);
  if (args.v.data != args.k.data) w.bytes += key_bytes(args.v);
  return w;
}

}  // namespace attend::bench
