// vanilla/native/eigen: the plainest reading of the formula, which a person can check by eye.
//
//   task     one sequence x one head x up to 128 query rows, all of whose scores are materialised
//   steps    S = Q K^T (Eigen), the score pipeline of attention_params.h entry by entry, softmax in
//            f32, dropout, O = W V (Eigen); inputs are widened to f32 once
//   memory   (128 + head_dim + v_dim) x seqlen_k floats a thread: use flash where that is too much
#include <Eigen/Core>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "attend/registry.h"
#include "backends/native/convert.h"
#include "backends/native/kernels.h"
#include "backends/native/scratch.h"
#include "backends/native/thread_pool.h"
#include "ops/common/dropout.h"
#include "ops/common/layout.h"
#include "ops/common/online_softmax.h"
#include "ops/common/score.h"

namespace attend::native {
namespace {

constexpr int64_t kRows = 128;

using Matrix = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>,
                          Eigen::Aligned64>;

int64_t aligned_floats(int64_t n) { return (n + 15) / 16 * 16; }

uint64_t scratch_bytes(const CallShape& s, int64_t longest_k) {
  const int64_t floats = aligned_floats(kRows * s.head_dim) +
                         aligned_floats(longest_k * s.head_dim) +
                         aligned_floats(longest_k * s.v_dim) + aligned_floats(kRows * longest_k) +
                         aligned_floats(kRows * s.v_dim) + aligned_floats(longest_k);
  return static_cast<uint64_t>(floats) * sizeof(float);
}

struct Call {
  const AttentionArgs& a;
  const AttentionParams& p;
  CallShape shape;
  BroadcastView keep, bias, blocks, weights, scores;
  Dropout dropout;

  Call(const AttentionArgs& args, const AttentionParams& params)
      : a(args),
        p(params),
        shape(call_shape(args)),
        keep(params.mask.keep),
        bias(params.bias),
        blocks(params.mask.block_mask),
        weights(args.weights),
        scores(args.scores),
        dropout(dropout_of(params)) {}

  // Splash's block mask, whose calls of one row come here.
  bool block_keeps(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const MaskSpec& m = p.mask;
    return blocks.at(b, h, i / m.block_mask_q)[j / m.block_mask_k * blocks.j] != std::byte{0};
  }
};

// Rows [first, first + rows) of one head of one sequence.
class HeadRows {
 public:
  HeadRows(const Call& call, const Sequence& s, int64_t head, int64_t first, std::byte* scratch)
      : c_(call),
        s_(s),
        h_(head),
        first_(first),
        rows_(std::min(kRows, s.q_len - first)),
        at_(reinterpret_cast<float*>(scratch)),
        q_(take(rows_, c_.shape.head_dim)),
        k_(take(s.k_len, c_.shape.head_dim)),
        v_(take(s.k_len, c_.shape.v_dim)),
        w_(take(rows_, s.k_len)),
        o_(take(rows_, c_.shape.v_dim)),
        seen_(take(1, s.k_len)) {}

  void attend() {
    const int64_t kv_head = h_ / c_.shape.group();
    read(rows_of(c_.a.q, s_.b, s_.q_first), h_, first_, q_);
    read(rows_of(c_.a.k, s_.b, s_.k_first), kv_head, 0, k_);
    read(rows_of(c_.a.v, s_.b, s_.k_first), kv_head, 0, v_);
    w_.noalias() = q_ * k_.transpose();
    seen_.setZero();
    for (int64_t r = 0; r < rows_; ++r) {
      score(r);
      const float lse = normalise(r);
      if (c_.a.lse)
        store(lse_rows_of(c_.a.lse, s_.b, s_.q_first).at(first_ + r, h_), DType::kF32, lse);
      if (c_.p.dropout_p > 0.0f) drop(r);
      write_row(c_.weights, r, 0.0f);
    }
    // A value behind a key that none of these rows sees must not meet its zero weight: 0 * NaN is
    // NaN.
    for (int64_t j = 0; j < s_.k_len; ++j)
      if (seen_(0, j) == 0.0f) v_.row(j).setZero();
    o_.noalias() = w_ * v_;
    const RowsView out = rows_of(c_.a.out, s_.b, s_.q_first);
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t d = 0; d < c_.shape.v_dim; ++d)
        store(out.at(first_ + r, h_) + d * out.dim * size_bytes(out.dtype), out.dtype, o_(r, d));
  }

 private:
  Matrix take(int64_t rows, int64_t columns) {
    float* const here = at_;
    at_ += aligned_floats(rows * columns);
    return {here, rows, columns};
  }

  static void read(const RowsView& from, int64_t head, int64_t first, Matrix& to) {
    for (int64_t i = 0; i < to.rows(); ++i)
      for (int64_t d = 0; d < to.cols(); ++d)
        to(i, d) =
            load(from.at(first + i, head) + d * from.dim * size_bytes(from.dtype), from.dtype);
  }

