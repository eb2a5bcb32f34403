#pragma once
#include <memory>

#include "strategies/engine/attention_backend.h"
#include "strategies/engine/graph_state.h"
#include "strategies/engine/kv_pool.h"

namespace attend::engine {

// Attention over the pages of a pool, by the paged operator of the device on which the pool lies:
// native, or any device whose plugin is loaded.
class PagedBackend : public AttentionBackend {
 public:
  explicit PagedBackend(const KvPool& pool) : pool_(pool) {}

  void init_forward_metadata(const AttnMetadata& batch) override;
  void init_graph_state(int64_t max_num_reqs, int64_t max_num_rows, int64_t max_num_pages) override;
  const AttnMetadata& init_forward_metadata_capture(int64_t num_reqs, int64_t num_rows,
                                                    ForwardMode mode) override;
  const AttnMetadata& init_forward_metadata_replay(const AttnMetadata& step,
                                                   int64_t num_reqs) override;

 protected:
  ForwardMode mode() const override { return mode_; }
  void forward_extend(const AttentionLayer& layer, const TensorView& q, const TensorView& k,
                      const TensorView& v, const TensorView& out, bool save_kv_cache) override;
  void forward_decode(const AttentionLayer& layer, const TensorView& q, const TensorView& k,
                      const TensorView& v, const TensorView& out, bool save_kv_cache) override;

 private:
  const KvPool& pool_;
  GraphState& graph_state();

  ForwardMode mode_ = ForwardMode::kIdle;
  std::unique_ptr<GraphState> graph_state_;
};

}  // namespace attend::engine
