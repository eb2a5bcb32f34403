#pragma once
#include <cstdint>
#include <vector>

#include "attend/attention_params.h"

// Attention in float64, from the words of the contract alone: no code of ops/ or backends/ is used
// here. Everything that vanilla and flash take: any strides, dense or ragged, every score and mask
// word, dropout.
namespace attend::testing {

// One query row. Vectors over keys have one entry for each key in use.
struct OracleRow {
  std::vector<double> scaled;   // step 1: dot(q, k) * softmax_scale
  std::vector<double> capped;   // step 2
  std::vector<double> masked;   // step 4: bias and alibi added, hidden keys -inf
  std::vector<double> softmax;  // step 5, before dropout
  std::vector<double> weights;  // step 6: what multiplies v; 0 at hidden keys
  std::vector<double> out;      // [v_dim]
  double lse = 0;               // natural logarithm, sinks included
};

class Oracle {
 public:
  // The views must outlive the oracle. Tensors may be poisoned wherever the contract allows it.
  Oracle(const AttentionArgs& args, const AttentionParams& params);

  int64_t batch() const { return batch_; }
  int64_t heads() const { return heads_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }
  int64_t v_dim() const { return v_dim_; }
  int64_t seqlen_q(int64_t b) const;  // rows in use
  int64_t seqlen_k(int64_t b) const;  // keys in use
  int64_t kv_head(int64_t h) const { return h / (heads_ / kv_heads_); }

  // Whether the words of the mask let row i see key j. A bias of -inf hides too; that is seen in
  // row() only.
  bool sees(int64_t b, int64_t h, int64_t i, int64_t j) const;
  // |softmax_scale| * sum |q||k| + |bias| + |alibi| of a pair: what rounding errors of a score are
  // measured in.
  double magnitude(int64_t b, int64_t h, int64_t i, int64_t j) const;
  // What step 3 adds to the score of a pair.
  double added(int64_t b, int64_t h, int64_t i, int64_t j) const;
  // What step 6 multiplies a weight with: 1 / (1 - p), 0 where the key is dropped, 1 without
  // dropout.
  double dropout_factor(int64_t b, int64_t h, int64_t i, int64_t j) const;

  OracleRow row(int64_t b, int64_t h, int64_t i) const;

  // Elements by logical place, whether the call is dense or ragged.
  double q(int64_t b, int64_t i, int64_t h, int64_t e) const;
  double k(int64_t b, int64_t j, int64_t kv_h, int64_t e) const;
  double v(int64_t b, int64_t j, int64_t kv_h, int64_t e) const;
  double sink(int64_t h, int64_t n) const;
  int64_t sinks() const;  // of one head
  double softmax_scale() const { return scale_; }
  bool bias_hides(int64_t b, int64_t h, int64_t i, int64_t j) const;

  // The same places in the outputs, as addresses; outputs may be other tensors than those of the
  // constructor.
  void* out_at(const TensorView& out, int64_t b, int64_t i, int64_t h, int64_t e) const;
  void* lse_at(const TensorView& lse, int64_t b, int64_t h, int64_t i) const;

 private:
  int64_t first_row(int64_t b) const;
  int64_t first_key(int64_t b) const;
  int64_t shift(int64_t b) const;  // d: row i stands at position i + d

  AttentionArgs args_;
  AttentionParams params_;
  TensorView bias_;
  bool use_keep_ = false;
  int64_t batch_ = 0, heads_ = 0, kv_heads_ = 0, head_dim_ = 0, v_dim_ = 0;
  double scale_ = 0;
};

}  // namespace attend::testing
