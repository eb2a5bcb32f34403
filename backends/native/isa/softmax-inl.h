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

// Admits the scores of a panel to its rows' running softmax; see OnlineSoftmax in ops/common, which
// says the same for one row. Rows go side by side in a vector wherever there is one number a row.
template <class Words>
void softmax(const Tile& t, const Panel& p) {
  // Weights are 2^(s * scale - base) with both factors in units of log 2, which saves a product a
  // score. Scores that prepare() has scaled only miss the log 2.
  const float unit = t.scaled ? 1.0f : t.scale, scale = unit * kLog2E;
  for (int32_t r0 = 0; r0 < p.rows; r0 += kLanes) {
    const int32_t rows = p.rows - r0 < kLanes ? p.rows - r0 : kLanes;
    float* s = p.s + static_cast<int64_t>(r0) * kScoreStride;
    VF top[kLanes];
    for (int32_t r = 0; r < kLanes; ++r) top[r] = splat(-kInfinity);
    for (int32_t r = 0; r < rows; ++r) {
      const float* row = s + static_cast<int64_t>(r) * kScoreStride;
      VF a = top[r], b = a;
      for (int32_t j = p.key_begin; j < p.key_end; j += kKeyStep) {
        a = vmax(load(row + j), a);
        b = vmax(load(row + j + kLanes), b);
      }
      top[r] = vmax(a, b);
    }
    const VF tile_max = reduce_lanes(top, [](VF a, VF b) { return vmax(a, b); }) * unit;
    const VF m_old = load(p.m + r0);
    const VF m = m_old > tile_max ? m_old : tile_max;
    const VF factor = m == m_old ? splat(1.0f) : exp_nonpositive(m_old - m);
    alignas(64) float base[kLanes];
    store(base, m == -kInfinity ? VF{} : m * kLog2E);
    VF sum[kLanes] = {};
    for (int32_t r = 0; r < rows; ++r) {
      float* row = s + static_cast<int64_t>(r) * kScoreStride;
      const VF row_base = splat(base[r]);
      VF sum0{}, sum1{};
      for (int32_t j = p.key_begin; j < p.key_end; j += kKeyStep) {
        const VF a = exp2_nonpositive(load(row + j) * scale - row_base);
        const VF b = exp2_nonpositive(load(row + j + kLanes) * scale - row_base);
        sum0 += a;
        sum1 += b;
        Words::store_weights(row, j, a, b);
      }
      sum[r] = sum0 + sum1;
    }
    const VF all = reduce_lanes(sum, [](VF a, VF b) { return a + b; });
    store_first(p.l + r0, load(p.l + r0) * factor + all, rows);
    store_first(p.m + r0, m, rows);
    store_first(p.factor + r0, factor, rows);
  }
}

}  // namespace attend::native::ATTEND_ISA
