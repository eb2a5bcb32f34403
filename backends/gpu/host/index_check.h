#pragma once
#include <cstdint>
#include <optional>

#include "attend/kernel.h"
#include "backends/gpu/call/check.h"
#include "backends/gpu/host/runtime.h"

// Contract 6 on a device: what the index tensors and gates of a call hold is checked there, before
// the call's own kernels, in stream order and without synchronisation.
//
//   IndexCheck check(args, params, context);     enqueues one or two small kernels, or nothing
//   if (!check.status()) return check.status();
//   ... launch(kernel, ..., call with check.skip() ...)
//
// The check must outlive the launches that read skip(). It takes nothing of the context's workspace.
namespace attend::gpu {

class IndexCheck {
 public:
  // Checks if ExecContext::check_indices says so (kOn, or kDefault in debug builds) and there is an
  // error word to record the first bad value in: that of the lowest request.
  IndexCheck(const AttentionArgs& args, const AttentionParams& params, const ExecContext& context);
  IndexCheck(const GdnArgs& args, const GdnParams& params, const ExecContext& context);

  const Status& status() const { return status_; }

  // In device memory, [batch] (append alone: [tokens]): not 0 = the request has a bad value; its
  // rows are neither computed nor written, and no other index of it is read. null = nothing is
  // checked, nothing to skip.
  const uint8_t* skip() const { return skip_; }

 private:
  bool reserve(int64_t requests, uint64_t more, CheckResult& to);
  template <class Call>
  void finish(const Kernel& kernel, const Call& call, const CheckResult& to);

  ExecContext context_;
  std::optional<Scratch> scratch_;
  Status status_;
  const uint8_t* skip_ = nullptr;
};

}  // namespace attend::gpu
