#pragma once
#include <cstdint>
#include <vector>

#include "attend/attention_params.h"

// Attention in float64, from the words of the contract alone: no code of ops/ or backends/ is used
// here. Any strides, dense, ragged, paged (oracle_keys.h), decode ranges, block masks, every score
// and mask word, dropout.
namespace attend::testing {

// One query row. Vectors over keys have one entry for each key in use.
struct OracleRow {
  std::vector<bool> visible;
  std::vector<double> scaled;  // step 1: dot(q, k) * softmax_scale
  std::vector<double>
      magnitude;                // of step 1 and 3: |softmax_scale| * sum |q||k| + |bias| + |alibi|
  std::vector<double> capped;   // step 2
  std::vector<double> bias;     // step 3
  std::vector<double> alibi;    // step 3, what is subtracted
  std::vector<double> masked;   // step 4: hidden keys are -inf
  std::vector<double> softmax;  // step 5, before dropout
  std::vector<double> kept;     // step 6: 1 / (1 - p), 0 where dropped; 1 without dropout
  std::vector<double> weights;  // softmax * kept: what multiplies v
  std::vector<double> out;      // [v_dim]
  double lse = 0;               // natural logarithm, sinks included
};

// The rows of one kv head of one sequence, in use.
struct OracleKeys {
  int64_t b = -1, kv_head = -1;
  std::vector<double> k, v;  // [seqlen_k, head_dim], [seqlen_k, v_dim]
};

// Not for concurrent use: the keys read last are kept.
class Oracle {
 public:
  // The memory of the views must outlive the oracle.
  Oracle(const AttentionArgs& args, const AttentionParams& params);

  int64_t batch() const { return batch_; }
  int64_t heads() const { return args_.q.dim(-2); }
  int64_t kv_heads() const { return args_.k.dim(-2); }
  int64_t head_dim() const { return args_.q.dim(-1); }
  int64_t v_dim() const { return args_.v.dim(-1); }
  int64_t seqlen_q(int64_t b) const;  // rows in use
  int64_t seqlen_k(int64_t b) const;  // keys in use

  OracleRow row(int64_t b, int64_t h, int64_t i) const;

  // Whether the words of the mask let row i see key j. (A bias of -inf hides too.)
  bool sees(int64_t b, int64_t h, int64_t i, int64_t j) const;
  bool bias_hides(int64_t b, int64_t h, int64_t i, int64_t j) const;

  std::vector<double> query(int64_t b, int64_t h, int64_t i) const;
  const OracleKeys& keys(int64_t b, int64_t h) const;  // those that query head h reads
  std::vector<double> sinks(int64_t h) const;
  double softmax_scale() const;

  // Where a row stands in tensors of these shapes.
  void* out_at(const TensorView& out, int64_t b, int64_t i, int64_t h, int64_t e) const;
  void* lse_at(const TensorView& lse, int64_t b, int64_t h, int64_t i) const;

 private:
  bool ragged_q() const { return bool(args_.seq.cu_seqlens_q); }
  int64_t shift(int64_t b) const;  // d: row i stands at position i + d
  double dropout_factor(int64_t b, int64_t h, int64_t i, int64_t j) const;

  AttentionArgs args_;
  AttentionParams params_;
  bool use_keep_ = true;
  int64_t batch_ = 0;
  mutable OracleKeys keys_;
};

}  // namespace attend::testing
