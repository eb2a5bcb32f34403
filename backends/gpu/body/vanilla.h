#pragma once
// vanilla: scores materialised, a row at a time; the plainest reading of the formula on a device.
//
//   block    one row, a head of a query position, with all its keys: 128 threads over the keys, then
//            over the elements of v
//   per row  scores to device memory, largest, exponentials and their sum, weights, out
//   traffic  k and v once a row; meant for scores and weights on request, dropout and as a referee
//   hidden   keys that the row may not see are never read
#include "backends/gpu/body/key_words.h"
#include "backends/gpu/call/vanilla.h"
#include "ops/common/online_softmax.h"
#include "ops/common/score.h"

namespace attend::gpu {

class Vanilla {
 public:
  using Args = VanillaCall;
  static constexpr int kThreads = kVanilla.threads;

  static ATTEND_DEVICE void run(Thread& x, const VanillaCall& call) {
    const Vanilla block(x, call);
    const int64_t heads = call.args.q.dim(-2), n = call.first_row + x.block().x;
    if (x.tid() == 0)
      block.shared.fill(call, n / call.rows / heads, n / call.rows % heads, n % call.rows);
    x.sync();
    if (block.shared.live) block.row();
  }

 private:
  // A row of the weights or scores that are handed out; without a base there is none.
  struct PairRow {
    std::byte* base = nullptr;
    int64_t step = 0, keys = 0;  // step in bytes
    DType dtype = DType::kF32;

    PairRow() = default;
    ATTEND_DEVICE PairRow(const TensorView& t, int64_t b, int64_t h, int64_t i) {
      if (!t) return;
      base = element(t, b * t.stride[0] + h * t.stride[1] + i * t.stride[2]);
      step = t.stride[3] * size_bytes(t.dtype);
      keys = t.shape[3];
      dtype = t.dtype;
    }
    ATTEND_DEVICE void put(int64_t j, float x) const {
      if (j < keys) store(base + j * step, dtype, x);
    }
  };

  // What the threads have in common; in their registers it would not fit.
  struct Shared {
    Sequence seq;
    KeyWords words;
    KeyWords::Row row_words;
    KeyRange keys;
    RowsView q, k, v, out;
    int64_t head, i, kv_head;
    PairRow weights, scores;
    ScoreMod mod;
    ScoresStage stage;
    bool live;
    float partial[kThreads / 32];  // by warp

    ATTEND_DEVICE void fill(const VanillaCall& call, int64_t b, int64_t h, int64_t row) {
      const AttentionArgs& a = call.args;
      live = call.skip == nullptr || call.skip[b] == 0;
      if (live) seq = sequence(a, call.params, b);
      live = live && row < seq.q_len;
      if (!live) return;
      head = h;
      i = row;
      kv_head = h / (a.q.dim(-2) / a.k.dim(-2));
      words = KeyWords(call.params, seq);
      row_words = words.row(b, h, i);
      keys = seq.mask.keys(i);
      q = rows_of(a.q, b, seq.q_first);
      k = rows_of(a.k, b, seq.k_first);
      v = rows_of(a.v, b, seq.k_first);
      out = rows_of(a.out, b, seq.q_first);
      weights = PairRow(a.weights, b, h, i);
      scores = PairRow(a.scores, b, h, i);
      mod = {*call.params.softmax_scale, call.params.softcap,
             alibi_slope(call.params.alibi_slopes, b, h)};
      stage = call.params.scores_stage;
    }
    ATTEND_DEVICE bool sees(int64_t j) const {
      return j >= keys.begin && j < keys.end && !seq.mask.in_hole(j) && words.keeps(row_words, j);
    }
  };
  static_assert(sizeof(Shared) <= kVanillaSharedBytes);

  Thread& x;
  const VanillaCall& call;
  Shared& shared;
  float* scores;  // of the row, [row_keys]

  ATTEND_DEVICE Vanilla(Thread& thread, const VanillaCall& vanilla_call)
      : x(thread),
        call(vanilla_call),
        shared(*reinterpret_cast<Shared*>(x.shared())),
        scores(call.scores + x.block().x * call.row_keys) {}

  ATTEND_DEVICE void row() const {
    OnlineSoftmax state;
    state.admit(all_scores());
    state.l = exponentials(state.base());
    for (int64_t n = 0; n < sink_count(call.params.sinks); ++n) {
      const float before = state.m;
      (void)state.admit_sink(sink_logit(call.params.sinks, shared.head, n));
      if (state.m != before) rescale(before, state.base());
    }
    weights(state.inverse_sum());
    output();
    if (call.args.lse && x.tid() == 0)
      store(lse_rows_of(call.args.lse, shared.seq.b, shared.seq.q_first).at(shared.i, shared.head),
            DType::kF32, state.lse());
  }

