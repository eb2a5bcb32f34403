#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "attend/attention_params.h"
#include "tests/support/case_lengths.h"
#include "tests/support/case_memory.h"

namespace attend::testing {

// The pages of a case: which requests have which, in the order of their keys.
struct CasePages {
  int64_t count = 0;                             // pages of the tensors
  std::vector<std::vector<int64_t>> of_request;  // room for all its keys, own rows included
  std::vector<int64_t> slots;                    // of each row of q
  // By page: the requests that have it, and which of their pages it is; of some pages none.
  std::vector<std::vector<std::pair<int64_t, int64_t>>> holders;
};

// Where k and v of a case lie.
struct CaseKeys {
  CasePages pages;
  const Block *k = nullptr, *v = nullptr;  // v null: in k's memory
  const Block *k_new = nullptr, *v_new = nullptr;
};

CasePages make_pages(CaseMemory& memory, const CaseLengths& lengths, SeqLayout& seq);
// k, v, own rows and descales.
CaseKeys make_keys(CaseMemory& memory, const CaseLengths& lengths, AttentionArgs& args);

}  // namespace attend::testing
