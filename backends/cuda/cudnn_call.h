#pragma once
#include "attend/attention_params.h"
#include "backends/cuda/cudnn_plan.h"

// What a call of sdpa/cuda/cudnn is to cuDNN. Nothing here reads an index: calls whose tensors have
// the same shapes and strides have the same plan, whatever their lengths.
namespace attend::cuda {

bool is_ragged(const AttentionArgs& a);
// Rows of a sequence, ragged at most.
int64_t cudnn_rows(const AttentionArgs& a);

// Keys that some row sees: a run, as the words that the row takes hide keys at the ends alone. Of a
// ragged call, all that a sequence can have.
struct CudnnKeys {
  int64_t begin = 0, end = 0;
  bool every_row_sees_some = true;

  CudnnKeys(const AttentionArgs& a, const AttentionParams& p);
};

CudnnKey cudnn_key(const AttentionArgs& a, const AttentionParams& p, const Device& device,
                   int32_t compute_capability);

}  // namespace attend::cuda
