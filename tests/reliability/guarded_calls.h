#pragma once
#include <optional>
#include <string>

#include "attend/error.h"
#include "tests/kernels/rows.h"
#include "tests/reliability/arena.h"
#include "tests/support/tensors.h"

// What the tests of poisoned memory share: each case once, then every row of the operator on it.
namespace attend::testing {

// Calls visit(row, case, tensors) where the row takes the case. tensors holds what the row makes of
// it in memory of the usual kind. Returns how many calls were visited.
template <class Cases, class Visit>
int each_guarded_call(OpId op, DeviceType device, const Cases& cases, const Visit& visit) {
  int visited = 0;
  for (const AttentionCase& c : cases) {
    if (!in_domain(op, c)) continue;
    CaseTensors tensors = make_tensors(as_read_by(op, c));
    for (const AttentionKernel& row : Registry::global().attention_kernels(op, device)) {
      const Fault fault(std::string(row.name) + " on " + name(c));
      tensors.reset_outputs();
      const CaseTensors& before = tensors;
      try {
        visit(row, c, before);
        ++visited;
      } catch (const Error& e) {
        if (e.code() != ErrorCode::kUnsupported) throw;
      }
    }
  }
  return visited;
}

// Of the rows of native, whose memory can be poisoned.
template <class Cases, class Visit>
int each_guarded_call(OpId op, const Cases& cases, const Visit& visit) {
  return each_guarded_call(op, DeviceType::kNative, cases, visit);
}

}  // namespace attend::testing
