#pragma once
#include "backends/gpu/call/kernel.h"
#include "ops/common/layout.h"

namespace attend::gpu {

// Rows of one sequence, as they are sent to another rank of a ring.
struct PackCall {
  RowsView from;
  std::byte* to = nullptr;  // [rows, heads, dims], side by side; indices become i64
  int64_t rows = 0;
  int32_t heads = 1, dims = 1;
  bool words = false;  // rows may be copied 16 bytes at a time
};
inline constexpr int kPackTeam = 32;  // threads that share a row
inline constexpr Kernel kPack{"attend_pack", 128};
inline constexpr int kPackRows = kPack.threads / kPackTeam;  // of a block

}  // namespace attend::gpu
