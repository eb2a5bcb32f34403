#pragma once
// pack: rows of any strides, side by side, for their way to another rank of a ring.
//
//   block    kPackRows rows, each of a team of 32 threads: all its heads
//   per row  bits as they are, 16 bytes at a time where every address allows it; indices widened
//   traffic  each element is read once and written once
#include "backends/gpu/call/pack.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"

namespace attend::gpu {

struct Pack {
  using Args = PackCall;
  static constexpr int kThreads = kPack.threads;

  static ATTEND_DEVICE void run(Thread& x, const PackCall& call) {
    const int64_t row = int64_t{x.block().x} * kPackRows + x.tid() / kPackTeam;
    if (row >= call.rows) return;
    const int lane = x.tid() % kPackTeam;
    if (call.words) return copy<Words, Words>(lane, call, row, size_bytes(call.from.dtype));
    switch (call.from.dtype) {
      case DType::kI64: return copy<int64_t, int64_t>(lane, call, row);
      case DType::kI32: return copy<int32_t, int64_t>(lane, call, row);
      case DType::kF32: return copy<uint32_t, uint32_t>(lane, call, row);
      default: return copy<uint16_t, uint16_t>(lane, call, row);
    }
  }

 private:
  struct alignas(16) Words {
    uint32_t w[4];
  };

  // Of elements, or of units of some elements that lie side by side.
  template <class From, class To>
  static ATTEND_DEVICE void copy(int lane, const PackCall& call, int64_t row,
                                 int64_t element_bytes = sizeof(From)) {
    const auto units = static_cast<int32_t>(call.dims * element_bytes / sizeof(From));
    const int64_t step = call.words ? 1 : call.from.dim;
    auto* const to = reinterpret_cast<To*>(call.to) + row * call.heads * units;
    for (int32_t e = lane; e < call.heads * units; e += kPackTeam) {
      const auto* const from = reinterpret_cast<const From*>(call.from.at(row, e / units));
      to[e] = from[e % units * step];
    }
  }
};

}  // namespace attend::gpu