  // Steps 1 to 4 for one row, and the scores at the stage that was asked for.
  void score(int64_t r) {
    const int64_t i = first_ + r;
    const ScoreMod mod{*c_.p.softmax_scale, c_.p.softcap, alibi_slope(c_.p.alibi_slopes, s_.b, h_)};
    const auto hand_out = [&](ScoresStage stage) {
      if (c_.scores && c_.p.scores_stage == stage) write_row(c_.scores, r, -INFINITY);
    };
    for (int64_t j = 0; j < s_.k_len; ++j) w_(r, j) = mod.scaled(w_(r, j));
    hand_out(ScoresStage::kScaled);
    for (int64_t j = 0; j < s_.k_len; ++j) w_(r, j) = mod.capped(w_(r, j));
    hand_out(ScoresStage::kCapped);
    const KeyRange keys = s_.mask.keys(i);
    const bool segments = static_cast<bool>(c_.p.mask.q_segment_ids);
    const IndexVector kv_ids =
        segments ? ids_of(c_.p.mask.kv_segment_ids, s_.b, s_.k_first) : IndexVector{};
    const int64_t q_id =
        segments ? index_at(ids_of(c_.p.mask.q_segment_ids, s_.b, s_.q_first), i) : 0;
    for (int64_t j = 0; j < s_.k_len; ++j) {
      float bias = 0.0f;
      if (c_.bias)
        bias = load(c_.bias.at(s_.b, h_, i) + j * c_.bias.j * size_bytes(c_.bias.dtype),
                    c_.bias.dtype);
      const auto distance = static_cast<float>(std::abs(i + s_.mask.d - j));
      // A bias of -inf is a mask: it selects, so that a NaN in K stays behind it.
      bool visible = j >= keys.begin && j < keys.end && !s_.mask.in_hole(j) && bias != -INFINITY;
      if (c_.keep) visible = visible && *(c_.keep.at(s_.b, h_, i) + j * c_.keep.j) != std::byte{0};
      if (segments) visible = visible && q_id >= 0 && index_at(kv_ids, j) == q_id;
      if (c_.blocks) visible = visible && c_.block_keeps(s_.b, h_, i, j);
      const float s = visible ? mod.biased(w_(r, j), bias, distance) : -INFINITY;
      w_(r, j) = s;
      if (s != -INFINITY) seen_(0, j) = 1.0f;
    }
    hand_out(ScoresStage::kMasked);
  }

  // Step 5. Returns the row's lse, sinks included.
  float normalise(int64_t r) {
    OnlineSoftmax row;
    for (int64_t j = 0; j < s_.k_len; ++j) row.m = std::fmax(row.m, w_(r, j));
    const float base = row.base();
    double sum = 0.0;
    for (int64_t j = 0; j < s_.k_len; ++j) sum += w_(r, j) = std::exp(w_(r, j) - base);
    row.l = static_cast<float>(sum);
    float factor = 1.0f;
    for (int64_t n = 0; n < sink_count(c_.p.sinks); ++n)
      factor *= row.admit_sink(sink_logit(c_.p.sinks, h_, n));
    w_.row(r) *= factor * row.inverse_sum();
    return row.lse();
  }

  // Step 6.
  void drop(int64_t r) {
    Philox4x32 words{};
    for (int64_t j = 0; j < s_.k_len; ++j) {
      if (j % 4 == 0) words = c_.dropout.words(s_.b * c_.shape.heads + h_, first_ + r, j);
      w_(r, j) = c_.dropout.keeps(words, j) ? w_(r, j) * c_.dropout.keep_scale : 0.0f;
    }
  }

  // A row of weights or scores; keys that are not in use hold `absent`.
  void write_row(const BroadcastView& to, int64_t r, float absent) {
    if (!to) return;
    const TensorView& whole = to.base == c_.weights.base ? c_.a.weights : c_.a.scores;
    auto* row = const_cast<std::byte*>(to.at(s_.b, h_, first_ + r));
    for (int64_t j = 0; j < whole.dim(3); ++j)
      store(row + j * whole.step(3) * size_bytes(to.dtype), to.dtype,
            j < s_.k_len ? w_(r, j) : absent);
  }

  const Call& c_;
  const Sequence& s_;
  const int64_t h_, first_, rows_;
  float* at_;
  Matrix q_, k_, v_, w_, o_, seen_;
};

Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
  const Call call(a, p);
  int64_t longest_q = 0, longest_k = 0;
  for (int64_t b = 0; b < call.shape.batch; ++b) {
    const Sequence s = sequence(a, p, b);
    longest_q = std::max(longest_q, s.q_len);
    longest_k = std::max(longest_k, s.k_len);
  }
  const int64_t blocks = (longest_q + kRows - 1) / kRows,
                columns = call.shape.batch * call.shape.heads;
  if (blocks * columns == 0) return {};
  const int32_t workers = worker_count(context, blocks * columns);
  const Scratch scratch(context, scratch_bytes(call.shape, longest_k), workers);
  std::atomic<bool> out_of_memory{!scratch};
  if (scratch)
    parallel(context, workers, blocks * columns, [&](int64_t task, int32_t worker) {
      const int64_t first = task / columns * kRows, column = task % columns;
      const Sequence s = sequence(a, p, column / call.shape.heads);
      if (first >= s.q_len) return;
      try {
        HeadRows(call, s, column % call.shape.heads, first, scratch.of(worker)).attend();
      } catch (const std::bad_alloc&) {  // Eigen's own packing buffers
        out_of_memory = true;
      }
    });
  if (out_of_memory)
    return {ErrorCode::kOutOfMemory,
            "scratch memory for whole score rows is not to be had; use flash", 0};
  return {};
}

Status always(const Device&) { return {}; }
Status supports(const AttentionArgs&, const AttentionParams&, const Device&) { return {}; }
uint64_t workspace_bytes(const AttentionArgs& a, const AttentionParams& p, int32_t workers) {
  int64_t longest_k = 0;
  for (int64_t b = 0; b < call_shape(a).batch; ++b)
    longest_k = std::max(longest_k, sequence(a, p, b).k_len);
  return Scratch::bytes(scratch_bytes(call_shape(a), longest_k), workers);
}

}  // namespace

void add_vanilla(Registry& registry) {
  registry.add(AttentionKernel{OpId::kVanilla, DeviceType::kNative, "vanilla/native/eigen",
                               "f32 f16 bf16; dense, ragged; every mask and score word; dropout, "
                               "weights, scores, lse; any CPU",
                               0, always, supports, workspace_bytes, run});
}

}  // namespace attend::native
