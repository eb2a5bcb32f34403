#pragma once
#include "backends/gpu/device/matrix.h"

namespace attend::gpu {

// Eight elements of a row, brought to 16 bits. Caches of 8 bits are exact in either format, the
// descale apart.
template <class T>
ATTEND_DEVICE Chunk chunk_of(const std::byte* row, DType dtype, int d) {
  if (dtype == T::kDType) return *reinterpret_cast<const Chunk*>(row + 2 * d);
  struct alignas(8) Bytes {
    uint8_t b[8];
  };
  const Bytes bytes = *reinterpret_cast<const Bytes*>(row + d);
  Chunk c;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const auto widened = [&](int at) {
      const uint8_t b = bytes.b[at];
      return dtype == DType::kF8E4M3   ? f8_e4m3_to_f32(b)
             : dtype == DType::kF8E5M2 ? f8_e5m2_to_f32(b)
                                       : static_cast<float>(static_cast<int8_t>(b));
    };
    c.w[n] = unit::pack<T>(widened(2 * n), widened(2 * n + 1));
  }
  return c;
}

// The way of a tile of K or V, keys x dims, from global into shared memory, in two halves so that
// products run between them: fetch() asks for the rows, land() sees to it that they are in shared
// memory once the block has met. Where a copy runs by itself (kAlone) the first half does it all
// and the second waits; elsewhere registers hold the rows in between.
//
// kTransposed: element [key][dim] goes to [dim][key], four keys at a time.
template <class T, int kKeys, int kDim, int kThreads, int kPitch, bool kTransposed, bool kAlone>
class MatrixStage {
  static constexpr int kRowChunks = kDim / 8;
  // A thread's unit is a chunk, or the chunks of four keys to be transposed.
  static constexpr int kUnitKeys = kTransposed ? 4 : 1;
  static constexpr int kUnits = kKeys / kUnitKeys * kRowChunks;
  static constexpr int kOfThread = (kUnits + kThreads - 1) / kThreads;
  static_assert(!kAlone || !kTransposed);
  // What registers cannot hold beside the accumulators is read when it must be there: a warp of 32
  // has half the registers of one of 64 for as many elements.
  static constexpr bool kLate = !kAlone && kOfThread * kUnitKeys > Thread::kWarp / 8;

 public:
  // rows[key]: where its row is, null where it counts as zeros. dim: elements in use. somewhere: any
  // global address, which copies of nothing name.
  ATTEND_DEVICE void fetch(Thread& x, uint16_t* tile, const std::byte* const* rows, DType dtype,
                           int dim, const void* somewhere) {
    const Place p(unit::again(x.tid()));
    if (kSome && x.tid() >= kUnits) return;
    if constexpr (kAlone) {
      uint16_t* const to = tile + p.key * kPitch + p.d;
      if (dtype == T::kDType) {
#pragma unroll
        for (int n = 0; n < kOfThread; ++n) {
          const std::byte* row = rows[p.key + n * kKeyStep];
          const bool valid = row != nullptr && p.d < dim;
          x.copy16(to + n * kKeyStep * kPitch, valid ? row + 2 * p.d : somewhere, valid);
        }
        x.copy_commit();
      } else {
#pragma unroll 1
        for (int n = 0; n < kOfThread; ++n)
          *reinterpret_cast<Chunk*>(to + n * kKeyStep * kPitch) =
              read(rows[p.key + n * kKeyStep], dtype, p.d, dim);
      }
    } else if constexpr (!kLate) {
#pragma unroll
      for (int n = 0; n < kOfThread; ++n) read_unit(p, n, rows, dtype, dim, held_ + n * kUnitKeys);
    }
  }

  // With what fetch() was given.
  ATTEND_DEVICE void land(Thread& x, uint16_t* tile, const std::byte* const* rows, DType dtype,
                          int dim) {
    if constexpr (kAlone) {
      x.template copy_wait<0>();
    } else {
      const Place p(unit::again(x.tid()));
      if (kSome && x.tid() >= kUnits) return;
      if constexpr (kLate) {
#pragma unroll 1
        for (int n = 0; n < kOfThread; ++n) {
          Chunk unit[kUnitKeys];
          read_unit(p, n, rows, dtype, dim, unit);
          write_unit(p, n, unit, tile);
        }
      } else {
#pragma unroll
        for (int n = 0; n < kOfThread; ++n) write_unit(p, n, held_ + n * kUnitKeys, tile);
      }
    }
  }

 private:
  // Where a thread's units are: the first, and constant steps from it. Adjacent threads take adjacent
  // chunks of a row; for the transposition adjacent keys, which are adjacent in shared memory then.
  struct Place {
    int key, d;
    ATTEND_DEVICE explicit Place(int tid)
        : key(kTransposed ? tid % kColumn * kUnitKeys : tid / kRowChunks),
          d((kTransposed ? tid / kColumn : tid % kRowChunks) * 8) {}
  };
  static constexpr int kColumn = kKeys / kUnitKeys;  // units side by side in [dim][key]
  static_assert(kThreads % (kTransposed ? kColumn : kRowChunks) == 0);
  static constexpr int kKeyStep = kTransposed ? 0 : kThreads / kRowChunks,
                       kDimStep = kTransposed ? kThreads / kColumn * 8 : 0;
  static constexpr bool kSome = kUnits % kThreads != 0;  // the last threads have none
  static_assert(!kSome || kOfThread == 1);

  static ATTEND_DEVICE Chunk read(const std::byte* row, DType dtype, int d, int dim) {
    return row != nullptr && d < dim ? chunk_of<T>(row, dtype, d) : Chunk{};
  }

  static ATTEND_DEVICE void read_unit(const Place& p, int n, const std::byte* const* rows,
                                      DType dtype, int dim, Chunk* unit) {
#pragma unroll
    for (int i = 0; i < kUnitKeys; ++i)
      unit[i] = read(rows[p.key + n * kKeyStep + i], dtype, p.d + n * kDimStep, dim);
  }
  static ATTEND_DEVICE void write_unit(const Place& p, int n, const Chunk* unit, uint16_t* tile) {
    if constexpr (kTransposed)
      write_transposed(tile + (p.d + n * kDimStep) * kPitch + p.key, unit);
    else
      *reinterpret_cast<Chunk*>(tile + (p.key + n * kKeyStep) * kPitch + p.d) = *unit;
  }

  // Chunks of four keys, as 8 dims of 4 keys.
  static ATTEND_DEVICE void write_transposed(uint16_t* at, const Chunk* keys) {
    struct alignas(8) Quad {
      uint32_t w[2];
    };
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const uint32_t a = keys[0].w[n], b = keys[1].w[n], c = keys[2].w[n], d = keys[3].w[n];
      *reinterpret_cast<Quad*>(at + 2 * n * kPitch) =
          Quad{{(a & 0xffffu) | b << 16, (c & 0xffffu) | d << 16}};
      *reinterpret_cast<Quad*>(at + (2 * n + 1) * kPitch) =
          Quad{{a >> 16 | (b & 0xffff0000u), c >> 16 | (d & 0xffff0000u)}};
    }
  }

  Chunk held_[kAlone || kLate ? 1 : kOfThread * kUnitKeys];
};

}  // namespace attend::gpu
