// Where the blocks of a launch of tiles are (BlockPlace), by every block of many grids: each task is
// one block's, heavy ones come first, and on a device of several dies, where block n runs on die
// n % dies, all tiles that read the same keys are on one.
#include "backends/gpu/body/tile_task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace attend::gpu {
namespace {

std::string words_of(const TileGrid& g) {
  return std::to_string(g.columns) + " columns, " + std::to_string(g.tiles) + " tiles, " +
         std::to_string(g.split_tiles) + " of them in " + std::to_string(g.parts) + " parts";
}

class Placement : public testing::TestWithParam<int> {  // dies
 protected:
  // look() at every grid as `g`.
  template <class Look>
  void for_grids(const Look& look) {
    g.dies = GetParam();
    for (const int64_t columns : {1, 2, 3, 7, 8, 9, 12, 16, 20, 31, 64, 100})
      for (const int32_t tiles : {1, 2, 5, 8, 33})
        for (const int32_t split : {0, 1, 2})
          for (const int32_t parts : {1, 2, 3, 8}) {
            if (split > tiles || (split == 0 && parts > 1)) continue;
            g.columns = columns, g.tiles = tiles, g.split_tiles = split, g.parts = parts;
            SCOPED_TRACE(words_of(g));
            ASSERT_NO_FATAL_FAILURE(look());
          }
  }
  bool is_split(int64_t n) const { return n >= g.whole_blocks(); }
  int64_t die(int64_t n) const { return n % g.dies; }
  BlockPlace at(int64_t n) const { return {g, static_cast<int32_t>(n)}; }

  TileGrid g;
};
INSTANTIATE_TEST_SUITE_P(Dies, Placement, testing::Values(1, 2, 6, 8));

TEST_P(Placement, EveryTaskIsOneBlocks) {
  for_grids([&] {
    std::set<std::tuple<int64_t, int64_t, int64_t>> seen;
    for (int64_t n = 0; n < g.blocks(); ++n) {
      const BlockPlace place = at(n);
      ASSERT_TRUE(place.column >= 0 && place.column < g.columns) << n;
      ASSERT_TRUE(place.part >= 0 && place.part < (is_split(n) ? g.parts : 1)) << n;
      // The first tiles are those whose keys are cut, launched behind the others.
      const int32_t tiles = is_split(n) ? g.split_tiles : g.tiles;
      ASSERT_TRUE(place.tile >= (is_split(n) ? 0 : g.split_tiles) && place.tile < tiles) << n;
      ASSERT_TRUE(seen.emplace(place.tile, place.column, place.part).second) << n;
    }
    EXPECT_EQ(static_cast<int64_t>(seen.size()),
              ((g.tiles - g.split_tiles) + int64_t{g.split_tiles} * g.parts) * g.columns);
  });
}

TEST_P(Placement, HeavyTilesComeFirst) {
  for_grids([&] {
    for (int64_t n = 1; n < g.blocks(); ++n) {
      if (is_split(n) == is_split(n - 1)) {
        ASSERT_LE(at(n).tile, at(n - 1).tile) << n;
      }
    }
  });
}

// As many as fill all dies alike; the others are on as many as their number leaves them.
TEST_P(Placement, TilesThatReadTheSameKeysAreOnOneDie) {
  for_grids([&] {
    using Keys = std::tuple<bool, int64_t, int64_t>;  // a column, and a part of it
    std::map<Keys, std::set<int64_t>> dies_of;
    for (int64_t n = 0; n < g.blocks(); ++n) {
      const BlockPlace place = at(n);
      dies_of[{is_split(n), place.column, place.part}].insert(die(n));
    }
    for (const bool split : {false, true}) {
      int64_t all = 0, on_one = 0;
      for (const auto& [of, dies] : dies_of)
        if (std::get<0>(of) == split) ++all, on_one += dies.size() == 1;
      EXPECT_GE(on_one, all / g.dies * g.dies);
      const int64_t rest = all % g.dies;
      for (const auto& [of, dies] : dies_of)
        if (std::get<0>(of) == split && dies.size() > 1) {
          EXPECT_LE(static_cast<int64_t>(dies.size()), g.dies / std::gcd(rest, int64_t{g.dies}));
        }
    }
  });
}

// Not only in blocks, which the hardware counts: dies get as many tiles of each weight, but for one.
TEST_P(Placement, DiesHaveTheSameToDo) {
  for_grids([&] {
    std::map<std::pair<bool, int64_t>, std::vector<int64_t>> count;  // of tiles from this one on
    for (int64_t n = 0; n < g.blocks(); ++n)
      for (int64_t tile = 0; tile <= at(n).tile; ++tile) {
        auto& dies = count[{is_split(n), tile}];
        dies.resize(static_cast<size_t>(g.dies));
        ++dies[static_cast<size_t>(die(n))];
      }
    for (const auto& [tile, dies] : count) {
      const auto [least, most] = std::minmax_element(dies.begin(), dies.end());
      ASSERT_LE(*most - *least, 1) << "tiles from " << tile.second << " on";
    }
  });
}

}  // namespace
}  // namespace attend::gpu
