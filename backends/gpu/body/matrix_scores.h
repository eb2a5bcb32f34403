#pragma once
#include "backends/gpu/body/matrix_block.h"
#include "backends/gpu/device/matrix.h"
#include "ops/common/online_softmax.h"
#include "ops/common/score.h"

namespace attend::gpu {

struct MatrixSpans {
  MatrixBlock::Span some, all;  // keys that some row, that all rows of a warp may see
};
static_assert(sizeof(MatrixSpans) == MatrixLayout::kSpanBytes);

// What the words of a call add to the scores of one row; in shared memory.
struct MatrixRow {
  const std::byte* bias;  // of the row, null where there is none
  float slope;
  int32_t position;
};
static_assert(sizeof(MatrixRow) == MatrixLayout::kRowBytes);

// The scores of one warp at one step, as its lanes hold them: steps 1 to 4 of the score order
// (attention_params.h), on registers. Where ranges alone hide keys that is a bit test a score. What
// more a call may ask (softcap, bias, alibi, words that decide pair by pair) takes its time: the scores
// pass through shared memory, a tile after another, so that its code is there once and asks for no
// registers.
template <class T, int kDim, bool kWide>
class MatrixScores {
  using M = Matrix<T>;
  static constexpr MatrixShape kShape = matrix_shape(M::kUnit, kDim, kWide);
  static constexpr MatrixLayout kLayout{M::kUnit, kDim, kWide};
  static constexpr int kWarpRows = kShape.warp_rows(), kWarpKeys = kShape.warp_keys();
  static constexpr int kRows = kWarpRows / 16, kKeys = kWarpKeys / 16;
  static_assert(kWarpKeys <= 64 && kWarpRows <= Thread::kWarp);

 public:
  using Fragment = float[kRows][kKeys][M::kTile];

  ATTEND_DEVICE MatrixScores(Thread& thread, const TilesCall& c, const MatrixBlock& b)
      : x(thread), call(c), block(b) {
    const int row0 = first_row();
    MatrixSpans spans{{0, 0}, {0, -1}};
    if (row0 < block.rows) {
      const int last_row = block.rows - row0 < kWarpRows ? block.rows - 1 : row0 + kWarpRows - 1;
      const MatrixBlock::Span first = block.keys_of(row0), last = block.keys_of(last_row);
      spans = {{first.begin, last.end}, {last.begin, first.end}};
    }
    if (x.lane() == 0) *own<MatrixSpans>(kLayout.spans) = spans;
    if (!block.is_plain) describe_rows();
    x.warp_sync();
  }

  // Whether some row of the warp may see some of the keys [j, j + kWarpKeys), by ranges.
  ATTEND_DEVICE bool sees(int32_t j) const {
    const MatrixBlock::Span some = own<MatrixSpans>(kLayout.spans)->some;
    return j < some.end && j + kWarpKeys > some.begin;
  }

  // Writes down which keys [j, j + kWarpKeys) each row sees, where not all see all. Before the scores
  // are there, whose registers it can use. selects: words decide pair by pair.
  ATTEND_DEVICE void make_masks(int32_t j, bool selects) {
    const bool hole =
        j < block.hole_end && j + kWarpKeys > block.hole_begin && block.hole_begin < block.hole_end;
    const MatrixBlock::Span all = own<MatrixSpans>(kLayout.spans)->all;
    const bool whole = j >= all.begin && j + kWarpKeys <= all.end && !hole;
    kind = block.is_plain && !selects ? (whole ? Kind::kWhole : Kind::kMasked) : Kind::kSlow;
    if (kind == Kind::kWhole) return;
    mask_ranges(j);
    if (selects) mask_words(j);
  }

  // Scores become what the softmax takes: modified, in units of block.unit, -inf where a row does not
  // see the key.
  //   returns  where words or a bias decide pair by pair: the keys that some row of the warp sees
  ATTEND_DEVICE uint64_t finish(int32_t j, Fragment& s) const {
    if (kind == Kind::kMasked) apply_masks(s);
    return kind == Kind::kSlow ? take_time(j, s) : 0;
  }

 private:
  // The first row, of the block's, that the warp has.
  ATTEND_DEVICE int first_row() const { return kWide ? warp() * kWarpRows : 0; }
  ATTEND_DEVICE int warp() const { return unit::again(x.tid()) / Thread::kWarp; }
  // What the warp has of an array in shared memory: `count` elements.
  template <class E>
  ATTEND_DEVICE E* own(int at, int count = 1) const {
    return reinterpret_cast<E*>(x.shared() + at) + warp() * count;
  }
  ATTEND_DEVICE uint64_t* masks() const { return own<uint64_t>(kLayout.masks, kWarpRows); }

  ATTEND_DEVICE void describe_rows() const {
    const int row0 = first_row();
    if (const int r = x.lane(); r < kWarpRows && row0 + r < block.rows) {
      const int64_t head = block.task.head(row0 + r), i = block.row_position(row0 + r);
      const BroadcastView& bias = block.words.bias;
      own<MatrixRow>(kLayout.rows, kWarpRows)[r] = {
          bias ? bias.at(block.task.seq.b, head, i) : nullptr,
          alibi_slope(call.params.alibi_slopes, block.task.seq.b, head),
          MatrixBlock::position(i + block.task.seq.mask.d)};
    }
  }

  // Bits of keys [j, j + 64) below `end`.
  static ATTEND_DEVICE uint64_t below(int32_t end, int32_t j) {
    const int32_t n = end - j;
    return n <= 0 ? 0 : n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
  }

