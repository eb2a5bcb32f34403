#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/cases.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"

// Rows x cases, the parameters of the tests of this folder.
namespace attend::testing {

struct RowCase {
  OpId op;
  const AttentionKernel* row;
  const AttentionCase* the_case;
};

constexpr OpId kAttention[] = {OpId::kVanilla, OpId::kFlash, OpId::kPaged, OpId::kSplash,
                               OpId::kDecode,  OpId::kSdpa,  OpId::kRing};

// Words that make a call sparse; splash hands others to vanilla.
inline bool sparse(const AttentionCase& c) {
  return c.causal || c.block_size > 0 || c.window_left >= 0 || c.window_right >= 0 || c.segments ||
         c.hole || c.keep != Spread::kNone || c.block_mask != Spread::kNone;
}

// What the contract promises of an operator on every device: its portable row must take it.
inline bool in_domain(OpId op, const AttentionCase& c) {
  const int64_t dim = std::max(c.head_dim, c.dim_v());
  const bool plain = c.family == Family::kPlain, narrow = dim <= 256;
  const bool wide = dim <= 512 || (c.head_dim == 576 && c.dim_v() == 512);
  switch (op) {
    case OpId::kVanilla: return plain && narrow;
    case OpId::kFlash: return plain && !c.vanilla_only() && wide;
    case OpId::kSplash:
      return (plain || c.family == Family::kSplash) && !c.vanilla_only() && narrow && sparse(c) &&
             c.seqlen_q > 1;
    case OpId::kSdpa: return plain && !c.vanilla_only() && narrow;
    case OpId::kRing: return plain && !c.weights && !c.scores && narrow;
    case OpId::kPaged: return c.family == Family::kPaged && wide;
    case OpId::kDecode: return c.family == Family::kDecode && wide;
    default: return false;
  }
}

// The case in the words that the oracle reads: defaults of the operator spelled out.
inline AttentionCase as_read_by(OpId op, AttentionCase c) {
  if (op == OpId::kSdpa && c.diagonal == Diagonal::kOperatorDefault)
    c.diagonal = Diagonal::kTopLeft;
  return c;
}

// Every `step`-th case of the smoke tier, all of the full one. In smoke the operators that share
// flash's tiles take a third of its cases, and their own words in full.
inline std::vector<RowCase> rows_and_cases(size_t step = 1) {
  std::vector<RowCase> list;
  size_t n = 0;
  const bool smoke = tier_from_environment() == Tier::kSmoke;
  for (const AttentionCase& c : cases(tier_from_environment())) {
    if (smoke && n++ % step != 0) continue;
    for (OpId op : kAttention) {
      if (!in_domain(op, c)) continue;
      const bool shares = c.family == Family::kPlain && (op == OpId::kSplash || op == OpId::kRing);
      if (smoke && shares && n / step % 3 != 0) continue;
      for (const AttentionKernel& row : test_rows(op)) list.push_back({op, &row, &c});
    }
  }
  return list;
}

inline std::string test_name(const RowCase& p) {
  return test_name_of(p.row->name) + "__" + name(*p.the_case);
}

inline void PrintTo(const RowCase& p, std::ostream* stream) {
  *stream << p.row->name << " on " << *p.the_case;
}

}  // namespace attend::testing
