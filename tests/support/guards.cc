#include "tests/support/guards.h"

#include <limits>
#include <string_view>

#include "tests/support/element.h"

namespace attend::testing {
namespace {

using Index = std::array<int64_t, kMaxRank>;

// Sequence and place in it of row t of a ragged tensor; the batch size behind the last.
std::pair<int64_t, int64_t> locate(const std::vector<int64_t>& lengths, int64_t t) {
  size_t b = 0;
  while (b < lengths.size() && t >= lengths[b]) t -= lengths[b++];
  return {static_cast<int64_t>(b), t};
}

// Calls visit for every pair of a row and a key that the words of the mask let it see.
template <class Visit>
void each_seen_pair(const Oracle& oracle, const Visit& visit) {
  for (int64_t b = 0; b < oracle.batch(); ++b)
    for (int64_t h = 0; h < oracle.heads(); ++h)
      for (int64_t i = 0; i < oracle.seqlen_q(b); ++i)
        for (int64_t j = 0; j < oracle.seqlen_k(b); ++j)
          if (oracle.sees(b, h, i, j)) visit(b, h, i, j);
}

// Which keys some row sees, by sequence and kv head.
class SeenKeys {
 public:
  explicit SeenKeys(const Oracle& oracle) : heads_(oracle.kv_heads()) {
    for (int64_t b = 0; b < oracle.batch(); ++b)
      seen_.insert(seen_.end(), static_cast<size_t>(heads_),
                   std::vector<bool>(static_cast<size_t>(oracle.seqlen_k(b))));
    const int64_t group = oracle.heads() / std::max<int64_t>(heads_, 1);
    each_seen_pair(oracle, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
      if (!oracle.bias_hides(b, h, i, j))
        seen_[static_cast<size_t>(b * heads_ + h / group)][static_cast<size_t>(j)] = true;
    });
  }
  bool operator()(int64_t b, int64_t j, int64_t kv_head) const {
    const auto at = static_cast<size_t>(b * heads_ + kv_head);
    return b >= 0 && at < seen_.size() && static_cast<size_t>(j) < seen_[at].size() &&
           seen_[at][static_cast<size_t>(j)];
  }

 private:
  int64_t heads_;
  std::vector<std::vector<bool>> seen_;
};

void poison_bias(const Block& block, const TensorView& bias, const Oracle& oracle) {
  const int64_t bytes = size_bytes(bias.dtype);
  std::vector<bool> used(block.size() / static_cast<size_t>(bytes), false);
  each_seen_pair(oracle, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t index[] = {b, h, i, j};
    int64_t offset = 0;
    for (int d = 0; d < bias.rank; ++d) {
      if (bias.dim(d) != 1) offset += index[4 - bias.rank + d] * bias.step(d);
    }
    const auto* address = static_cast<const std::byte*>(bias.data) + offset * bytes;
    used[static_cast<size_t>((address - block.data()) / bytes)] = true;
  });
  for (size_t n = 0; n < used.size(); ++n) {
    if (!used[n])
      store(bias.dtype, block.data() + static_cast<int64_t>(n) * bytes,
            std::numeric_limits<double>::quiet_NaN());
  }
}

}  // namespace

void mark_writable(CaseMemory& memory, const CaseLengths& lengths, const CasePages& pages,
                   const Oracle& oracle) {
  const AttentionCase& c = memory.c;
  for (OutputMemory& output : memory.outputs) {
    const std::string_view what = output.name;
    const int64_t bytes = size_bytes(output.view.dtype);
    const auto mark = [&](const void* address) { output.mark_writable(address, bytes); };
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t i = 0; i < oracle.seqlen_q(b); ++i) {
        if (what == "k" || what == "v") {
          const int64_t slot = pages.slots[static_cast<size_t>(lengths.first_row(c, b) + i)];
          for (int64_t h = 0; slot >= 0 && h < c.kv_heads; ++h)
            for (int64_t e = 0; e < output.view.dim(3); ++e)
              mark(address_of(output.view, {slot / c.page_size, slot % c.page_size, h, e}));
          continue;
        }
        for (int64_t h = 0; h < c.heads; ++h) {
          if (what == "lse") mark(oracle.lse_at(output.view, b, h, i));
          for (int64_t e = 0; what == "out" && e < c.dim_v(); ++e)
            mark(oracle.out_at(output.view, b, i, h, e));
          for (int64_t j = 0; (what == "weights" || what == "scores") && j < output.view.dim(3);
               ++j)
            mark(address_of(output.view, {b, h, i, j}));
        }
      }
    }
  }
}

void poison_unseen(const CaseMemory& memory, const CaseLengths& lengths, const CaseKeys& keys,
                   const Block& q, const Block* bias, const AttentionArgs& args,
                   const AttentionParams& params, const Oracle& oracle) {
  const AttentionCase& c = memory.c;
  const SeenKeys seen(oracle);
  poison(args.q, q, [&](const Index& at) {
    const auto [b, i] = args.q.rank == 3 ? locate(lengths.rows, at[0]) : std::pair(at[0], at[1]);
    return b < c.batch && i < oracle.seqlen_q(b);
  });
  const auto live_key = [&](const Index& at) {
    if (c.paged()) {
      for (const auto& [b, n] : keys.pages.holders[static_cast<size_t>(at[0])]) {
        const int64_t j = n * c.page_size + at[1];
        if (j < lengths.cached[static_cast<size_t>(b)] && seen(b, j, at[2])) return true;
      }
      return false;
    }
    if (args.k.rank == 4) return seen(at[0], at[1], at[2]);
    const auto [b, j] = locate(lengths.keys, at[0]);
    return seen(b, j, at[1]);
  };
  poison(args.k, *keys.k, live_key);
  if (keys.v) poison(args.v, *keys.v, live_key);
  // Own rows that are stored stay numbers, as i8 has no NaN to store.
  const auto live_own = [&](const Index& at) {
    const int64_t token = args.k_new.rank == 4 ? at[0] * c.seqlen_q + at[1] : at[0];
    const auto [b, t] = locate(lengths.rows, token);
    if (b >= c.batch || t >= oracle.seqlen_q(b)) return false;
    if (c.stores() && keys.pages.slots[static_cast<size_t>(token)] >= 0) return true;
    return seen(b, lengths.cached[static_cast<size_t>(b)] + t, at[args.k_new.rank == 4 ? 2 : 1]);
  };
  if (keys.k_new) poison(args.k_new, *keys.k_new, live_own);
  if (keys.v_new) poison(args.v_new, *keys.v_new, live_own);
  if (bias && bias->size() > 0) poison_bias(*bias, params.bias, oracle);
}

}  // namespace attend::testing
