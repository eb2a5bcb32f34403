#pragma once
#include <string_view>

#include "strategies/common/kv_cache_manager.h"
#include "strategies/common/model_runner.h"
#include "strategies/common/request.h"
#include "strategies/common/sampler.h"
#include "strategies/common/scheduler.h"

namespace attend::engine {

// Autoregressive decoding: one token behind the other. Every part is the common one.
struct AutoRegressive {
  static constexpr std::string_view kName = "auto_regressive";
  using Request = engine::Request;
  using Scheduler = engine::Scheduler;
  using KvCacheManager = engine::KvCacheManager;
  using ModelRunner = engine::ModelRunner;
  using Sampler = engine::Sampler;
  using Metadata = AttnMetadata;
};

}  // namespace attend::engine
