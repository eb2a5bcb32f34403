// The check of a call's indices on a device: body/check.h, one launch.
#include "backends/gpu/host/index_check.h"

#include "backends/gpu/call/check.h"

namespace attend::gpu {
namespace {

#ifdef NDEBUG
constexpr bool kDebugBuild = false;
#else
constexpr bool kDebugBuild = true;
#endif

bool wanted(const ExecContext& context) {
  if (context.error_word == nullptr) return false;
  return context.check_indices == CheckIndices::kOn ||
         (context.check_indices == CheckIndices::kDefault && kDebugBuild);
}

// The rows' own scratch may be the workspace.
ExecContext without_workspace(ExecContext context) {
  context.workspace = nullptr;
  context.workspace_bytes = 0;
  return context;
}

}  // namespace

IndexCheck::IndexCheck(const AttentionArgs& args, const AttentionParams& params,
                       const ExecContext& context)
    : context_(without_workspace(context)) {
  if (!wanted(context)) return;
  CheckAttentionCall call{args, params, {}};
  enqueue(kCheckAttention, call, check_requests(args));
}

IndexCheck::IndexCheck(const GdnArgs& args, const GdnParams& params, const ExecContext& context)
    : context_(without_workspace(context)) {
  if (!wanted(context)) return;
  CheckGdnCall call{args, gdn_shape(args, params), params.padding_slot, {}};
  enqueue(kCheckGdn, call, call.shape.batch);
}

template <class Call>
void IndexCheck::enqueue(const Kernel& kernel, Call& call, int64_t requests) {
  if (requests == 0) return;
  const auto n = static_cast<uint64_t>(requests);
  const uint64_t words = n * sizeof(ErrorWord), counter = sizeof(int64_t);
  scratch_.emplace(context_, words + counter + n);
  if (!*scratch_) {
    status_ = {ErrorCode::kOutOfMemory, "memory for the check of {} requests is not to be had",
               requests};
    return;
  }
  auto* const base = static_cast<std::byte*>(scratch_->data());
  CheckResult& to = call.result;
  to.first = reinterpret_cast<ErrorWord*>(base);
  to.done = reinterpret_cast<int32_t*>(base + words);
  to.skip = reinterpret_cast<uint8_t*>(base + words + counter);
  to.error = context_.error_word;
  to.requests = requests;
  to.blocks = static_cast<int32_t>((requests + kCheckRequests - 1) / kCheckRequests);
  to.duplicates = kDebugBuild;
  status_ = fill(to.done, 0, sizeof(int32_t), context_);
  if (status_) status_ = launch(kernel, {to.blocks, 1, 1}, kCheckShared, call, context_);
  if (status_) skip_ = to.skip;
}

}  // namespace attend::gpu
