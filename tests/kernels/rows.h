#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "attend/registry.h"
#include "tests/support/cases.h"

// Rows x cases, the parameters of the tests of this folder.
namespace attend::testing {

struct RowCase {
  OpId op;
  const AttentionKernel* row;
  const AttentionCase* the_case;
};

// What the contract promises of an operator on native: some row must take it.
inline bool in_domain(OpId op, const AttentionCase& c) {
  const int64_t dim = std::max(c.head_dim, c.dim_v());
  if (op == OpId::kVanilla) return dim <= 256;
  return !c.vanilla_only() && (dim <= 512 || (c.head_dim == 576 && c.dim_v() == 512));
}

// Every `step`-th case of the smoke tier, all of the full one.
inline std::vector<RowCase> rows_and_cases(size_t step = 1) {
  std::vector<RowCase> list;
  size_t n = 0;
  const Tier tier = tier_from_environment();
  for (const AttentionCase& c : cases(tier)) {
    if (tier == Tier::kSmoke && n++ % step != 0) continue;
    for (OpId op : {OpId::kVanilla, OpId::kFlash}) {
      if (!in_domain(op, c)) continue;
      for (const AttentionKernel& row :
           Registry::global().attention_kernels(op, DeviceType::kNative)) {
        list.push_back({op, &row, &c});
      }
    }
  }
  return list;
}

inline std::string test_name(const RowCase& p) {
  std::string text = p.row->name;
  std::replace(text.begin(), text.end(), '/', '_');
  return text + "__" + name(*p.the_case);
}

inline void PrintTo(const RowCase& p, std::ostream* stream) {
  *stream << p.row->name << " on " << *p.the_case;
}

}  // namespace attend::testing
