#pragma once
#include <cstdint>
#include <vector>

#include "attend/metadata.h"

namespace attend::engine {

// Metadata for steps that are captured into a graph once and replayed with other data: tensors that
// stay where they are, for as many requests and rows as were captured, into which each step's own are
// copied. In native memory; who captures on a device copies from here.
//
// What a step does not fill is padding: requests without query rows and without keys, slots of -1 that
// store nothing, state slot 0, which belongs to nobody.
class GraphState {
 public:
  // Requests, rows of all of them together, and pages of one, at most; tokens of a page.
  //   errors   kInvalidArgument if one is less than 1
  GraphState(int64_t max_num_reqs, int64_t max_num_rows, int64_t max_num_pages, int64_t page_size);

  // The numbers of requests that are worth a graph: 1, 2, 4, 8, then every 16, and the most.
  static std::vector<int64_t> buckets(int64_t max_num_reqs);

  // For capture: num_reqs requests of rows_per_req rows each, sequences of `fill` tokens, their own
  // rows included, nothing stored.
  //   errors   kOutOfRange if that is more than was asked for
  const AttnMetadata& capture(int64_t num_reqs, int64_t rows_per_req, int32_t fill);
  // For replay of what was captured for num_reqs requests: this step's metadata and padding behind.
  //   errors   kOutOfRange if the step has more requests, rows or pages; nothing is copied then
  const AttnMetadata& replay(const AttnMetadata& step, int64_t num_reqs);

 private:
  void describe(int64_t num_reqs, int64_t num_rows);

  int64_t max_num_reqs_, max_num_rows_, max_num_pages_;
  int64_t rows_per_req_ = 1;
  std::vector<int32_t> cu_seqlens_q_, context_lens_, slot_mapping_, block_table_, state_slots_;
  AttnMetadata metadata_;
};

}  // namespace attend::engine
