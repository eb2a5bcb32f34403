#include "strategies/engine/attention_backend.h"

#include <string>

#include "attend/error.h"
#include "strategies/engine/math/step_times.h"
#include "strategies/engine/zeros.h"

namespace attend::engine {
void AttentionBackend::forward(const AttentionLayer& layer, const TensorView& q,
                               const TensorView& k, const TensorView& v, const TensorView& out,
                               bool save_kv_cache) {
  const Timed timed(&StepTimes::operators);
  switch (mode()) {
    case ForwardMode::kIdle: return set_zero(out);
    case ForwardMode::kDecode: return forward_decode(layer, q, k, v, out, save_kv_cache);
    case ForwardMode::kExtend:
    case ForwardMode::kMixed: return forward_extend(layer, q, k, v, out, save_kv_cache);
  }
}

void AttentionBackend::forward_gdn(const GdnLayer& layer, const TensorView&, const TensorView&,
                                   const TensorView&, const TensorView&, const TensorView&) {
  throw Error(ErrorCode::kUnsupported,
              "forward_gdn: layer " + std::to_string(layer.layer_id) +
                  " is a gated delta layer and this backend has none, expected a hybrid backend");
}

namespace {

[[noreturn]] void refuse_graphs(const char* where) {
  throw Error(ErrorCode::kUnsupported,
              std::string(where) + ": this backend captures no graphs, expected one that does");
}

}  // namespace

void AttentionBackend::init_graph_state(int64_t, int64_t, int64_t) {
  refuse_graphs("init_graph_state");
}
const AttnMetadata& AttentionBackend::init_forward_metadata_capture(int64_t, int64_t, ForwardMode) {
  refuse_graphs("init_forward_metadata_capture");
}
const AttnMetadata& AttentionBackend::init_forward_metadata_replay(const AttnMetadata&, int64_t) {
  refuse_graphs("init_forward_metadata_replay");
}

}  // namespace attend::engine
