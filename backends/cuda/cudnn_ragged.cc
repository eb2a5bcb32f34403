#include "backends/cuda/cudnn_ragged.h"

namespace attend::cuda {

RaggedSpace::RaggedSpace(const AttentionArgs& a) {
  constexpr uint64_t kAlignment = 256;
  const auto place = [this](int64_t n, uint64_t size) {
    const uint64_t at = bytes;
    bytes += (static_cast<uint64_t>(n) * size + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  };
  const int64_t batch = a.seq.cu_seqlens_q.dim(0) - 1;
  rows = place(batch, sizeof(int32_t));
  keys = place(batch, sizeof(int32_t));
  for (uint64_t& at : offsets) at = place(batch + 1, sizeof(int64_t));
  sums = place(a.lse ? a.q.dim(0) * a.q.dim(1) : 0, sizeof(float));
}

gpu::RaggedCall ragged_call(const AttentionArgs& a, const AttentionParams& p, const uint8_t* skip,
                            std::byte* at) {
  const RaggedSpace space(a);
  gpu::RaggedCall call{a, p, skip};
  call.rows = reinterpret_cast<int32_t*>(at + space.rows);
  call.keys = reinterpret_cast<int32_t*>(at + space.keys);
  int64_t** const offsets[] = {&call.q, &call.k, &call.v, &call.out, &call.sums_at};
  for (int i = 0; i < 5; ++i) *offsets[i] = reinterpret_cast<int64_t*>(at + space.offsets[i]);
  if (a.lse) call.sums = reinterpret_cast<float*>(at + space.sums);
  return call;
}

CudnnTensors ragged_tensors(const gpu::RaggedCall& call) {
  CudnnTensors t{call.args.q.data, call.args.k.data, call.args.v.data, call.args.out.data,
                 call.sums};
  t.rows = call.rows, t.keys = call.keys;
  t.q_at = call.q, t.k_at = call.k, t.v_at = call.v, t.out_at = call.out;
  t.lse_at = call.sums_at;
  return t;
}

}  // namespace attend::cuda