  ATTEND_DEVICE void mask_ranges(int32_t j) const {
    const int row0 = first_row();
    x.warp_sync();  // the last step's masks have been read
    if (const int r = unit::again(x.lane()); r < kWarpRows) {
      uint64_t bits = 0;
      if (row0 + r < block.rows) {
        const MatrixBlock::Span keys = block.keys_of(row0 + r);
        bits = below(keys.end, j) & ~below(keys.begin, j) &
               ~(below(block.hole_end, j) & ~below(block.hole_begin, j));
      }
      masks()[r] = bits;
    }
    x.warp_sync();
  }

  // The whole warp asks for one row after another, so that neighbours read neighbours.
  ATTEND_DEVICE void mask_words(int32_t j) const {
    const int row0 = first_row();
    uint64_t* const rows = masks();
#pragma unroll 1
    for (int r = 0; r < kWarpRows && row0 + r < block.rows; ++r) {
      const int64_t head = block.task.head(row0 + r), i = block.row_position(row0 + r);
      const KeyWords::Row words = block.words.row(block.task.seq.b, head, i);
      const uint64_t in_range = rows[r];
      uint64_t bits = 0;
#pragma unroll 1
      for (int n = 0; n < kWarpKeys; n += Thread::kWarp) {
        const int key = n + x.lane();
        const bool in = key < kWarpKeys && (in_range >> key & 1) != 0;
        bits |= x.ballot(in && block.words.keeps(words, j + key)) << n;
      }
      x.warp_sync();  // all lanes have read the row's ranges
      if (x.lane() == 0) rows[r] = bits;
    }
    x.warp_sync();
  }

  ATTEND_DEVICE void apply_masks(Fragment& s) const {
    const int lane = unit::again(x.lane());
    const uint64_t* const rows = masks();
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int slot = 0; slot < M::kSlots; ++slot) {
        const uint64_t bits = rows[r * 16 + M::row(lane, slot)];
        const uint32_t half[2] = {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)};
#pragma unroll
        for (int k = 0; k < kKeys; ++k)
#pragma unroll
          for (int e = 0; e < M::kTile; ++e)
            if (M::slot(e) == slot && (half[k / 2] >> (k % 2 * 16 + M::column(lane, e)) & 1u) == 0)
              s[r][k][e] = -math::kInfinity;
      }
  }

  // A tile at a time through memory of the lane's own.
  ATTEND_DEVICE uint64_t take_time(int32_t j, Fragment& s) const {
    uint32_t low = 0, high = 0;
    const int lane = unit::again(x.lane());
    float* const mine = own<float>(kLayout.tile, M::kTile * Thread::kWarp) + lane;
    const uint64_t* const seen_by = masks();
    const MatrixRow* const rows = own<MatrixRow>(kLayout.rows, kWarpRows);
#pragma unroll 1
    for (int n = 0; n < kRows * kKeys; ++n) {
#pragma unroll
      for (int at = 0; at < kRows * kKeys; ++at)
        if (at == n)
#pragma unroll
          for (int e = 0; e < M::kTile; ++e) mine[e * Thread::kWarp] = s[at / kKeys][at % kKeys][e];
      const int k = n % kKeys;
      uint32_t seen = 0;
#pragma unroll 1
      for (int e = 0; e < M::kTile; ++e) {
        const int row = n / kKeys * 16 + M::row(lane, M::slot(e)), key = M::column(lane, e);
        float& score = mine[e * Thread::kWarp];
        if ((seen_by[row] >> (k * 16 + key) & 1) == 0)
          score = -math::kInfinity;
        else if (!block.is_plain)
          score = modified(rows[row], score, j + k * 16 + key);
        seen |= uint32_t{score != -math::kInfinity} << key;
      }
      (k < 2 ? low : high) |= seen << (k % 2 * 16);
#pragma unroll
      for (int at = 0; at < kRows * kKeys; ++at)
        if (at == n)
#pragma unroll
          for (int e = 0; e < M::kTile; ++e) s[at / kKeys][at % kKeys][e] = mine[e * Thread::kWarp];
    }
// Not unrolled: where each exchange reads would stay in registers from step to step.
#pragma unroll 1
    for (int m = 1; m < Thread::kWarp; m *= 2) {
      low |= x.shfl_xor(low, m);
      high |= x.shfl_xor(high, m);
    }
    return low | uint64_t{high} << 32;
  }

  // Steps 1 to 3, for a key that the row sees. -inf in a bias is a mask.
  ATTEND_DEVICE float modified(const MatrixRow& row, float dot, int32_t j) const {
    const ScoreMod mod{*call.params.softmax_scale * block.k_rows.scale, call.params.softcap,
                       row.slope};
    const BroadcastView& from = block.words.bias;
    const float bias = row.bias == nullptr
                           ? 0.0f
                           : load(row.bias + j * from.j * size_bytes(from.dtype), from.dtype);
    if (bias == -math::kInfinity) return bias;
    return mod.biased(mod.capped(mod.scaled(dot)), bias,
                      math::abs(static_cast<float>(row.position - j)));
  }

  enum class Kind : uint8_t { kWhole, kMasked, kSlow };

  Thread& x;
  const TilesCall& call;
  const MatrixBlock& block;
  Kind kind = Kind::kWhole;  // of the step at hand
};

}  // namespace attend::gpu
