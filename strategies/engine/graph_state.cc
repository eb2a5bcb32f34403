#include "strategies/engine/graph_state.h"

#include <algorithm>
#include <string>

#include "attend/error.h"
#include "strategies/engine/gdn_pool.h"

namespace attend::engine {
namespace {

void expect_at_most(const char* what, int64_t got, int64_t most) {
  if (got > most)
    throw Error(ErrorCode::kOutOfRange, std::string("graph state: ") + what + " is " +
                                            std::to_string(got) + ", expected at most " +
                                            std::to_string(most));
}

// The indices of a step, which are i32 or i64 at any stride.
int32_t index_at(const TensorView& t, int64_t i) {
  const int64_t at = i * t.step(0);
  return t.dtype == DType::kI64 ? static_cast<int32_t>(static_cast<const int64_t*>(t.data)[at])
                                : static_cast<const int32_t*>(t.data)[at];
}

void copy(const TensorView& from, std::vector<int32_t>& to) {
  if (!from) return;
  for (int64_t i = 0; i < from.dim(0); ++i) to[static_cast<size_t>(i)] = index_at(from, i);
}

}  // namespace

GraphState::GraphState(int64_t max_num_reqs, int64_t max_num_rows, int64_t max_num_pages,
                       int64_t page_size)
    : max_num_reqs_(max_num_reqs), max_num_rows_(max_num_rows), max_num_pages_(max_num_pages) {
  for (const auto& [what, value] : {std::pair{"max_num_reqs", max_num_reqs},
                                    {"max_num_rows", max_num_rows},
                                    {"max_num_pages", max_num_pages},
                                    {"page_size", page_size}})
    if (value < 1)
      throw Error(ErrorCode::kInvalidArgument, std::string("graph state: ") + what + " is " +
                                                   std::to_string(value) + ", expected 1 or more");
  metadata_.page_size = static_cast<int32_t>(page_size);
  cu_seqlens_q_.resize(static_cast<size_t>(max_num_reqs) + 1);
  context_lens_.resize(static_cast<size_t>(max_num_reqs));
  state_slots_.resize(context_lens_.size());
  slot_mapping_.resize(static_cast<size_t>(max_num_rows));
  block_table_.resize(static_cast<size_t>(max_num_reqs * max_num_pages));
}

std::vector<int64_t> GraphState::buckets(int64_t max_num_reqs) {
  std::vector<int64_t> sizes;
  for (const int64_t n : {1, 2, 4, 8})
    if (n < max_num_reqs) sizes.push_back(n);
  for (int64_t n = 16; n < max_num_reqs; n += 16) sizes.push_back(n);
  sizes.push_back(max_num_reqs);
  return sizes;
}

void GraphState::describe(int64_t num_reqs, int64_t num_rows) {
  const auto vector = [](std::vector<int32_t>& values, int64_t count) {
    return contiguous(values.data(), DType::kI32, {count});
  };
  metadata_.cu_seqlens_q = vector(cu_seqlens_q_, num_reqs + 1);
  metadata_.context_lens = vector(context_lens_, num_reqs);
  metadata_.state_slots = vector(state_slots_, num_reqs);
  metadata_.slot_mapping = vector(slot_mapping_, num_rows);
  metadata_.block_table = contiguous(block_table_.data(), DType::kI32, {num_reqs, max_num_pages_});
  metadata_.max_seqlen_q = rows_per_req_;
  std::fill(slot_mapping_.begin(), slot_mapping_.end(), -1);
  std::fill(block_table_.begin(), block_table_.end(), -1);
  std::fill(context_lens_.begin(), context_lens_.end(), 0);
  std::fill(state_slots_.begin(), state_slots_.end(), GdnPool::kPaddingSlot);
}

const AttnMetadata& GraphState::capture(int64_t num_reqs, int64_t rows_per_req, int32_t fill) {
  expect_at_most("num_reqs", num_reqs, max_num_reqs_);
  expect_at_most("rows", num_reqs * rows_per_req, max_num_rows_);
  rows_per_req_ = rows_per_req;
  describe(num_reqs, num_reqs * rows_per_req);
  const auto before = static_cast<int32_t>(std::max<int64_t>(0, fill - rows_per_req));
  std::fill(context_lens_.begin(), context_lens_.end(), before);
  for (size_t i = 0; i < cu_seqlens_q_.size(); ++i)
    cu_seqlens_q_[i] = static_cast<int32_t>(static_cast<int64_t>(i) * rows_per_req);
  metadata_.max_seqlen_k = before + rows_per_req;
  return metadata_;
}

const AttnMetadata& GraphState::replay(const AttnMetadata& step, int64_t num_reqs) {
  const int64_t live = step.cu_seqlens_q.dim(0) - 1;
  const int32_t rows = index_at(step.cu_seqlens_q, live);
  expect_at_most("num_reqs", num_reqs, max_num_reqs_);
  expect_at_most("requests of the step", live, num_reqs);
  expect_at_most("rows of the step", rows, num_reqs * rows_per_req_);
  expect_at_most("rows of a request", step.max_seqlen_q, rows_per_req_);
  expect_at_most("pages of a request", step.block_table.dim(1), max_num_pages_);
  describe(num_reqs, num_reqs * rows_per_req_);
  copy(step.cu_seqlens_q, cu_seqlens_q_);
  std::fill(cu_seqlens_q_.begin() + live + 1, cu_seqlens_q_.end(), rows);
  copy(step.context_lens, context_lens_);
  copy(step.slot_mapping, slot_mapping_);
  copy(step.state_slots, state_slots_);
  for (int64_t r = 0; r < live; ++r) {
    TensorView row = step.block_table;
    row.data = static_cast<char*>(row.data) + r * row.step(0) * size_bytes(row.dtype);
    for (int64_t p = 0; p < row.dim(1); ++p) {
      TensorView page = row;
      page.stride[0] = row.step(1);
      block_table_[static_cast<size_t>(r * max_num_pages_ + p)] = index_at(page, p);
    }
  }
  metadata_.max_seqlen_k = std::max(step.max_seqlen_k, rows_per_req_);
  return metadata_;
}

}  // namespace attend::engine
