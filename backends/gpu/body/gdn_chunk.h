#pragma once
// A chunk of the gated delta rule in its form without divisions (reference: G = sums of the
// logarithms of decays, D_ij = exp(G_i - G_j), every exponent <= 0):
//
//   A = -strict_lower(beta (K K^T) o D)      P = lower((Q K^T) o D)
//   U = (I - A)^-1 (beta V - (beta e^G K) S)         by substitution
//   O = (e^G Q) S + P U                      S = e^{G_n} S + (e^{G_n - G} K)^T U
//
//   scores   a thread has 2 tokens x (1 column of both triangles + kMine value dims): 4 + 4 kMine
//            dots of k_dim, for 4 + kMine + 1 words read a step
//   solve    a few threads share a value dim, a few tokens each, U in registers
//   state    a thread has 8 value dims x one word of k_dim
//   a triangle's upper half is not read, so that a NaN of a later token reaches no earlier one
//   cost     a token and value dim: 6 k_dim FLOP, and kGdnTile k_dim / kSlice for the triangles
//   missing  the products on matrix units: all of them are f32 FMA
#include "backends/gpu/body/gdn_rows.h"

namespace attend::gpu {

template <class Block>
class GdnChunk {
 public:
  explicit ATTEND_DEVICE GdnChunk(const Block& b)
      : x_(b.x), b_(b), m_(b.shared), row_(x_.tid() % kRows), column_(x_.tid() / kRows) {}

  // Tokens [first, first + n), which are in shared memory, zeros behind them.
  ATTEND_DEVICE void run(int64_t first, int n) {
    sum_gates(x_, m_.gates);
    x_.sync();
    float out[2][kMine];
    make_scores(out);
    x_.sync();
    solve();
    x_.sync();
    put_rows(out, first, n);
    advance_state();
  }

 private:
  static constexpr int kThreads = Block::kThreads, kSlice = Block::kSlice;
  static constexpr int kRows = kGdnTile / 2;  // a thread has tokens row_ and row_ + kRows
  static constexpr int kColumns = kThreads / kRows;
  static constexpr int kMine = kSlice / kColumns;  // value dims column_, column_ + kColumns, ..
  static_assert(kColumns == kGdnTile && kSlice % kColumns == 0);

  static ATTEND_DEVICE void dot(float& sum, const Word& a, const Word& b) {
#pragma unroll
    for (int e = 0; e < 4; ++e) sum += a.x[e] * b.x[e];
  }

  ATTEND_DEVICE void make_scores(float (&out)[2][kMine]) {
    float key_key[2]{}, query_key[2]{}, key_state[2][kMine]{}, query_state[2][kMine]{};
    const int words = b_.words();
#pragma unroll 1
    for (int n = 0; n < words; ++n) {
      const Word column = word(m_.k[column_], n);
      Word state[kMine];
#pragma unroll
      for (int m = 0; m < kMine; ++m) state[m] = word(m_.state[column_ + m * kColumns], n);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const Word k = word(m_.k[row_ + r * kRows], n), q = word(m_.q[row_ + r * kRows], n);
        dot(key_key[r], k, column);
        dot(query_key[r], q, column);
#pragma unroll
        for (int m = 0; m < kMine; ++m) {
          dot(key_state[r][m], k, state[m]);
          dot(query_state[r][m], q, state[m]);
        }
      }
    }
    const GdnGates& gates = m_.gates;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int i = row_ + r * kRows, j = column_;
      const float decay = math::exp(static_cast<float>(gates.sum[i] - gates.sum[j]));
      m_.a[j][i] = j < i ? -gates.beta[i] * key_key[r] * decay : 0.0f;
      m_.p[i][j] = j <= i ? query_key[r] * decay : 0.0f;
#pragma unroll
      for (int m = 0; m < kMine; ++m) {
        float& u = m_.u[i][column_ + m * kColumns];
        u = gates.beta[i] * (u - gates.since[i] * key_state[r][m]);
        out[r][m] = gates.since[i] * query_state[r][m];
      }
    }
  }

  // kParts threads have a value dim, each kTokens of its tokens in turn; those that are done go to
  // the others by exchange.
  ATTEND_DEVICE void solve() {
    constexpr int kParts = kThreads / kSlice, kTokens = kGdnTile / kParts;
    const int v = x_.tid() / kParts, part = x_.tid() % kParts, mine = part * kTokens;
    float u[kTokens];
#pragma unroll
    for (int i = 0; i < kTokens; ++i) u[i] = m_.u[mine + i][v];
#pragma unroll 1
    for (int done = 0; done < kParts; ++done) {
#pragma unroll
      for (int j = 0; j < kTokens; ++j) {
        // Of part `done` all before j have been taken from this. What comes after a token gives it
        // 0, whatever it is.
        const float from = x_.shfl(u[j], x_.lane() - part + done);
        const float to_after = part >= done ? from : 0.0f, to_all = part > done ? from : 0.0f;
        const float* const column = m_.a[done * kTokens + j] + mine;
#pragma unroll
        for (int i = 0; i < kTokens; ++i) u[i] += column[i] * (i > j ? to_after : to_all);
      }
    }
#pragma unroll
    for (int i = 0; i < kTokens; ++i) {
      m_.u[mine + i][v] = u[i];
      m_.w[mine + i][v] = u[i] * m_.gates.until[mine + i];
    }
  }

  ATTEND_DEVICE void put_rows(float (&out)[2][kMine], int64_t first, int n) {
#pragma unroll 1
    for (int j = 0; j < kGdnTile; ++j)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int i = row_ + r * kRows;
        if (j > i) continue;
        const float p = m_.p[i][j];
#pragma unroll
        for (int m = 0; m < kMine; ++m) out[r][m] += p * m_.u[j][column_ + m * kColumns];
      }
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int m = 0; m < kMine; ++m) {
        const int i = row_ + r * kRows, v = column_ + m * kColumns;
        if (i < n && v < b_.v_count()) b_.put(first + i, v, out[r][m]);
      }
  }

  ATTEND_DEVICE void advance_state() {
    constexpr int kValues = 8;
    const int words = b_.words();
    const float growth = gdn_expm1(static_cast<float>(m_.gates.sum[kGdnTile - 1]));
#pragma unroll 1
    for (int t = x_.tid(); t < kSlice / kValues * words; t += kThreads) {
      const int v = t / words * kValues, n = t % words;
      Word state[kValues];
#pragma unroll
      for (int y = 0; y < kValues; ++y) {
        state[y] = word(m_.state[v + y], n);
#pragma unroll
        for (int e = 0; e < 4; ++e) state[y].x[e] += growth * state[y].x[e];
      }
#pragma unroll 1
      for (int i = 0; i < kGdnTile; ++i) {
        const Word k = word(m_.k[i], n);
#pragma unroll
        for (int y = 0; y < kValues; y += 4) {
          const Word w = word(m_.w[i], (v + y) / 4);
#pragma unroll
          for (int z = 0; z < 4; ++z)
#pragma unroll
            for (int e = 0; e < 4; ++e) state[y + z].x[e] += w.x[z] * k.x[e];
        }
      }
#pragma unroll
      for (int y = 0; y < kValues; ++y) word(m_.state[v + y], n) = state[y];
    }
  }

  Thread& x_;
  const Block& b_;
  typename Block::Shared& m_;
  const int row_, column_;
};

}  // namespace attend::gpu
