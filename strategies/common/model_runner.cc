#include "strategies/common/model_runner.h"

#include <algorithm>

namespace attend::engine {

ModelRunner::ModelRunner(const EngineConfig& config, Model& model, AttentionBackend& backend)
    : page_size_(config.page_size), model_(model), backend_(backend) {}

void ModelRunner::add_rows(const ScheduledRequest& item) {
  const Request& request = *item.request;
  for (int64_t i = item.begin; i < item.begin + item.count; ++i) {
    rows_.ids.push_back(request.tokens[static_cast<size_t>(i)]);
    rows_.positions.push_back(static_cast<int32_t>(i));
    rows_.slot_mapping.push_back(request.pages[static_cast<size_t>(i / page_size_)] * page_size_ +
                                 static_cast<int32_t>(i % page_size_));
  }
  const auto rows = static_cast<int32_t>(rows_.ids.size());
  if (item.samples) rows_.logits_rows.push_back(rows - 1);
  rows_.cu_seqlens_q.push_back(rows);
  rows_.context_lens.push_back(static_cast<int32_t>(item.begin));
  rows_.state_slots.push_back(request.state_slot);
  rows_.max_seqlen_q = std::max(rows_.max_seqlen_q, item.count);
  rows_.max_seqlen_k = std::max(rows_.max_seqlen_k, item.begin + item.count);
}

void ModelRunner::add_block_table(const Batch& batch) {
  size_t columns = 1;
  for (const ScheduledRequest& item : batch.items)
    columns = std::max(columns, item.request->pages.size());
  rows_.block_table.assign(batch.items.size() * columns, -1);
  auto row = rows_.block_table.begin();
  for (const ScheduledRequest& item : batch.items) {
    std::copy(item.request->pages.begin(), item.request->pages.end(), row);
    row += static_cast<std::ptrdiff_t>(columns);
  }
}

void ModelRunner::describe(AttnMetadata& metadata) {
  const auto vector = [](std::vector<int32_t>& values) {
    return contiguous(values.data(), DType::kI32, {static_cast<int64_t>(values.size())});
  };
  const auto requests = static_cast<int64_t>(rows_.context_lens.size());
  metadata.cu_seqlens_q = vector(rows_.cu_seqlens_q);
  metadata.context_lens = vector(rows_.context_lens);
  metadata.slot_mapping = vector(rows_.slot_mapping);
  metadata.block_table =
      contiguous(rows_.block_table.data(), DType::kI32,
                 {requests, static_cast<int64_t>(rows_.block_table.size()) / requests});
  metadata.state_slots = vector(rows_.state_slots);
  metadata.max_seqlen_q = rows_.max_seqlen_q;
  metadata.max_seqlen_k = rows_.max_seqlen_k;
  metadata.page_size = page_size_;
}

const AttnMetadata& ModelRunner::prepare(const Batch& batch) {
  for (const ScheduledRequest& item : batch.items) add_rows(item);
  add_block_table(batch);
  describe(metadata_);
  return metadata_;
}

TensorView ModelRunner::run(const Batch& batch) {
  rows_ = {};
  rows_.cu_seqlens_q.push_back(0);
  const AttnMetadata& metadata = prepare(batch);
  const auto samples = static_cast<int64_t>(rows_.logits_rows.size());
  const int64_t vocab = model_.config().vocab_size;
  if (!logits_.view() || logits_.view().dim(0) < samples)
    logits_ = Tensor::empty(DType::kF32, {std::max<int64_t>(samples, 1), vocab});
  TensorView logits = logits_;
  logits.shape[0] = samples;

  const MetadataScope scope(metadata);
  backend_.init_forward_metadata(metadata);
  model_.forward({rows_.ids, rows_.positions, rows_.logits_rows}, backend_, logits);
  return logits;
}

}  // namespace attend::engine
