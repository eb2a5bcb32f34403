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
  std::vector<int64_t> owner, number;            // by page: the request (-1: none), its page there

  // The request and the position of a slot; -1 if no request has its page.
  std::pair<int64_t, int64_t> key_at(int64_t page, int64_t offset, int64_t page_size) const;
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
