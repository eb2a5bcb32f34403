#include "strategies/engine/registry.h"

#include <gtest/gtest.h>

#include "attend/error.h"
#include "strategies/auto_regressive/strategy.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

using testing::thrown;

struct Mine : AutoRegressive {
  static constexpr std::string_view kName = "mine";
  struct Sampler : engine::Sampler {
    using engine::Sampler::Sampler;
  };
};

TEST(Registries, TheBuiltInOnesAreThereUnderTheirNames) {
  EXPECT_EQ(strategies().requests.names()[0], "auto_regressive");
  EXPECT_NO_THROW(strategies().schedulers.check("ar"));
  EXPECT_EQ(typeid(*strategies().samplers.make("autoregressive", EngineConfig())), typeid(Sampler));
}

TEST(Registries, AnUnknownNameIsRefusedWithTheList) {
  const testing::Thrown e = thrown([] { strategies().samplers.make("dmx", EngineConfig()); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(e.says("sampler registry: strategy is 'dmx', expected one of auto_regressive"))
      << e.what;
}

TEST(Registries, NamesAreTakenOnceUnlessReplaced) {
  StrategyRegistries own;
  register_strategy<Mine>(own, {"m"});
  EXPECT_EQ(typeid(*own.samplers.make("m", EngineConfig())), typeid(Mine::Sampler));
  EXPECT_TRUE(thrown([&] { register_strategy<Mine>(own); }).says("'mine' is taken"));
  EXPECT_NO_THROW(register_strategy<Mine>(own, {}, true));
  EXPECT_EQ(own.samplers.names(), std::vector<std::string>{"mine"});
  const auto factory = [](const EngineConfig& c) { return std::make_unique<Sampler>(c); };
  EXPECT_TRUE(thrown([&] { own.samplers.add("", factory); }).says("is empty"));
  EXPECT_TRUE(thrown([&] { own.samplers.add("other", factory, {"m"}); }).says("'m' is taken"));
  EXPECT_TRUE(thrown([&] { own.samplers.check("other"); }).says("expected one of mine"))
      << "half a name";
  own.samplers.add("mine", factory, {}, true);  // one part alone
  EXPECT_EQ(typeid(*own.samplers.make("m", EngineConfig())), typeid(Sampler));
}

TEST(CurrentStrategy, IsSetReadAndCleared) {
  EXPECT_EQ(current_strategy(), std::nullopt);
  set_current_strategy("ar");
  EXPECT_EQ(current_strategy(), "ar");
  EXPECT_EQ(thrown([] { set_current_strategy("nobody"); }).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(current_strategy(), "ar");
  clear_current_strategy();
  EXPECT_EQ(current_strategy(), std::nullopt);
}

}  // namespace
}  // namespace attend::engine
