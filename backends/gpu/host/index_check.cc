// The check of a call's indices on a device: body/check.h, one launch; of gdn's gates one more.
#include "backends/gpu/host/index_check.h"

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

int blocks_for(int64_t teams) {
  return static_cast<int>((teams + kCheckRequests - 1) / kCheckRequests);
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
  CheckAttentionCall call{args, params, MostByShapes(args, params), {}};
  const int64_t requests = check_requests(args);
  if (reserve(requests, 0, call.result)) finish(kCheckAttention, call, call.result);
}

IndexCheck::IndexCheck(const GdnArgs& args, const GdnParams& params, const ExecContext& context)
    : context_(without_workspace(context)) {
  if (!wanted(context)) return;
  CheckGdnCall call{args, params, gdn_shape(args, params), nullptr, {}};
  const int64_t rows = args.g || args.alpha || args.beta ? check_gate_rows(call.shape) : 0;
  const auto gate_bytes = static_cast<uint64_t>(rows) * 2 * sizeof(int32_t);
  if (!reserve(call.shape.batch, gate_bytes, call.result)) return;
  if (rows > 0) {
    call.gates = static_cast<int32_t*>(scratch_->data());
    status_ = launch(kCheckGates, {blocks_for(rows), 1, 1}, 0, call, context_);
  }
  if (status_) finish(kCheckGdn, call, call.result);
}

// Scratch for a check of so many requests, behind `more` bytes of its own; false = nothing to do.
bool IndexCheck::reserve(int64_t requests, uint64_t more, CheckResult& to) {
  if (requests == 0) return false;
  const auto n = static_cast<uint64_t>(requests);
  const uint64_t words = n * sizeof(ErrorWord), counter = sizeof(int64_t);
  scratch_.emplace(context_, more + words + counter + n);
  if (!*scratch_) {
    status_ = {ErrorCode::kOutOfMemory, "memory for the check of {} requests is not to be had",
               requests};
    return false;
  }
  auto* const base = static_cast<std::byte*>(scratch_->data()) + more;
  to.first = reinterpret_cast<ErrorWord*>(base);
  to.done = reinterpret_cast<int32_t*>(base + words);
  to.skip = reinterpret_cast<uint8_t*>(base + words + counter);
  to.error = context_.error_word;
  to.requests = requests;
  to.blocks = blocks_for(requests);
  to.duplicates = kDebugBuild;
  return true;
}

// Enqueues the kernel that looks at requests.
template <class Call>
void IndexCheck::finish(const Kernel& kernel, const Call& call, const CheckResult& to) {
  status_ = fill(to.done, 0, sizeof(int32_t), context_);
  if (status_) status_ = launch(kernel, {to.blocks, 1, 1}, kCheckShared, call, context_);
  if (status_) skip_ = to.skip;
}

}  // namespace attend::gpu
