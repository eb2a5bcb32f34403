#pragma once
#include <vector>

#include "strategies/common/engine_config.h"
#include "strategies/engine/gdn_pool.h"
#include "strategies/engine/kv_pool.h"
#include "strategies/engine/models/model.h"

// From what a user asks and what a checkpoint says to what an engine is built of.
namespace attend::engine {

// What every layer keeps between steps.
struct CacheShapes {
  std::vector<KvPool::Layer> attention;
  std::vector<GdnPool::Layer> gdn;
  bool is_hybrid = false;
};
CacheShapes cache_shapes(const ModelConfig& model);

// How the model is to be loaded, asked before it is.
//   errors   kUnsupported for a device or a dtype that models are not computed on or in
ModelOptions model_options(EngineConfig& config);

// Fills in what is unset: dtype, num_pages, max_model_len, eos_token_ids, strategy.
//   errors   kInvalidArgument naming the field
void resolve(EngineConfig& config, const ModelConfig& model, const CacheShapes& shapes);

}  // namespace attend::engine
