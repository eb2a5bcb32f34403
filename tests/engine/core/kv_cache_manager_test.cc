#include "strategies/common/kv_cache_manager.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "attend/error.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

EngineConfig config_of(int32_t pages, int32_t page_size) {
  EngineConfig config;
  config.num_pages = pages;
  config.page_size = page_size;
  return config;
}

struct Pool {
  explicit Pool(const EngineConfig& c) : config(c), pages(c) {}
  Request request(std::vector<int32_t> tokens) { return {config, next++, std::move(tokens), {}}; }
  // Takes what is shared, pages for the rest, and stores it.
  bool fill(Request& r) {
    pages.take_prefix(r);
    if (!pages.reserve(r, r.num_tokens())) return false;
    r.num_stored = r.num_tokens();
    pages.stored(r);
    return true;
  }
  EngineConfig config;
  KvCacheManager pages;
  int64_t next = 0;
};

std::vector<int32_t> counting(int32_t count, int32_t from = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

TEST(KvCacheManager, PagesAreGivenOnceAndComeBack) {
  Pool pool(config_of(5, 4));
  Request a = pool.request(counting(9)), b = pool.request(counting(9, 100));
  ASSERT_TRUE(pool.pages.reserve(a, 9));
  EXPECT_EQ(a.pages.size(), 3u);
  EXPECT_FALSE(pool.pages.reserve(b, 9));
  EXPECT_TRUE(b.pages.empty()) << "all or nothing";
  ASSERT_TRUE(pool.pages.reserve(b, 8));
  EXPECT_TRUE(pool.pages.reserve(b, 5)) << "what it has is enough";
  EXPECT_EQ(pool.pages.free_pages(), 0);
  std::set<int32_t> all(a.pages.begin(), a.pages.end());
  all.insert(b.pages.begin(), b.pages.end());
  EXPECT_EQ(all, (std::set<int32_t>{0, 1, 2, 3, 4}));
  pool.pages.release(a);
  EXPECT_EQ(pool.pages.free_pages(), 3);
  EXPECT_EQ(a.num_stored, 0);
}

TEST(KvCacheManager, APageIsSharedOnceItIsFullAndStored) {
  Pool pool(config_of(20, 4));
  Request a = pool.request(counting(11)), b = pool.request(counting(11)),
          c = pool.request(counting(11));
  pool.pages.reserve(a, 11);
  pool.pages.take_prefix(b);
  EXPECT_TRUE(b.pages.empty()) << "a has pages and has stored nothing";
  a.num_stored = 6;
  pool.pages.stored(a);
  pool.pages.take_prefix(b);
  EXPECT_EQ(b.pages, std::vector<int32_t>(a.pages.begin(), a.pages.begin() + 1));
  EXPECT_EQ(b.num_stored, 4);
  a.num_stored = 11;
  pool.pages.stored(a);
  pool.pages.take_prefix(c);
  EXPECT_EQ(c.pages, std::vector<int32_t>(a.pages.begin(), a.pages.begin() + 2))
      << "the third is not full";
}

TEST(KvCacheManager, TheLastTokenIsNeverTaken) {
  Pool pool(config_of(20, 4));
  Request a = pool.request(counting(8)), b = pool.request(counting(8)),
          c = pool.request(counting(9));
  ASSERT_TRUE(pool.fill(a));
  pool.pages.take_prefix(b);
  EXPECT_EQ(b.num_stored, 4);
  pool.pages.take_prefix(c);
  EXPECT_EQ(c.num_stored, 8);
}

TEST(KvCacheManager, TheSameTokensBehindOthersAreNotTheSame) {
  Pool pool(config_of(20, 2));
  Request a = pool.request({1, 2, 7, 8, 9}), b = pool.request({3, 4, 7, 8, 9}),
          c = pool.request({7, 8, 9});
  ASSERT_TRUE(pool.fill(a));
  pool.pages.take_prefix(b);
  pool.pages.take_prefix(c);
  EXPECT_EQ(b.num_stored, 0);
  EXPECT_EQ(c.num_stored, 0);
}

TEST(KvCacheManager, FreePagesKeepTheirKeysUntilTheyAreNeeded) {
  Pool pool(config_of(4, 2));
  Request a = pool.request(counting(5)), again = pool.request(counting(5)),
          other = pool.request(counting(8, 50)), late = pool.request(counting(5));
  ASSERT_TRUE(pool.fill(a));
  const std::vector<int32_t> held = a.pages;
  pool.pages.release(a);
  EXPECT_EQ(pool.pages.free_pages(), 4);
  pool.pages.take_prefix(again);
  EXPECT_EQ(again.pages, std::vector<int32_t>(held.begin(), held.begin() + 2));
  EXPECT_EQ(pool.pages.free_pages(), 2);
  pool.pages.release(again);
  ASSERT_TRUE(pool.pages.reserve(other, 8));  // takes all
  pool.pages.release(other);
  pool.pages.take_prefix(late);
  EXPECT_TRUE(late.pages.empty()) << "its keys are gone";
}

TEST(KvCacheManager, OfAChainTheEndGoesFirst) {
  Pool pool(config_of(4, 2));
  Request a = pool.request(counting(7)), other = pool.request({90}),
          again = pool.request(counting(7));
  ASSERT_TRUE(pool.fill(a));
  pool.pages.release(a);
  ASSERT_TRUE(pool.pages.reserve(other, 3));
  pool.pages.take_prefix(again);
  EXPECT_EQ(again.num_stored, 4) << "the third page went, with the one that was not full";
}

TEST(KvCacheManager, TwinsGoOnFromTheSharedOne) {
  Pool pool(config_of(20, 2));
  Request a = pool.request({1, 2, 3, 4, 5}), b = pool.request({1, 2, 3, 4, 6, 7, 8}),
          c = pool.request({1, 2, 3, 4, 6, 7, 9});
  pool.pages.reserve(a, 5);
  pool.pages.reserve(b, 7);  // neither has stored anything yet: both compute their own
  a.num_stored = 5;
  pool.pages.stored(a);
  b.num_stored = 7;
  pool.pages.stored(b);
  pool.pages.take_prefix(c);
  EXPECT_EQ(c.pages, (std::vector<int32_t>{a.pages[0], a.pages[1], b.pages[2]}));
}

TEST(KvCacheManager, OffMeansNothingIsShared) {
  EngineConfig config = config_of(20, 2);
  config.prefix_caching = false;
  Pool pool(config);
  Request a = pool.request(counting(9)), b = pool.request(counting(9));
  ASSERT_TRUE(pool.fill(a));
  pool.pages.take_prefix(b);
  EXPECT_EQ(b.num_stored, 0);
}

TEST(KvCacheManager, WithFixedChunksWholeOnesAreShared) {
  EngineConfig config = config_of(40, 4);
  config.batch_invariant = true;
  config.chunk = 6;
  Pool pool(config);
  Request a = pool.request(counting(31)), b = pool.request(counting(31));
  ASSERT_TRUE(pool.fill(a));
  pool.pages.take_prefix(b);
  EXPECT_EQ(b.num_stored, 24);  // 28 tokens are in whole pages; 24 is also four chunks
}

// The same tokens have other bits where they were computed one by one, or in a part of a chunk.
TEST(KvCacheManager, WithFixedChunksOnlyThoseOfPromptsAreShared) {
  EngineConfig config = config_of(80, 2);
  config.batch_invariant = true;
  config.chunk = 6;
  Pool pool(config);
  const auto responding = [&](int32_t prompt, int32_t tokens) {
    Request r = pool.request(counting(prompt));
    r.tokens = counting(tokens);
    return r;
  };
  Request a = responding(14, 31), b = pool.request(counting(31)), c = responding(7, 31);
  ASSERT_TRUE(pool.fill(a));
  ASSERT_TRUE(pool.fill(b));
  EXPECT_EQ(b.num_shared, 12) << "the two whole chunks of the prompt of a";
  pool.pages.take_prefix(c);
  EXPECT_EQ(c.num_stored, 6) << "b has stored more, but in chunks that c computes one by one";
}

TEST(KvCacheManager, BadSizesAreRefusedInWords) {
  for (const auto& [config, words] :
       {std::pair{config_of(0, 4), "num_pages is 0"}, {config_of(4, 0), "page_size is 0"}}) {
    const testing::Thrown e = testing::thrown([&] { KvCacheManager manager(config); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(e.says(words)) << e.what;
  }
}

}  // namespace
}  // namespace attend::engine
