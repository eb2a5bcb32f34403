// vanilla on a device: body/vanilla.h, launched for as many rows at a time as scratch has room for.
#include <algorithm>

#include "backends/gpu/call/vanilla.h"
#include "backends/gpu/host/bounds.h"
#include "backends/gpu/host/index_check.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"
#include "ops/common/dropout.h"
#include "ops/common/layout.h"

namespace attend::gpu {
namespace {

constexpr int64_t kScratchBytes = int64_t{256} << 20;

struct Laid {
  VanillaCall call;
  int64_t rows = 0, rows_at_once = 0;  // of all sequences and heads

  Laid(const AttentionArgs& a, const AttentionParams& p) {
    const CallShape shape = call_shape(a);
    const Bounds most(a);
    call.args = a;
    call.params = p;
    call.dropout = dropout_of(p);
    call.rows = most.rows;
    call.row_keys = most.keys;
    for (const TensorView* t : {&a.weights, &a.scores})  // they are filled to their ends
      if (*t) call.row_keys = std::max(call.row_keys, t->dim(-1));
    rows = shape.batch * shape.heads * most.rows;
    const int64_t row_bytes = call.row_keys * static_cast<int64_t>(sizeof(float));
    rows_at_once = row_bytes == 0 ? rows : std::max<int64_t>(1, kScratchBytes / row_bytes);
    rows_at_once = std::min({rows, rows_at_once, int64_t{INT32_MAX}});
  }
  uint64_t scores_bytes() const {
    return static_cast<uint64_t>(rows_at_once * call.row_keys) * sizeof(float);
  }
};

Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
  Laid laid(a, p);
  if (laid.rows == 0) return {};
  const Scratch scratch(context, laid.scores_bytes());
  if (!scratch)
    return {ErrorCode::kOutOfMemory, "{} bytes of device memory for scores are not to be had",
            static_cast<int64_t>(laid.scores_bytes())};
  VanillaCall& call = laid.call;
  call.scores = static_cast<float*>(scratch.data());
  const IndexCheck check(a, p, context);
  if (!check.status()) return check.status();
  call.skip = check.skip();
  for (; call.first_row < laid.rows; call.first_row += laid.rows_at_once) {
    const int64_t blocks = std::min(laid.rows_at_once, laid.rows - call.first_row);
    if (const Status s =
            launch(kVanilla, {static_cast<int>(blocks), 1, 1}, kVanillaSharedBytes, call, context);
        !s)
      return s;
  }
  return {};
}

}  // namespace

void add_vanilla(Rows& rows) {
  rows.attention.push_back(
      {OpId::kVanilla, kPluginDevice, row_name(OpId::kVanilla, "portable"),
       "f32 f16 bf16; dense, ragged; weights and scores, dropout; every mask and score word; lse",
       0, device_available,
       [](const AttentionArgs&, const AttentionParams&, const Device& device) {
         return device_available(device);
       },
       [](const AttentionArgs& a, const AttentionParams& p, int32_t) {
         return Laid(a, p).scores_bytes();
       },
       run});
}

}  // namespace attend::gpu
