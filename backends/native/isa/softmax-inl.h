// From scores to weights: what words do to a row's scores, and the running softmax of a panel. Included
// by tile-inl.h.
#pragma once

namespace attend::native::ATTEND_ISA {

// Steps 1 to 3 of AttentionParams for kLanes keys from `key` on.
inline VF modify(const Tile& t, const TileRow& row, VF s, int32_t key) {
  s = s * t.scale;
  if (t.softcap > 0.0f) s = t.softcap * tanh(s / t.softcap);
  if (row.bias != nullptr) s = s + load(row.bias + key);
  if (row.slope != 0.0f) {
    const VF distance = row.position - to_float(lane_numbers() + key);
    s = s - row.slope * from_bits(bits(distance) & 0x7fffffff);
  }
  return s;
}

// Step 4, which selects, so that a NaN in a hidden key stays behind the mask. A bias of -inf is a
// mask, too.
inline VF hide(const TileRow& row, VF s, int32_t key) {
  const VI j = lane_numbers() + key;
  VI visible = (j >= row.begin) & (j < row.end) & ~((j >= row.hole_begin) & (j < row.hole_end));
  if (row.bias != nullptr) visible &= load(row.bias + key) != -kInfinity;
  if (row.keep != nullptr) visible &= load_u8(row.keep + key) != 0;
  s = visible ? s : splat(-kInfinity);
  if (row.seen != nullptr) {
    VI seen;
    __builtin_memcpy(&seen, row.seen + key, sizeof seen);
    seen |= s != -kInfinity;
    __builtin_memcpy(row.seen + key, &seen, sizeof seen);
  }
  return s;
}

inline void prepare(const Tile& t, const Panel& p, int32_t r, const TileRow& row) {
  float* s = p.s + static_cast<int64_t>(r) * kScoreStride;
  const auto hide_keys = [&](int32_t begin, int32_t end) {
    for (int32_t j = begin; j < end; j += kLanes) store(s + j, hide(row, load(s + j), j));
  };
  if (t.scaled) {
    for (int32_t j = p.key_begin; j < p.key_end; j += kLanes)
      store(s + j, hide(row, modify(t, row, load(s + j), j), j));
  } else if (row.keep != nullptr || row.hole_begin < row.hole_end || row.begin >= row.end) {
    hide_keys(p.key_begin, p.key_end);
  } else {  // a range: what lies inside stays as it is
    hide_keys(p.key_begin, row.begin);
    hide_keys(row.end / kLanes * kLanes, p.key_end);
  }
}

// Where scores() leaves the largest of each lane of row r: in the vector that parts its row from the
// next.
inline float* tops_of(const Panel& p, int32_t r) {
  return p.s + static_cast<int64_t>(r) * kScoreStride + kMaxKeys;
}

// Admits the scores of a panel to its rows' running softmax; see OnlineSoftmax in ops/common, which
// says the same for one row. Rows go side by side in a vector wherever there is one number a row.
// The weights are made step by step, those of a row and a group of keys at a time, whenever the
// caller likes: between products, which keep the multipliers busy and the other units not.
template <class Words, bool rough>
class PanelSoftmax {
 public:
  // Maxima and factors. Weights are 2^(s * scale - base) with both factors in units of log 2, which
  // saves a product a score. Scores that prepare() has scaled only miss the log 2.
  PanelSoftmax(const Tile& t, const Panel& p)
      : p_(p), scale_((t.scaled ? 1.0f : t.scale) * kLog2E), key_(p.key_begin) {
    const float unit = t.scaled ? 1.0f : t.scale;
    for (int32_t r0 = 0; r0 < p.rows; r0 += kLanes) {
      VF top[kLanes];
      for (int32_t r = 0; r < kLanes; ++r)
        top[r] = r0 + r < p.rows ? top_of(r0 + r) : splat(-kInfinity);
      const VF tile_max = reduce_lanes(top, [](VF a, VF b) { return vmax(a, b); }) * unit;
      const VF m_old = load(p.m + r0);
      const VF m = m_old > tile_max ? m_old : tile_max;
      const VF factor = m == m_old ? splat(1.0f) : exp_nonpositive(m_old - m);
      store(base_ + r0, m == -kInfinity ? VF{} : m * kLog2E);
      store_first(p.m + r0, m, rows_from(r0));
      store_first(p.factor + r0, factor, rows_from(r0));
    }
    for (int32_t r = 0; r < p.rows; ++r) store(sum_ + r * kLanes, VF{});
  }

