// RowMask against contract 3 read word by word, over every combination of words on small grids. The
// reading below asks of one row and one key at a time and knows nothing of ranges.
#include "ops/common/mask.h"

#include <gtest/gtest.h>

#include <array>
#include <sstream>
#include <vector>

namespace attend {
namespace {

int64_t block_of(int64_t x, int64_t origin, int64_t size) {
  if (x < origin) return -1;
  return (x - origin) / size;
}

bool visible(const RowMask& m, int64_t i, int64_t j) {
  const int64_t p = i + m.d;
  if (j < 0 || j >= m.seqlen_k) return false;
  if (m.causal || m.block_size > 0) {
    if (m.has_prefix && p < m.prefix) {
      if (!(j < m.prefix)) return false;
    } else if (m.causal) {
      if (!(j <= p)) return false;
    } else if (block_of(j, m.block_origin, m.block_size) >
               block_of(p, m.block_origin, m.block_size)) {
      return false;
    }
  }
  if (m.window_left >= 0 && !(p - m.window_left <= j)) return false;
  if (m.window_right >= 0 && !(j <= p + m.window_right)) return false;
  return !(m.hole_begin <= j && j < m.hole_end);
}

std::string describe(const RowMask& m) {
  std::ostringstream s;
  s << "seqlen_k " << m.seqlen_k << " d " << m.d << " causal " << m.causal << " block "
    << m.block_size << " from " << m.block_origin << " window " << m.window_left << ","
    << m.window_right << " prefix " << (m.has_prefix ? m.prefix : -99) << " hole " << m.hole_begin
    << ".." << m.hole_end;
  return s.str();
}

struct Rule {
  bool causal;
  int64_t block_size, origin;
};
constexpr Rule kRules[] = {{false, 0, 0}, {true, 0, 0},  {false, 1, 0}, {false, 2, 0},
                           {false, 2, 1}, {false, 3, 0}, {false, 3, 2}, {false, 3, -1}};
constexpr std::array<int64_t, 2> kHoles[] = {{0, 0}, {1, 3}, {0, 2}, {2, 9}, {3, 1}, {-4, 1}};

// f(mask) for every combination of words.
template <class F>
void for_each_mask(F&& f) {
  for (const int64_t seqlen_k : {0, 1, 3, 6})
    for (const int64_t d : {-3, -1, 0, 2, 4, 9})
      for (const Rule& rule : kRules)
        for (const int64_t left : {-1, 0, 1, 3})
          for (const int64_t right : {-1, 0, 2})
            for (const auto& hole : kHoles)
              for (const int64_t prefix : {-1, 0, 2, 4, 20}) {
                RowMask m;
                m.seqlen_k = seqlen_k;
                m.d = d;
                m.causal = rule.causal;
                m.block_size = rule.block_size;
                m.block_origin = rule.origin;
                m.window_left = left;
                m.window_right = right;
                m.has_prefix = prefix >= 0;
                m.prefix = prefix;
                m.hole_begin = hole[0];
                m.hole_end = hole[1];
                f(m);
              }
}

constexpr int64_t kRows = 5, kKeys = 8;  // rows and keys of the grid; keys reach beyond seqlen_k

TEST(RowMask, KeepsWhatTheContractKeeps) {
  int64_t seen = 0, hidden = 0;
  for_each_mask([&](const RowMask& m) {
    if (HasFatalFailure()) return;
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kKeys; ++j) {
        const bool want = visible(m, i, j);
        ++(want ? seen : hidden);
        ASSERT_EQ(m.keeps(i, j), want) << "row " << i << " key " << j << ": " << describe(m);
      }
  });
  EXPECT_GT(seen, 100000);
  EXPECT_GT(hidden, 100000);
}

// Ranges never reach outside the keys in use, and neither bound falls: tiles are classified by
// their outer rows.
TEST(RowMask, RangesStayInsideAndRise) {
  for_each_mask([&](const RowMask& m) {
    if (HasFatalFailure()) return;
    for (int64_t i = 0; i < kRows; ++i) {
      const KeyRange r = m.keys(i), next = m.keys(i + 1);
      ASSERT_TRUE(r.begin >= 0 && r.end >= 0 && r.begin <= m.seqlen_k && r.end <= m.seqlen_k)
          << "row " << i << ": " << r.begin << ".." << r.end << ": " << describe(m);
      ASSERT_TRUE(next.begin >= r.begin && next.end >= r.end) << "row " << i << ": " << describe(m);
    }
  });
}

// A tile that is skipped has nothing to see, a full one hides nothing, and whatever is wholly
// visible is found to be full. What is wholly hidden is found where one word alone hides it;
// between words, partial is also right.
TEST(RowMask, ClassifiesTilesAsTheirPairsSay) {
  int64_t skipped = 0, full = 0, partial = 0;
  for_each_mask([&](const RowMask& m) {
    if (HasFatalFailure()) return;
    for (int64_t i0 = 0; i0 < kRows; ++i0)
      for (int64_t i1 = i0 + 1; i1 <= kRows; ++i1)
        for (int64_t j0 = 0; j0 < kKeys; ++j0)
          for (int64_t j1 = j0 + 1; j1 <= kKeys; ++j1) {
            int64_t count = 0;
            for (int64_t i = i0; i < i1; ++i)
              for (int64_t j = j0; j < j1; ++j) count += visible(m, i, j);
            const bool all = count == (i1 - i0) * (j1 - j0), none = count == 0;
            const TileKind kind = m.classify(i0, i1, j0, j1);
            skipped += kind == TileKind::kSkip;
            full += kind == TileKind::kFull;
            partial += kind == TileKind::kPartial;
            const bool one_row_no_hole =
                i1 == i0 + 1 && m.hole_begin >= m.hole_end && m.keys(i0).begin < m.keys(i0).end;
            ASSERT_TRUE((kind != TileKind::kSkip || none) && (kind != TileKind::kFull || all) &&
                        (!all || kind == TileKind::kFull) &&
                        (!none || !one_row_no_hole || kind == TileKind::kSkip))
                << "rows " << i0 << ".." << i1 << " keys " << j0 << ".." << j1 << " kind "
                << static_cast<int>(kind) << ", " << count << " visible: " << describe(m);
          }
  });
  EXPECT_GT(skipped, 10000);
  EXPECT_GT(full, 10000);
  EXPECT_GT(partial, 10000);
}

// The examples of attention_params.h, drawn.
TEST(RowMask, DrawsThePicturesOfTheHeader) {
  const auto picture = [](RowMask m) {
    m.seqlen_k = 5;
    m.causal = true;
    std::string text;
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 5; ++j) text += m.keeps(i, j) ? '1' : '.';
      text += '\n';
    }
    return text;
  };
  RowMask bottom_right, top_left;
  bottom_right.d = 5 - 3;
  EXPECT_EQ(picture(bottom_right), "111..\n1111.\n11111\n");
  EXPECT_EQ(picture(top_left), "1....\n11...\n111..\n");
}

// Positions of 2^48 and windows of the largest words must not wrap.
TEST(RowMask, FarPositionsDoNotWrap) {
  constexpr int64_t kFar = int64_t{1} << 48;
  RowMask m;
  m.seqlen_k = 4;
  m.causal = true;
  m.window_left = INT32_MAX;
  m.window_right = INT32_MAX;
  for (const int64_t d : {-kFar, kFar}) {
    m.d = d;
    for (int64_t j = 0; j < 4; ++j) EXPECT_EQ(m.keeps(0, j), visible(m, 0, j)) << d;
  }
  m = {};
  m.seqlen_k = 4;
  m.block_size = INT32_MAX;
  m.block_origin = -kFar;
  m.has_prefix = true;
  m.prefix = kFar;
  m.d = kFar;
  for (int64_t j = 0; j < 4; ++j) EXPECT_EQ(m.keeps(0, j), visible(m, 0, j));
}

}  // namespace
}  // namespace attend
