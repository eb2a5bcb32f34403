#pragma once
#include <string>

#include "attend/tensor.h"
#include "tools/attend/picture/canvas.h"

namespace attend::cli {

struct AttentionMap {
  TensorView weights;  // [batch, heads, seqlen_q, seqlen_k], f32
  int64_t batch = 0, head = 0;
  int64_t rows = 0, keys = 0;  // of that sequence, in use
  std::string title, subtitle;
};

std::string attention_map_svg(const AttentionMap& map);

}  // namespace attend::cli
