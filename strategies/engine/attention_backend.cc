#include "strategies/engine/attention_backend.h"

#include <cstring>
#include <string>

#include "attend/error.h"

namespace attend::engine {
namespace {

// Rows of zeros, any strides.
void set_zero(const TensorView& t, int dim, char* at) {
  const int64_t size = size_bytes(t.dtype), step = t.step(dim) * size;
  for (int64_t i = 0; i < t.dim(dim); ++i)
    if (dim + 1 < t.rank)
      set_zero(t, dim + 1, at + i * step);
    else
      std::memset(at + i * step, 0, static_cast<size_t>(size));
}

}  // namespace

void AttentionBackend::forward(const AttentionLayer& layer, const TensorView& q,
                               const TensorView& k, const TensorView& v, const TensorView& out,
                               bool save_kv_cache) {
  switch (mode()) {
    case ForwardMode::kIdle: return set_zero(out, 0, static_cast<char*>(out.data));
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

}  // namespace attend::engine
