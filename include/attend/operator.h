#pragma once
#include <string>
#include <vector>

#include "attend/kernel.h"
#include "attend/registry.h"

namespace attend {

// What a call did.
struct RunResult {
  const char* kernel = "";  // the row that ran, "flash/native/avx512_bf16"
  const char* note = "";    // why it is another operator's, where the contract lets one fall back
};

// Whether a call would run, and on what.
struct Support {
  ErrorCode code = ErrorCode::kOk;
  std::string message;      // the words forward() would throw
  const char* kernel = "";  // the row forward() would run
  explicit operator bool() const noexcept { return code == ErrorCode::kOk; }
};

// An attention operator: checks its arguments, asks the registry for a kernel, runs it.
//
// forward() goes where the tensors live (or where ATTEND_DEVICE in the environment says);
// forward_native, forward_cuda and forward_rocm name the backend, run there or throw; nothing ever
// moves to another device.
//   errors   kInvalidArgument and kOutOfRange before any byte is written; kUnsupported with every
//            kernel's reason; kBackendUnavailable, kDeviceError, kOutOfMemory
class ATTEND_API AttentionOp {
 public:
  explicit AttentionOp(OpId id) noexcept : id_(id) {}
  virtual ~AttentionOp() = default;

  RunResult forward(const AttentionArgs&, const AttentionParams&, const ExecContext& = {}) const;
  RunResult forward_native(const AttentionArgs&, const AttentionParams&,
                           const ExecContext& = {}) const;
  RunResult forward_cuda(const AttentionArgs&, const AttentionParams&,
                         const ExecContext& = {}) const;
  RunResult forward_rocm(const AttentionArgs&, const AttentionParams&,
                         const ExecContext& = {}) const;
  RunResult forward_on(DeviceType, const AttentionArgs&, const AttentionParams&,
                       const ExecContext& = {}) const;

  // The kernel that forward_on(device.type) would run, or why none would. Does not throw for a
  // refusal.
  Support supports(const AttentionArgs&, const AttentionParams&, const Device&) const;

  // What every row would answer. A call that fails the operator's own checks throws, as forward()
  // does.
  std::vector<KernelAnswer> explain(const AttentionArgs&, const AttentionParams&,
                                    const Device&) const;

  // Checks the call and runs one row of this operator by its name; for tests and measurements.
  //   errors   as forward; kUnsupported with the row's own reason
  RunResult run_kernel(std::string_view kernel, const AttentionArgs&, const AttentionParams&,
                       const ExecContext& = {}) const;

  OpId id() const noexcept { return id_; }

 protected:
  // What this operator asks of its arguments beyond the checks that all share.
  virtual void check(const AttentionArgs&, const AttentionParams&) const {}

 private:
  struct Prepared;
  Prepared prepare(const char* where, DeviceType, const AttentionArgs&, const AttentionParams&,
                   const ExecContext&) const;
  OpId id_;
};

// Scores materialised; weights and scores on request; mask, bias, init_bias, dropout. The plainest
// reading.
class ATTEND_API VanillaAttention final : public AttentionOp {
 public:
  VanillaAttention() noexcept : AttentionOp(OpId::kVanilla) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
};

// Exact tiled attention with online softmax; dense and ragged; lse.
class ATTEND_API FlashAttention final : public AttentionOp {
 public:
  FlashAttention() noexcept : AttentionOp(OpId::kFlash) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
};

// The operators of the contract by id; the reference lives as long as the process.
//   errors   kUnsupported for gdn and merge, whose arguments differ, and for what is not built yet
ATTEND_API const AttentionOp& attention_op(OpId op);

}  // namespace attend
