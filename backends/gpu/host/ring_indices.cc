#include "backends/gpu/host/ring_indices.h"

#include <algorithm>

#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/index_check.h"
#include "ops/common/layout.h"

namespace attend::gpu {

Status RingIndices::bring(const ExecContext& context) {
  SeqLayout& seq = args.seq;
  MaskSpec& mask = params.mask;
  std::vector<TensorView*> vectors;
  for (TensorView* t :
       {&seq.cu_seqlens_q, &seq.cu_seqlens_k, &seq.seqused_q, &seq.seqused_k, &mask.q_start,
        &mask.block_origin, &mask.prefix_lens, &mask.hole_starts, &mask.hole_ends})
    if (*t) vectors.push_back(t);
  if (vectors.empty()) return {};
  const IndexCheck check(args, params, context);
  if (!check.status()) return check.status();

  const driver::Current current(context.device.index);
  if (current.code() != 0) return failed("making the device current", current.code());
  const auto fetch = [&](const void* from, uint64_t bytes) -> driver::Code {
    kept_.emplace_back(bytes);
    return bytes == 0 ? 0 : driver::copy(kept_.back().data(), from, bytes, context.stream);
  };
  driver::Code code = 0;
  for (TensorView* t : vectors) {
    // The bytes from its lowest element to its highest, whatever the sign of its stride.
    const int64_t size = size_bytes(t->dtype), n = t->dim(0), reach = (n - 1) * t->stride[0];
    const int64_t lowest = n == 0 ? 0 : std::min<int64_t>(reach, 0);
    const int64_t count = n == 0 ? 0 : std::max<int64_t>(reach, 0) - lowest + 1;
    code = fetch(element(*t, lowest), static_cast<uint64_t>(count * size));
    if (code != 0) return failed("copy of index vectors", code);
    t->data = kept_.back().data() - lowest * size;
    t->device = Device{};
  }
  const auto batch = static_cast<uint64_t>(call_shape(args).batch);
  if (check.skip() != nullptr) code = fetch(check.skip(), batch);
  if (code == 0) code = driver::synchronize(context.stream);
  if (code != 0) return failed("copy of index vectors", code);
  if (check.skip() == nullptr) return {};
  const std::vector<std::byte>& skip = kept_.back();
  const auto bad =
      std::find_if(skip.begin(), skip.end(), [](std::byte b) { return b != std::byte{0}; });
  if (bad == skip.end()) return {};
  return {ErrorCode::kOutOfRange,
          "an index of sequence {} is out of range; ExecContext::check() says which",
          bad - skip.begin()};
}

}  // namespace attend::gpu