  int32_t rows() const { return p_.rows; }
  // Whether no group of keys is left; the weights of row r and the group at hand; on to the next.
  bool done() const { return key_ >= p_.key_end; }
  [[gnu::always_inline]] void step(int32_t r) {
    float* row = p_.s + static_cast<int64_t>(r) * kScoreStride;
    const VF base = splat(base_[r]);
    const VF a = exp_.template of<rough>(load(row + key_) * splat(scale_) - base);
    const VF b = exp_.template of<rough>(load(row + key_ + kLanes) * splat(scale_) - base);
    store(sum_ + r * kLanes, load(sum_ + r * kLanes) + (a + b));
    Words::store_weights(row, key_, a, b);
  }
  void next_group() { key_ += kKeyStep; }

  void group() {
    if (done()) return;
    for (int32_t r = 0; r < p_.rows; ++r) step(r);
    next_group();
  }

  // All that is left.
  void finish() {
    while (!done()) group();
    for (int32_t r0 = 0; r0 < p_.rows; r0 += kLanes) {
      VF sum[kLanes] = {};
      for (int32_t r = 0; r < rows_from(r0); ++r) sum[r] = load(sum_ + (r0 + r) * kLanes);
      const VF all = reduce_lanes(sum, [](VF a, VF b) { return a + b; });
      store_first(p_.l + r0, load(p_.l + r0) * load(p_.factor + r0) + all, rows_from(r0));
    }
  }

 private:
  int32_t rows_from(int32_t r0) const { return p_.rows - r0 < kLanes ? p_.rows - r0 : kLanes; }
  VF top_of(int32_t r) const {
    if (p_.topped) return load(tops_of(p_, r));
    const float* row = p_.s + static_cast<int64_t>(r) * kScoreStride;
    VF a = splat(-kInfinity), b = a;
    for (int32_t j = p_.key_begin; j < p_.key_end; j += kKeyStep) {
      a = vmax(load(row + j), a);
      b = vmax(load(row + j + kLanes), b);
    }
    return vmax(a, b);
  }

  const Panel& p_;
  const float scale_;
  int32_t key_;
  WeightExp<kLanes> exp_;
  alignas(64) float base_[kMostRowStep];
  alignas(64) float sum_[kRowStep * kLanes];
};

// Where there is no panel to go beside.
struct NoSoftmax {
  static bool done() { return true; }
  static int32_t rows() { return 0; }
  static void step(int32_t) {}
  static void next_group() {}
  static void group() {}
};

// Calls f with the softmax of a panel, if there is one, and does what f leaves of it. Weights that are
// rounded to bf16, by up to 2^-9, may be rough: by 2^-12, an eighth of that, and in the same sense for
// all, of which the division by their sum takes the better half. lse is told from exact ones alone.
template <class Words, class F>
inline void with_softmax(const Tile& t, const Panel* p, F&& f) {
  const auto run = [&]<bool rough>() {
    PanelSoftmax<Words, rough> softmax(t, *p);
    f(softmax);
    softmax.finish();
  };
  if (p == nullptr) {
    NoSoftmax none;
    f(none);
  } else if (Words::kValues > 1 && !t.exact) {
    run.template operator()<(Words::kValues > 1)>();
  } else {
    run.template operator()<false>();
  }
}

template <class Words>
void softmax(const Tile& t, const Panel& p) {
  with_softmax<Words>(t, &p, [](auto&) {});
}

}  // namespace attend::native::ATTEND_ISA
