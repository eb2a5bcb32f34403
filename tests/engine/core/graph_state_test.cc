#include "strategies/engine/graph_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "attend/error.h"
#include "attend/operator.h"
#include "strategies/engine/hybrid_backend.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

using testing::thrown;

std::vector<int32_t> values(const TensorView& t) {
  const auto* data = static_cast<const int32_t*>(t.data);
  return {data, data + t.num_elements()};
}

TensorView vector_of(std::vector<int32_t>& v) {
  return contiguous(v.data(), DType::kI32, {static_cast<int64_t>(v.size())});
}

// A decode step of two requests.
struct Step {
  std::vector<int32_t> cu{0, 1, 2}, context{5, 9}, slots{25, 45}, table{5, 6, -1, 7, 10, 11},
      states{3, 1};
  AttnMetadata metadata;
  Step() {
    metadata.cu_seqlens_q = vector_of(cu);
    metadata.context_lens = vector_of(context);
    metadata.slot_mapping = vector_of(slots);
    metadata.state_slots = vector_of(states);
    metadata.block_table = contiguous(table.data(), DType::kI32, {2, 3});
    metadata.max_seqlen_q = 1;
    metadata.max_seqlen_k = 10;
    metadata.page_size = 4;
  }
};

TEST(GraphState, BucketsAreFewAndEndWithTheMost) {
  EXPECT_EQ(GraphState::buckets(24), (std::vector<int64_t>{1, 2, 4, 8, 16, 24}));
  EXPECT_EQ(GraphState::buckets(3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(GraphState::buckets(1), (std::vector<int64_t>{1}));
  EXPECT_EQ(GraphState::buckets(48), (std::vector<int64_t>{1, 2, 4, 8, 16, 32, 48}));
}

TEST(GraphState, CaptureFillsSequencesAndStoresNothing) {
  GraphState state(8, 8, 4, 4);
  const AttnMetadata& m = state.capture(4, 1, 1);
  EXPECT_EQ(values(m.cu_seqlens_q), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(values(m.context_lens), (std::vector<int32_t>(4, 0)));  // a token each, its own row
  EXPECT_EQ(values(m.slot_mapping), (std::vector<int32_t>(4, -1)));
  EXPECT_EQ(values(m.state_slots), (std::vector<int32_t>(4, GdnPool::kPaddingSlot)));
  EXPECT_EQ(m.max_seqlen_q, 1);
  EXPECT_NO_THROW(m.validate());
}

TEST(GraphState, ReplayKeepsAddressesAndPadsBehindTheStep) {
  GraphState state(8, 8, 4, 4);
  const TensorView captured = state.capture(4, 1, 1).slot_mapping;
  Step step;
  const AttnMetadata& m = state.replay(step.metadata, 4);
  EXPECT_EQ(m.slot_mapping.data, captured.data);
  EXPECT_EQ(values(m.cu_seqlens_q), (std::vector<int32_t>{0, 1, 2, 2, 2})) << "no rows of padding";
  EXPECT_EQ(values(m.context_lens), (std::vector<int32_t>{5, 9, 0, 0}));
  EXPECT_EQ(values(m.slot_mapping), (std::vector<int32_t>{25, 45, -1, -1}));
  EXPECT_EQ(values(m.state_slots), (std::vector<int32_t>{3, 1, 0, 0}));
  EXPECT_EQ(values(m.block_table),
            (std::vector<int32_t>{5, 6, -1, -1, 7, 10, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1}));
  EXPECT_EQ(m.page_size, 4);
  EXPECT_NO_THROW(m.validate());
}

TEST(GraphState, WhatDoesNotFitIsRefusedInWords) {
  GraphState state(4, 4, 1, 4);
  state.capture(2, 1, 1);
  Step step;
  EXPECT_TRUE(thrown([&] {
                state.replay(step.metadata, 2);
              }).says("pages of a request is 3, expected at most 1"));
  EXPECT_TRUE(thrown([&] {
                state.replay(step.metadata, 1);
              }).says("requests of the step is 2, expected at most 1"));
  EXPECT_TRUE(thrown([&] { state.capture(5, 1, 1); }).says("num_reqs is 5, expected at most 4"));
  EXPECT_TRUE(thrown([&] { state.capture(4, 2, 1); }).says("rows is 8, expected at most 4"));
  EXPECT_TRUE(thrown([] { GraphState(0, 1, 1, 1); }).says("max_num_reqs is 0"));
}

// A backend over small pools whose memory is all ones.
struct Pools {
  KvPool pages{{{1, 8, 8}}, 16, 4, DType::kF32, {}};
  GdnPool states{{{2, 8, 8, 32, 3}}, 4, DType::kF32};
  HybridBackend backend{pages, states};
  AttentionLayer layer;
  std::vector<float> q, k, v, out;
  explicit Pools(size_t rows) : q(rows * 16), k(rows * 8), v(rows * 8), out(rows * 16, 77.0f) {
    layer.num_heads = 2;
    layer.head_dim = 8;
    for (const TensorView& t : {pages.k(0), pages.v(0)})
      std::fill_n(static_cast<float*>(t.data), t.num_elements(), 1.0f);
    for (size_t i = 0; i < q.size(); ++i) q[i] = 0.01f * static_cast<float>(i % 29);
    for (size_t i = 0; i < k.size(); ++i)
      k[i] = 0.1f * static_cast<float>(i % 7), v[i] = static_cast<float>(i);
  }
  TensorView view(std::vector<float>& t, int64_t heads) {
    return contiguous(t.data(), DType::kF32,
                      {static_cast<int64_t>(t.size()) / heads / 8, heads, 8});
  }
  void forward(bool save = true) {
    backend.forward(layer, view(q, 2), view(k, 1), view(v, 1), view(out, 2), save);
  }
};

TEST(PagedBackend, PaddedRowsOfAReplayTouchNothing) {
  Step step;
  Pools plain(2), padded(4);
  std::copy(plain.q.begin(), plain.q.end(), padded.q.begin());
  {
    const MetadataScope scope(step.metadata);
    plain.backend.init_forward_metadata(step.metadata);
    plain.forward();
  }
  padded.backend.init_graph_state(4, 4, 3);
  padded.backend.init_forward_metadata_capture(4, 4, ForwardMode::kDecode);
  const AttnMetadata& replay = padded.backend.init_forward_metadata_replay(step.metadata, 4);
  const MetadataScope scope(replay);
  padded.forward();
  for (size_t i = 0; i < plain.out.size(); ++i) EXPECT_EQ(padded.out[i], plain.out[i]);
  for (size_t i = plain.out.size(); i < padded.out.size(); ++i)
    EXPECT_EQ(padded.out[i], 77.0f) << "padding was written";
  for (const bool is_k : {true, false}) {
    const TensorView a = is_k ? plain.pages.k(0) : plain.pages.v(0),
                     b = is_k ? padded.pages.k(0) : padded.pages.v(0);
    EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<size_t>(a.num_elements()) * 4), 0);
  }
}

TEST(PagedBackend, KeysAreStoredUnlessToldNot) {
  Step step;
  Pools pools(2);
  const MetadataScope scope(step.metadata);
  pools.backend.init_forward_metadata(step.metadata);
  const auto stored = [&] { return static_cast<const float*>(pools.pages.v(0).data)[45 * 8 + 3]; };
  pools.forward(false);
  EXPECT_EQ(stored(), 1.0f);
  const std::vector<float> without = pools.out;
  pools.forward();
  EXPECT_EQ(stored(), pools.v[8 + 3]);
  EXPECT_EQ(pools.out, without) << "a row sees its own key either way";
}

TEST(PagedBackend, AnIdleStepYieldsZerosAndNoDeltaLayerRunsWithoutAHybrid) {
  Pools pools(3);
  AttnMetadata idle;
  const MetadataScope scope(idle);
  pools.backend.init_forward_metadata(idle);
  pools.forward();
  EXPECT_EQ(pools.out, std::vector<float>(pools.out.size(), 0.0f));
  std::vector<float> out(3 * 16, 5.0f);
  const TensorView view = contiguous(out.data(), DType::kF32, {3, 2, 8});
  pools.backend.forward_gdn({}, {}, {}, {}, {}, view);
  EXPECT_EQ(out, std::vector<float>(out.size(), 0.0f));
  PagedBackend plain(pools.pages);
  EXPECT_EQ(thrown([&] { plain.forward_gdn({}, {}, {}, {}, {}, view); }).code,
            ErrorCode::kUnsupported);
  EXPECT_TRUE(
      thrown([&] { plain.init_forward_metadata_replay(idle, 1); }).says("init_graph_state first"));
  EXPECT_EQ(plain.graph_seq_len_fill_value(), 1);
}

TEST(PagedBackend, OutsideAScopeThereIsNoMetadata) {
  Step step;
  Pools pools(2);
  pools.backend.init_forward_metadata(step.metadata);
  EXPECT_EQ(thrown([&] { pools.forward(); }).code, ErrorCode::kNoMetadata);
}

// Two live requests and two rows of padding: only the live ones' states change.
TEST(HybridBackend, PaddedRowsNeverTouchLiveState) {
  constexpr int64_t kRows = 4, kChannels = 32;
  Pools pools(kRows);
  for (int i = 0; i < 4; ++i) ASSERT_GT(pools.states.take(), 0);
  EXPECT_EQ(pools.states.take(), -1);
  const TensorView state = pools.states.state(0), conv = pools.states.conv_state(0);
  const auto snapshot = [](const TensorView& t) {
    const auto* data = static_cast<const float*>(t.data);
    return std::vector<float>(data, data + t.num_elements());
  };
  std::fill_n(static_cast<float*>(state.data), state.num_elements(), 0.25f);
  std::fill_n(static_cast<float*>(conv.data), conv.num_elements(), 0.5f);
  std::vector<float> mixed(kRows * kChannels, 0.3f), a(kRows * 2, 0.1f), b(a), z(kRows * 16, 0.7f),
      out(kRows * 16, 9.0f), weight(kChannels * 3, 0.2f), a_log(2, 0.1f), dt(2, 0.2f),
      norm(8, 1.0f);
  GdnLayer layer;
  layer.k_heads = 1;
  layer.v_heads = 2;
  layer.k_dim = layer.v_dim = 8;
  layer.conv_weight = contiguous(weight.data(), DType::kF32, {kChannels, 3});
  layer.a_log = contiguous(a_log.data(), DType::kF32, {2});
  layer.dt_bias = contiguous(dt.data(), DType::kF32, {2});
  layer.norm_weight = contiguous(norm.data(), DType::kF32, {8});
  Step step;  // slots 3 and 1
  pools.backend.init_graph_state(4, 4, 3);
  pools.backend.init_forward_metadata_capture(4, 4, ForwardMode::kDecode);
  const AttnMetadata& replay = pools.backend.init_forward_metadata_replay(step.metadata, 4);
  const MetadataScope scope(replay);
  const std::vector<float> state_before = snapshot(state), conv_before = snapshot(conv);
  pools.backend.forward_gdn(layer, contiguous(mixed.data(), DType::kF32, {kRows, kChannels}),
                            contiguous(a.data(), DType::kF32, {kRows, 2}),
                            contiguous(b.data(), DType::kF32, {kRows, 2}),
                            contiguous(z.data(), DType::kF32, {kRows, 2, 8}),
                            contiguous(out.data(), DType::kF32, {kRows, 2, 8}));
  const std::vector<float> state_after = snapshot(state), conv_after = snapshot(conv);
  for (int64_t slot = 0; slot < 5; ++slot) {
    const bool is_live = slot == 1 || slot == 3;
    const auto differs = [&](const std::vector<float>& x, const std::vector<float>& y) {
      const auto size = static_cast<std::ptrdiff_t>(x.size() / 5);
      return !std::equal(x.begin() + slot * size, x.begin() + (slot + 1) * size,
                         y.begin() + slot * size);
    };
    EXPECT_EQ(differs(state_before, state_after), is_live) << "slot " << slot;
    EXPECT_EQ(differs(conv_before, conv_after), is_live) << "slot " << slot;
  }
}

}  // namespace
}  // namespace attend::engine
