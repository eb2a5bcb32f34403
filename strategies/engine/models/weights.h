#pragma once
#include <string>

#include "strategies/engine/math/linear.h"
#include "strategies/engine/models/checkpoint.h"
#include "strategies/engine/models/config.h"
#include "strategies/engine/models/step.h"

namespace attend::engine {

// What a layer is made from.
struct LayerSource {
  Checkpoint& weights;
  const ModelConfig& config;
  DType compute;
  int32_t layer;

  std::string name(const char* rest) const {
    return "model.layers." + std::to_string(layer) + "." + rest;
  }
  // <name>.weight [out, in] and, where there is one, <name>.bias [out].
  Linear::Part projection(const std::string& name, int64_t out, int64_t in,
                          bool bias = false) const {
    return {weights.tensor(name + ".weight", {out, in}),
            bias ? weights.tensor(name + ".bias", {out}) : TensorView{}};
  }
};

// Some of a projection's outputs.
inline Linear::Part outputs_of(const Linear::Part& part, int64_t first, int64_t count) {
  return {rows_of(part.weight, first, count),
          part.bias ? rows_of(part.bias, first, count) : TensorView{}};
}

}  // namespace attend::engine
