#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"
#include "ops/common/index_check.h"
#include "ops/gdn/shape.h"

namespace attend::gpu {

// What a check of indices leaves behind, one entry a request; in device memory.
struct CheckResult {
  uint8_t* skip = nullptr;     // not 0 = the request has a bad index
  ErrorWord* first = nullptr;  // its first bad index; code 0 = none
  int32_t* done = nullptr;     // blocks that have finished; 0 before the launch
  ErrorWord* error = nullptr;  // gets the lowest request's, unless it holds something already
  int64_t requests = 0;
  int32_t blocks = 0;
  bool duplicates = false;  // look for duplicate slots, too, which takes the square of their number
};

struct CheckAttentionCall {
  AttentionArgs args;
  AttentionParams params;
  MostByShapes most;
  CheckResult result;
};
// Of two kernels: the first looks at gates, the second at requests.
struct CheckGdnCall {
  GdnArgs args;
  GdnParams params;
  GdnShape shape;
  // [rows, 2], the decay's and beta's: the first value of the row that is out of range, -1 if none;
  // null: no gate is given that has a range.
  int32_t* gates = nullptr;
  CheckResult result;
};

inline constexpr int kCheckTeam = 32;  // threads that share a request
inline constexpr Kernel kCheckAttention{"attend_check_attention", 128};
inline constexpr Kernel kCheckGdn{"attend_check_gdn", 128};
inline constexpr Kernel kCheckGates{"attend_check_gates", 128};
inline constexpr int kCheckRequests =
    kCheckAttention.threads / kCheckTeam;                  // of a block; rows of gates, too
inline constexpr uint32_t kCheckShared = sizeof(int32_t);  // bytes of shared memory

// Requests of a call; of append alone every token is one.
ATTEND_HD int64_t check_requests(const AttentionArgs& a) {
  if (!a.q) return a.seq.slot_mapping ? a.seq.slot_mapping.dim(0) : 0;
  return a.seq.cu_seqlens_q ? a.seq.cu_seqlens_q.dim(0) - 1 : a.q.dim(0);
}

// Rows of g, alpha and beta in all.
ATTEND_HD int64_t check_gate_rows(const GdnShape& s) {
  return s.ragged ? s.rows : s.batch * s.rows;
}

}  // namespace attend::gpu
