#include "strategies/engine/paged_backend.h"

#include <string>

#include "attend/error.h"
#include "attend/operator.h"

namespace attend::engine {

// By the bound that every step tells, so that nothing is read back from a device. A prompt's last
// row alone counts as decode: both modes run the same operator.
void PagedBackend::init_forward_metadata(const AttnMetadata& batch) {
  batch.validate();
  mode_ = batch.max_seqlen_q == 0   ? ForwardMode::kIdle
          : batch.max_seqlen_q == 1 ? ForwardMode::kDecode
                                    : ForwardMode::kMixed;
}

void PagedBackend::init_graph_state(int64_t max_num_reqs, int64_t max_num_rows,
                                    int64_t max_num_pages) {
  graph_state_ =
      std::make_unique<GraphState>(max_num_reqs, max_num_rows, max_num_pages, pool_.page_size());
}

GraphState& PagedBackend::graph_state() {
  if (graph_state_ == nullptr)
    throw Error(ErrorCode::kInvalidArgument,
                "attention backend: there is no graph state, expected init_graph_state first");
  return *graph_state_;
}

const AttnMetadata& PagedBackend::init_forward_metadata_capture(int64_t num_reqs, int64_t num_rows,
                                                                ForwardMode mode) {
  if ((mode != ForwardMode::kDecode && mode != ForwardMode::kIdle) || num_reqs < 1 ||
      num_rows % num_reqs != 0)
    throw Error(
        ErrorCode::kInvalidArgument,
        "attention backend: mode " + std::to_string(static_cast<int>(mode)) + " with " +
            std::to_string(num_rows) + " rows of " + std::to_string(num_reqs) +
            " requests cannot be captured, expected decode or idle and as many rows of each");
  const AttnMetadata& metadata =
      graph_state().capture(num_reqs, num_rows / num_reqs, graph_seq_len_fill_value());
  init_forward_metadata(metadata);
  mode_ = mode;
  return metadata;
}

const AttnMetadata& PagedBackend::init_forward_metadata_replay(const AttnMetadata& step,
                                                               int64_t num_reqs) {
  const AttnMetadata& metadata = graph_state().replay(step, num_reqs);
  init_forward_metadata(metadata);
  return metadata;
}

void PagedBackend::forward_extend(const AttentionLayer& layer, const TensorView& q,
                                  const TensorView& k, const TensorView& v, const TensorView& out,
                                  bool save_kv_cache) {
  AttentionArgs args;
  args.q = q;
  args.k = pool_.k(layer.layer_id);
  args.v = pool_.v(layer.layer_id);
  args.k_new = k;
  args.v_new = v;
  args.out = out;
  AttentionParams params;
  params.softmax_scale = layer.scaling;
  params.softcap = layer.logit_cap;
  params.sinks = layer.sinks;
  fetch_attn_metadata().apply_to(args.seq, params.mask);
  if (layer.sliding_window >= 0) params.mask.window_left = layer.sliding_window - 1;
  if (!save_kv_cache) args.seq.slot_mapping = {};
  PagedAttention().forward(args, params);
}

// The paged operator finds out per request how many rows and keys it has.
void PagedBackend::forward_decode(const AttentionLayer& layer, const TensorView& q,
                                  const TensorView& k, const TensorView& v, const TensorView& out,
                                  bool save_kv_cache) {
  forward_extend(layer, q, k, v, out, save_kv_cache);
}

}  // namespace attend::engine
