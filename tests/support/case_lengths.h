#pragma once
#include <cstdint>
#include <vector>

#include "tests/support/case_memory.h"

namespace attend::testing {

// How long the sequences of a case are, by sequence.
struct CaseLengths {
  std::vector<int64_t> rows, rows_used;    // of q
  std::vector<int64_t> keys, keys_used;    // of k and v; paged: used alone counts
  std::vector<int64_t> cached;             // paged: keys in the pages; the rest are own rows
  int64_t total_rows = 0, total_keys = 0;  // of ragged tensors, rows of no sequence included
  int64_t max_rows = 0, max_keys = 0;      // full dimensions of masks

  // First row of sequence b in q, counted through the batch.
  int64_t first_row(const AttentionCase& c, int64_t b) const;
};

// Draws the lengths and writes the words that tell them.
CaseLengths make_lengths(CaseMemory& memory, SeqLayout& seq);

std::vector<int64_t> cumulative(const std::vector<int64_t>& lengths);

}  // namespace attend::testing
