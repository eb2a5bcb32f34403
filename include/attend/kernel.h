#pragma once
#include <cstdint>
#include <string_view>

#include "attend/attention_params.h"
#include "attend/error.h"
#include "attend/error_word.h"
#include "attend/gdn_params.h"

namespace attend {

// The operators. Part of the plugin ABI: append before kCount, never renumber.
enum class OpId : uint8_t {
  kVanilla,
  kFlash,
  kPaged,
  kSplash,
  kDecode,
  kSdpa,
  kRing,
  kGdn,
  kMerge,
  kAppend,
  kCount
};

ATTEND_API const char* name(OpId op) noexcept;     // "flash"
ATTEND_API const char* aliases(OpId op) noexcept;  // "flash_attn2", comma-separated, may be ""
// By name or alias; throws kInvalidArgument listing them.
ATTEND_API OpId op_from_name(std::string_view name);

// Runs body(context, task, worker) once for every task in [0, tasks), in any order, on any threads,
// and returns when all are done. 0 <= worker < workers, and no two tasks run at once under one
// worker number. body does not throw. run = null uses the library's own pool (parallel.h).
struct ParallelFor {
  void (*run)(void* user, int64_t tasks, void (*body)(void* context, int64_t task, int32_t worker),
              void* context) = nullptr;
  void* user = nullptr;
  int32_t workers = 0;  // highest number of workers that run() uses; at least 1 when run is set
};

// Where scratch comes from. allocate returns null when there is none.
struct Allocator {
  void* (*allocate)(void* user, Device device, uint64_t bytes, uint64_t alignment,
                    void* stream) = nullptr;
  void (*deallocate)(void* user, Device device, void* data, uint64_t bytes, void* stream) = nullptr;
  void* user = nullptr;
};

// Whether device kernels check what index tensors and gates of gdn hold, as native always does; by
// default in debug builds of the library.
enum class CheckIndices : uint8_t { kDefault, kOff, kOn };

// Where and how a kernel runs.
//
// Calls on a device may be captured into a CUDA or HIP graph, through a `stream` of the caller's that
// captures: they wait for nothing, but for ring over a transport, and take memory in stream order.
//   before   one such call outside a capture, which loads the kernels and makes the device's own
//            error word
//   during   no check(); an `allocator` of the caller's is asked once, for memory that the graph
//            keeps
//   replay   reads what the tensors hold by then, data as well as indices and lengths; addresses,
//            shapes, strides, parameters and max_seqlen_* are those of the capture, and tensors,
//            workspace and error word live as long as the graph. check() afterwards as ever.
// With a workspace that is large enough and check_indices off nothing is allocated, which drivers
// without memory in stream order (hipMallocAsync) need.
struct ExecContext {
  Device device{};               // set by the operator
  void* stream = nullptr;        // cudaStream_t or hipStream_t; null = the default stream
  void* workspace = nullptr;     // optional scratch of the caller's, on the device, 64-byte aligned
  uint64_t workspace_bytes = 0;  // enough when at least the kernel's workspace_bytes()
  ParallelFor parallel_for;      // native: the embedding program's threads
  Allocator allocator;           // scratch beyond the workspace
  // In device-visible memory; null = the device's own, which all calls without a word share.
  ErrorWord* error_word = nullptr;
  CheckIndices check_indices = CheckIndices::kDefault;

  // Synchronises the stream of `device`, which the caller names, and throws what the error word
  // holds in native's words, with the argument, position and value, what was expected, and that the
  // request was skipped; of several requests that of the lowest. What was thrown is forgotten. Not
  // under graph capture.
  ATTEND_API void check() const;
};

struct MergeParams {};

// Joins two partial results over disjoint keys (split keys, ring steps, shared prefixes).
//   shapes   out_*: [batch, seqlen_q, heads, dim] or [total_q, heads, dim]; lse_*: as attention's
//   dtypes   out_*: f32, f16 or bf16, each its own; lse_*: f32
//   bases    lse is a natural logarithm; -inf marks an empty part, which contributes nothing
//   memory   out may be exactly out_a or out_b, and lse be lse_a or lse_b; else nothing overlaps
struct MergeArgs {
  TensorView out_a, lse_a, out_b, lse_b;
  TensorView out, lse;
};

// One implementation of one operator on one backend: a plain table row that crosses shared-object
// boundaries.
template <class Args, class Params>
struct KernelEntry {
  OpId op;
  DeviceType device;
  const char* name;     // "flash/cuda/sm90_wgmma": operator/backend/implementation
  const char* summary;  // what it serves, one line: "f32 f16 bf16, dense and ragged"
  int32_t priority;     // higher is asked first
  // Whether this machine can run the row at all (instruction set, compute capability), in words.
  Status (*available)(const Device&);
  // kOk if the row takes this call; otherwise kUnsupported and the reason in words. Args have
  // passed the operator's checks.
  Status (*supports)(const Args&, const Params&, const Device&);
  // Scratch that run() wants for a call with this many workers.
  uint64_t (*workspace_bytes)(const Args&, const Params&, int32_t workers);
  Status (*run)(const Args&, const Params&, const ExecContext&);
};
using AttentionKernel = KernelEntry<AttentionArgs, AttentionParams>;
using GdnKernel = KernelEntry<GdnArgs, GdnParams>;
using MergeKernel = KernelEntry<MergeArgs, MergeParams>;

}  // namespace attend