  // Steps 1 to 4 of the score order; returns the largest score.
  ATTEND_DEVICE float all_scores() const {
    const ScoreMod& mod = shared.mod;
    // Scores before the mask are handed out of hidden keys, too.
    const bool all = shared.scores.keys > 0 && shared.stage != ScoresStage::kMasked;
    float top = -math::kInfinity;
    for (int64_t j = x.tid(); j < call.row_keys; j += kThreads) {
      // A bias of -inf is a mask: it selects, so that a NaN in k stays behind it.
      const float bias =
          shared.sees(j) ? shared.words.bias_of(shared.row_words, j) : -math::kInfinity;
      const bool sees = bias != -math::kInfinity;
      float score = -math::kInfinity, handed = score;
      if (j < shared.seq.k_len && (sees || all)) {
        const float scaled = mod.scaled(dot(j)), capped = mod.capped(scaled);
        handed = shared.stage == ScoresStage::kScaled ? scaled : capped;
        const auto distance = static_cast<float>(shared.i + shared.seq.mask.d - j);
        if (sees) score = mod.biased(capped, bias, math::abs(distance));
      }
      shared.scores.put(j, shared.stage == ScoresStage::kMasked ? score : handed);
      scores[j] = score;
      top = math::max(top, score);
    }
    return reduce(top, [](float a, float b) { return math::max(a, b); });
  }

  ATTEND_DEVICE float dot(int64_t j) const {
    const RowsView &q = shared.q, &k = shared.k;
    const std::byte *a = q.at(shared.i, shared.head), *b = k.at(j, shared.kv_head);
    float sum = 0.0f;
    for (int64_t d = 0; d < call.args.q.dim(-1); ++d)
      sum += load(a + d * q.dim * size_bytes(q.dtype), q.dtype) *
             load(b + d * k.dim * size_bytes(k.dtype), k.dtype);
    return sum;
  }

  ATTEND_DEVICE float exponentials(float base) const {
    float sum = 0.0f;
    for (int64_t j = x.tid(); j < shared.seq.k_len; j += kThreads) {
      const float weight = math::exp(scores[j] - base);
      // Hidden stays told from underflown: v is not read there.
      scores[j] = scores[j] == -math::kInfinity ? -1.0f : weight;
      sum += weight;
    }
    return reduce(sum, [](float a, float b) { return a + b; });
  }

  ATTEND_DEVICE void rescale(float before, float base) const {
    const float factor = before == -math::kInfinity ? 1.0f : math::exp(before - base);
    for (int64_t j = x.tid(); j < shared.seq.k_len; j += kThreads)
      if (scores[j] != -1.0f) scores[j] *= factor;
  }

  ATTEND_DEVICE void weights(float inverse) const {
    for (int64_t j = x.tid(); j < call.row_keys; j += kThreads) {
      float weight = 0.0f;
      if (j < shared.seq.k_len && scores[j] != -1.0f) {
        weight = dropped(j) ? 0.0f : scores[j] * inverse * call.dropout.keep_scale;
        scores[j] = weight;
      }
      shared.weights.put(j, weight);
    }
  }
  ATTEND_DEVICE bool dropped(int64_t j) const {
    if (call.dropout.threshold == 0) return false;
    const int64_t head = shared.seq.b * call.args.q.dim(-2) + shared.head;
    return !call.dropout.keeps(call.dropout.words(head, shared.i, j), j);
  }

  ATTEND_DEVICE void output() const {
    x.sync();  // every weight is there
    for (int64_t d = x.tid(); d < call.args.v.dim(-1); d += kThreads) {
      const RowsView &v = shared.v, &out = shared.out;
      float sum = 0.0f;
      for (int64_t j = 0; j < shared.seq.k_len; ++j)
        if (scores[j] != -1.0f)
          sum +=
              scores[j] * load(v.at(j, shared.kv_head) + d * v.dim * size_bytes(v.dtype), v.dtype);
      store(out.at(shared.i, shared.head) + d * out.dim * size_bytes(out.dtype), out.dtype, sum);
    }
  }

  // Over all threads of the block.
  template <class Join>
  ATTEND_DEVICE float reduce(float value, Join join) const {
    for (int m = 1; m < Thread::kWarp; m *= 2) value = join(value, x.shfl_xor(value, m));
    x.sync();  // scores are there, the last reduction has been read
    if (x.lane() == 0) shared.partial[x.warp()] = value;
    x.sync();
    for (int w = 0; w < kThreads / Thread::kWarp; ++w)
      value = w == 0 ? shared.partial[0] : join(value, shared.partial[w]);
    return value;
  }
};

}  // namespace attend::gpu
