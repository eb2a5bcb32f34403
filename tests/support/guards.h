#pragma once
#include "tests/support/case_keys.h"
#include "tests/support/oracle.h"

namespace attend::testing {

// What a call may write: of out, lse, weights and scores the rows in use, of pages the slots that
// its rows address.
void mark_writable(CaseMemory& memory, const CaseLengths& lengths, const CasePages& pages,
                   const Oracle& oracle);

// NaN wherever nothing may be read into a result: rows and keys beyond a length, keys that no row
// sees, pages of no request, gaps between strides, bias of hidden pairs.
void poison_unseen(const CaseMemory& memory, const CaseLengths& lengths, const CaseKeys& keys,
                   const Block& q, const Block* bias, const AttentionArgs& args,
                   const AttentionParams& params, const Oracle& oracle);

}  // namespace attend::testing
