#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "attend/metadata.h"
#include "strategies/common/batch.h"
#include "strategies/common/engine_config.h"
#include "strategies/engine/attention_backend.h"
#include "strategies/engine/models/model.h"

namespace attend::engine {

// Turns a batch into rows and metadata, runs the model under it and hands out logits.
class ModelRunner {
 public:
  ModelRunner(const EngineConfig& config, Model& model, AttentionBackend& backend);
  virtual ~ModelRunner() = default;

  // Logits f32 [samples, vocab], a row for each item that samples; they stay until the next run.
  //   errors   the model's and the operators'; keys in the pages are then those that a second try
  //            stores again, but states of gated delta layers may be a step ahead
  TensorView run(const Batch& batch);

 protected:
  // What one step hands to the model, all requests one behind the other.
  struct Rows {
    std::vector<int32_t> ids, positions, logits_rows;
    std::vector<int32_t> cu_seqlens_q, context_lens, slot_mapping, block_table, state_slots;
    int64_t max_seqlen_q = 0, max_seqlen_k = 0;
  };
  // Fills rows_ and returns this step's metadata, whose tensors lie in rows_.
  virtual const AttnMetadata& prepare(const Batch& batch);
  void add_rows(const ScheduledRequest& item);
  void add_block_table(const Batch& batch);
  void describe(AttnMetadata& metadata);

  const int32_t page_size_;
  Rows rows_;

 private:
  Model& model_;
  AttentionBackend& backend_;
  AttnMetadata metadata_;
  Tensor logits_;
};

}  // namespace attend::engine
