#pragma once
#include <optional>
#include <string>

#include "strategies/common/kv_cache_manager.h"
#include "strategies/common/model_runner.h"
#include "strategies/common/request.h"
#include "strategies/common/sampler.h"
#include "strategies/common/scheduler.h"
#include "strategies/engine/part_registry.h"

namespace attend::engine {

// The parts of strategies by the strategy's name. A strategy of one's own is a struct of five types
// (strategies/auto_regressive/strategy.h) and one call of
// register_strategy<S>(strategies()).
using RequestRegistry =
    PartRegistry<Request, const EngineConfig&, int64_t, std::vector<int32_t>, SamplingParams>;
using SchedulerRegistry = PartRegistry<Scheduler, const EngineConfig&, KvCacheManager&>;
using KvCacheManagerRegistry = PartRegistry<KvCacheManager, const EngineConfig&>;
using ModelRunnerRegistry =
    PartRegistry<ModelRunner, const EngineConfig&, Model&, AttentionBackend&>;
using SamplerRegistry = PartRegistry<Sampler, const EngineConfig&>;

struct StrategyRegistries {
  RequestRegistry requests{"request registry"};
  SchedulerRegistry schedulers{"scheduler registry"};
  KvCacheManagerRegistry kv_cache_managers{"KV cache manager registry"};
  ModelRunnerRegistry model_runners{"model runner registry"};
  SamplerRegistry samplers{"sampler registry"};
};
// Of this process, with the library's own strategies in it.
StrategyRegistries& strategies();

// The strategy that engines use whose config names none; none at first, which is auto_regressive.
std::optional<std::string> current_strategy();
//   errors   kInvalidArgument with the list of names, if it is none of them
void set_current_strategy(const std::string& name);
void clear_current_strategy();

// All five parts of S under S::kName.
//   errors   kInvalidArgument if a name is taken and exist_ok is false
template <class S>
void register_strategy(StrategyRegistries& to, const std::vector<std::string>& aliases = {},
                       bool exist_ok = false) {
  const std::string name(S::kName);
  to.requests.add(
      name,
      [](const EngineConfig& config, int64_t id, std::vector<int32_t> prompt,
         SamplingParams params) {
        return std::make_unique<typename S::Request>(config, id, std::move(prompt),
                                                     std::move(params));
      },
      aliases, exist_ok);
  to.schedulers.add(
      name,
      [](const EngineConfig& config, KvCacheManager& pages) {
        return std::make_unique<typename S::Scheduler>(config, pages);
      },
      aliases, exist_ok);
  to.kv_cache_managers.add(
      name,
      [](const EngineConfig& config) {
        return std::make_unique<typename S::KvCacheManager>(config);
      },
      aliases, exist_ok);
  to.model_runners.add(
      name,
      [](const EngineConfig& config, Model& model, AttentionBackend& backend) {
        return std::make_unique<typename S::ModelRunner>(config, model, backend);
      },
      aliases, exist_ok);
  to.samplers.add(
      name,
      [](const EngineConfig& config) { return std::make_unique<typename S::Sampler>(config); },
      aliases, exist_ok);
}

}  // namespace attend::engine
