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

// An operator: checks its arguments, asks the registry for a kernel, runs it.
//
// forward() goes where the tensors live (or where ATTEND_DEVICE in the environment says);
// forward_native, forward_cuda and forward_rocm name the backend, run there or throw; nothing ever
// moves to another device.
//   errors   kInvalidArgument and kOutOfRange before any byte is written; kUnsupported with every
//            kernel's reason; kBackendUnavailable, kDeviceError, kOutOfMemory
template <class Args, class Params>
class ATTEND_API Operator {
 public:
  using Kernel = KernelEntry<Args, Params>;

  explicit Operator(OpId id) noexcept : id_(id) {}
  virtual ~Operator() = default;

  RunResult forward(const Args&, const Params&, const ExecContext& = {}) const;
  RunResult forward_native(const Args&, const Params&, const ExecContext& = {}) const;
  RunResult forward_cuda(const Args&, const Params&, const ExecContext& = {}) const;
  RunResult forward_rocm(const Args&, const Params&, const ExecContext& = {}) const;
  RunResult forward_on(DeviceType, const Args&, const Params&, const ExecContext& = {}) const;

  // The kernel that forward_on(device.type) would run, or why none would. Does not throw for a
  // refusal.
  Support supports(const Args&, const Params&, const Device&) const;

  // What every row would answer. A call that fails the operator's own checks throws, as forward()
  // does.
  std::vector<KernelAnswer> explain(const Args&, const Params&, const Device&) const;

  // Checks the call and runs one row of this operator by its name; for tests and measurements.
  //   errors   as forward; kUnsupported with the row's own reason
  RunResult run_kernel(std::string_view kernel, const Args&, const Params&,
                       const ExecContext& = {}) const;

  OpId id() const noexcept { return id_; }

 protected:
  // Another operator whose rows take a call, where the contract lets this one fall back.
  struct Fallback {
    OpId op;
    const char* why;
  };

  // Checks a call for a device (contract 6) and returns the words in the form kernels see.
  virtual Params checked(const Args&, const Params&, Device) const = 0;
  // Asked after `checked`, with the words that it returned.
  virtual Fallback falls_back(const Args&, const Params&) const { return {id_, ""}; }
  // Told of what a forward or run_kernel is about to throw, with the words that the caller gave.
  virtual void failed(const Params&, const char* /*what*/) const noexcept {}

 private:
  struct Prepared;
  Prepared prepare(const char* where, DeviceType, const Args&, const Params&,
                   const ExecContext&) const;
  template <class F>
  RunResult telling_of_failure(const Params&, F&& call) const;
  OpId id_;
};

extern template class ATTEND_API Operator<AttentionArgs, AttentionParams>;
extern template class ATTEND_API Operator<GdnArgs, GdnParams>;
extern template class ATTEND_API Operator<MergeArgs, MergeParams>;

// The operators that share AttentionArgs.
class ATTEND_API AttentionOp : public Operator<AttentionArgs, AttentionParams> {
 public:
  using Operator::Operator;

 protected:
  // What this operator asks of its arguments beyond the checks that all share.
  virtual void check(const AttentionArgs&, const AttentionParams&) const = 0;

 private:
  AttentionParams checked(const AttentionArgs&, const AttentionParams&, Device) const final;
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

// Keys behind a page table: prefill, decode and mixed batches in one call, masks as given; stores
// the call's own rows (k_new, v_new) first where slot_mapping keeps them.
class ATTEND_API PagedAttention final : public AttentionOp {
 public:
  PagedAttention() noexcept : AttentionOp(OpId::kPaged) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
};

// Tiled block-sparse attention over a plan of skip, partial and full tiles. One query row, or a
// call that is neither causal nor sparse, goes to vanilla, and the result says so.
class ATTEND_API SplashAttention final : public AttentionOp {
 public:
  SplashAttention() noexcept : AttentionOp(OpId::kSplash) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
  Fallback falls_back(const AttentionArgs&, const AttentionParams&) const override;
};

// One query row against the keys start <= j < end of a contiguous cache; the row stands at end - 1.
class ATTEND_API DecodeAttention final : public AttentionOp {
 public:
  DecodeAttention() noexcept : AttentionOp(OpId::kDecode) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
};

// The frameworks' scaled dot product attention (top left, mask and bias both apply) over the
// vendor's own kernel where it takes the call.
class ATTEND_API SdpaAttention final : public AttentionOp {
 public:
  SdpaAttention() noexcept : AttentionOp(OpId::kSdpa) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
};

// Sequence-parallel attention: local tiles and a merge in f32 while blocks of keys travel (ring.h);
// without a transport the same scan in one process.
class ATTEND_API RingAttention final : public AttentionOp {
 public:
  RingAttention() noexcept : AttentionOp(OpId::kRing) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
  void failed(const AttentionParams&, const char* what) const noexcept override;
};

// Stores k_new and v_new in the pages k and v at slot_mapping: the same dtype copies bits; into fp8
// and int8 it divides by the descale, rounds to nearest even and saturates.
class ATTEND_API AppendKv final : public AttentionOp {
 public:
  AppendKv() noexcept : AttentionOp(OpId::kAppend) {}

 protected:
  void check(const AttentionArgs&, const AttentionParams&) const override;
};

// The gated delta rule and the layer around it: chunked prefill, one-step decode (gdn_params.h).
class ATTEND_API GatedDeltaNet final : public Operator<GdnArgs, GdnParams> {
 public:
  GatedDeltaNet() noexcept : Operator(OpId::kGdn) {}

 protected:
  GdnParams checked(const GdnArgs&, const GdnParams&, Device) const override;
};

// Joins two partial results over disjoint keys (MergeArgs).
class ATTEND_API MergePartials final : public Operator<MergeArgs, MergeParams> {
 public:
  MergePartials() noexcept : Operator(OpId::kMerge) {}

 protected:
  MergeParams checked(const MergeArgs&, const MergeParams&, Device) const override;
};

// The operators that share AttentionArgs, by id; the reference lives as long as the process.
//   errors   kUnsupported for gdn and merge, whose arguments differ: GatedDeltaNet, MergePartials
ATTEND_API const AttentionOp& attention_op(OpId op);

}  // namespace attend
