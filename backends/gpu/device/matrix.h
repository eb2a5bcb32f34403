#pragma once
// Products of 16-bit tiles by the matrix instructions, by neutral names: attend::gpu::Matrix<T>, T
// being Half or Bfloat. A warp computes
//   scores   S[16 rows x 16 keys] += Q[16 rows x kDepth dims] K[16 keys x kDepth dims]^T
//   outputs  O[16 rows x 16 dims] += P[16 rows x 16 keys] V[16 keys x 16 dims]
// where S, P and O have one form in registers, so that the weights are made from the scores in place.
// Which lane holds what differs; every policy has
//
//   static constexpr MatrixUnit kUnit
//   static constexpr int kDepth        dims of one product of scores: 16 or 32
//   static constexpr int kTile         elements of S, P or O that a lane holds: 256 / warp
//   static constexpr int kSlots        rows that they lie in
//   static int slot(e)                 which of these element e is in
//   static int row(lane, slot)         of the tile
//   static int column(lane, e)         key of S and P, dim of O
//   static float over_row(x, v, op)    v of all lanes that share the caller's rows, joined by op
//
//   struct Rows, Keys, Values, Weights operands in registers: words w[]
//   static int rows_at<pitch>(lane)    where in a tile in shared memory the lane reads its share of
//   static int keys_at<pitch>(lane)    16 rows (keys) x kDepth dims, and
//   static int values_at<pitch>(lane)  16 keys x 16 dims, which lie as value_offset says
//   static int value_offset<pitch>(key, dim)
//   static Rows rows(x, at)            of a tile: all lanes of the warp call, each with its own `at`
//   static Keys keys(x, at)
//   static Values values(x, at)
//   static Weights weights(x, p)       of kTile f32, rounded to nearest even
//   static void score(x, s, rows, keys), accumulate(x, o, weights, values)
//
// Where Q stays in registers (MatrixShape::q_in_shared is false), a lane's share of kDepth dims is
// 8 adjacent elements: rows_row(lane), rows_dim(lane) say which.
#include <cstdint>

#include "backends/gpu/call/matrix_tiles.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"

namespace attend::gpu {

// The element types of operands.
struct Half {
  static constexpr DType kDType = DType::kF16;
};
struct Bfloat {
  static constexpr DType kDType = DType::kBF16;
};

template <class T>
inline constexpr bool kIsHalf = T::kDType == DType::kF16;

struct alignas(16) Chunk {  // 8 elements
  uint32_t w[4];
};

}  // namespace attend::gpu

// unit:: has the instructions themselves; on the host they are emulated, lane by lane, with layouts
// written again from the vendors' documents.
#if defined(__CUDACC__)
#include "backends/cuda/matrix_unit.h"
// After the instructions that it is made of:
#include "backends/cuda/matrix.h"
#elif defined(__HIP__)
#include "backends/rocm/matrix_unit.h"
#if defined(__GFX9__)
#include "backends/rocm/matrix_cdna.h"
#else
#include "backends/rocm/matrix_rdna.h"
#endif
#else
#include "tests/simt/executor/matrix.h"
#endif
