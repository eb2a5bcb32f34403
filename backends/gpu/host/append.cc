// append on a device: body/append.h, one launch.
#include "backends/gpu/host/append.h"

#include "backends/gpu/call/append.h"
#include "backends/gpu/host/index_check.h"
#include "backends/gpu/host/rows.h"
#include "ops/common/layout.h"

namespace attend::gpu {
namespace {

constexpr int64_t kWord = 16;  // bytes that a thread copies at once

// Whether every row of a tensor begins at a multiple of a word and is a whole number of words.
bool in_words(const TensorView& t) {
  const int64_t size = size_bytes(t.dtype);
  bool whole = reinterpret_cast<uintptr_t>(t.data) % kWord == 0 && t.step(-1) == 1 &&
               t.dim(-1) * size % kWord == 0;
  for (int i = 0; i + 1 < t.rank; ++i) whole = whole && t.step(i) * size % kWord == 0;
  return whole;
}

bool words(const TensorView& from, const TensorView& to) {
  return from.dtype == to.dtype && in_words(from) && in_words(to);
}

Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
  const IndexCheck check(a, p, context);
  if (!check.status()) return check.status();
  return store_new_rows(a, context, check.skip());
}

}  // namespace

Status store_new_rows(const AttentionArgs& a, const ExecContext& context, const uint8_t* skip) {
  if (!a.seq.slot_mapping) return {};
  AppendCall call{a};
  call.skip = skip;
  call.batch = a.q ? call_shape(a).batch : 0;
  call.tokens = a.seq.slot_mapping.dim(0);
  call.k_words = words(a.k_new, a.k);
  call.v_words = words(a.v_new, a.v);
  call.v_apart = !(is_prefix(a.v, a.k) && is_prefix(a.v_new, a.k_new));
  if (call.tokens == 0 || (a.q && call.batch == 0)) return {};
  const int64_t blocks = (call.tokens + kAppendTokens - 1) / kAppendTokens;
  return launch(kAppend, {static_cast<int>(blocks), 1, 1}, 0, call, context);
}

void add_append(Rows& rows) {
  rows.attention.push_back(
      {OpId::kAppend, kPluginDevice, row_name(OpId::kAppend, "portable"),
       "k_new, v_new f32 f16 bf16; caches also f8_e4m3 f8_e5m2 i8; pages by any strides", 0,
       device_available,
       [](const AttentionArgs&, const AttentionParams&, const Device& device) {
         return device_available(device);
       },
       [](const AttentionArgs&, const AttentionParams&, int32_t) { return uint64_t{0}; }, run});
}

}  // namespace attend::gpu
