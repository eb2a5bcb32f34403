#pragma once
#include <cstdint>
#include <memory>

#include "attend/metadata.h"
#include "attend/tensor.h"
#include "strategies/engine/attention_layer.h"

namespace attend::engine {

class KvPool;
class GdnPool;

// What a step does: prompts or parts of them, one row a request, both, or nothing.
enum class ForwardMode : uint8_t { kExtend = 1, kDecode = 2, kMixed = 3, kIdle = 4 };

// Between a model's layers and the operators: stores a step's K and V in the cache and attends over
// it, as the metadata that is current on this thread says. A model calls forward() and knows neither
// pages nor masks nor strategies.
class AttentionBackend {
 public:
  virtual ~AttentionBackend() = default;

  // Once a batch, before its first layer: checks the metadata and works out what all layers share.
  virtual void init_forward_metadata(const AttnMetadata& batch) = 0;

  // q [rows, heads, head_dim], k [rows, kv_heads, head_dim], v [rows, kv_heads, v_dim] of this step;
  // out [rows, heads, v_dim], q's dtype or f32. K and V go to the cache first (save_kv_cache). By the
  // batch's mode: extend and mixed to forward_extend, decode to forward_decode, idle to zeros.
  //   errors   kNoMetadata outside a MetadataScope; the operators' own
  void forward(const AttentionLayer& layer, const TensorView& q, const TensorView& k,
               const TensorView& v, const TensorView& out, bool save_kv_cache = true);

  // One step of a gated delta layer: mixed_qkv [rows, channels], a, b [rows, heads], z and out
  // [rows, heads, v_dim]; convolution and state of each request are in the state pool.
  //   errors   kUnsupported unless the backend is a hybrid one
  virtual void forward_gdn(const GdnLayer& layer, const TensorView& mixed_qkv, const TensorView& a,
                           const TensorView& b, const TensorView& z, const TensorView& out);

  // Graphs (graph_state.h). What a request's sequence counts while a graph is captured.
  virtual int32_t graph_seq_len_fill_value() const noexcept { return 1; }
  // Room for the metadata of every graph.
  //   errors   kUnsupported unless the backend overrides them
  virtual void init_graph_state(int64_t max_num_reqs, int64_t max_num_rows, int64_t max_num_pages);
  // Metadata under which a step of num_reqs requests is captured, only kDecode and kIdle.
  virtual const AttnMetadata& init_forward_metadata_capture(int64_t num_reqs, int64_t num_rows,
                                                            ForwardMode mode);
  // Metadata under which it is replayed for this step of at most as many.
  virtual const AttnMetadata& init_forward_metadata_replay(const AttnMetadata& step,
                                                           int64_t num_reqs);

 protected:
  virtual ForwardMode mode() const = 0;
  virtual void forward_extend(const AttentionLayer& layer, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& out, bool save_kv_cache) = 0;
  virtual void forward_decode(const AttentionLayer& layer, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& out, bool save_kv_cache) = 0;
};

}  // namespace attend::engine
