// One small call for every kernel of the GPU plugins, by the oracle: what the interpreters of
// tests/simt run as the code that compilers wrote (ATTEND_SIMT_ENGINE), and what other hardware and
// other orders of threads run as source. They take seconds on every engine, so that none is left to
// the full tier. On native they are a few more calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string>

#include "attend/error.h"
#include "backends/gpu/call/ragged.h"
#include "tests/gdn/tensors.h"
#include "tests/kernels/rows.h"
#include "tests/merge/partials.h"
#include "tests/ring/ranks.h"
#include "tests/simt/vendor_driver.h"
#include "tests/support/judge.h"
#include "tests/support/stored.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

struct SmallCall {
  const char* name;
  const char* instances;  // of backends/gpu/instances that it launches, which no other call does
  OpId op;
  const char* row;  // "portable", or "" for the others
  void (*set)(AttentionCase&) = nullptr;
};
void PrintTo(const SmallCall& c, std::ostream* stream) { *stream << c.name; }

using C = AttentionCase;
void half(C& c) { c.dtype = DType::kF16; }
void bfloat(C& c) { c.dtype = DType::kBF16; }
// Sequences of many stacked rows have another kernel than those of few.
void many_rows(C& c) { c.seqlen_q = 33, c.seqlen_k = 35; }
void dims(C& c, int64_t dim) { c.head_dim = dim; }

// clang-format off
const SmallCall kCalls[] = {
    {"vanilla", "vanilla", OpId::kVanilla, "portable", [](C& c) { c.weights = true; }},
    {"tiles", "tiles", OpId::kFlash, "portable", [](C& c) { c.window_left = 5, c.alibi = PerHead::k1D; }},
    {"splash", "plan", OpId::kSplash, "portable", [](C& c) { c.family = Family::kSplash, c.block_mask = Spread::kRowsKeys, c.block_mask_q = 2, c.block_mask_k = 4; }},
    {"paged", "check_attention append", OpId::kPaged, "portable", [](C& c) { c.family = Family::kPaged, c.page_size = 4, c.own_rows = OwnRows::kStored; }},
    {"split_keys", "fold", OpId::kFlash, "portable", [](C& c) { c.seqlen_q = 1, c.seqlen_k = 1030, c.head_dim = 4, c.heads = c.kv_heads = 1, c.batch = 1; }},
    {"narrow_bf16_64", "matrix_narrow_bf16_64", OpId::kFlash, "", [](C& c) { bfloat(c); }},
    {"narrow_f16_64", "matrix_narrow_f16_64", OpId::kFlash, "", [](C& c) { half(c), dims(c, 64); }},
    {"narrow_bf16_128", "matrix_narrow_bf16_128", OpId::kFlash, "", [](C& c) { bfloat(c), dims(c, 96); }},
    {"narrow_f16_128", "matrix_narrow_f16_128", OpId::kFlash, "", [](C& c) { half(c), dims(c, 128); }},
    {"narrow_bf16_256", "matrix_narrow_bf16_256", OpId::kFlash, "", [](C& c) { bfloat(c), dims(c, 256); }},
    {"narrow_f16_256", "matrix_narrow_f16_256", OpId::kFlash, "", [](C& c) { half(c), dims(c, 136); }},
    {"wide_bf16_64", "matrix_wide_bf16_64", OpId::kFlash, "", [](C& c) { bfloat(c), dims(c, 64), many_rows(c); }},
    {"wide_f16_64", "matrix_wide_f16_64", OpId::kFlash, "", [](C& c) { half(c), many_rows(c); }},
    {"wide_bf16_128", "matrix_wide_bf16_128", OpId::kFlash, "", [](C& c) { bfloat(c), dims(c, 128), many_rows(c); }},
    {"wide_f16_128", "matrix_wide_f16_128", OpId::kFlash, "", [](C& c) { half(c), dims(c, 72), many_rows(c); }},
    {"wide_bf16_256", "matrix_wide_bf16_256", OpId::kFlash, "", [](C& c) { bfloat(c), dims(c, 192), many_rows(c); }},
    {"wide_f16_256", "matrix_wide_f16_256", OpId::kFlash, "", [](C& c) { half(c), dims(c, 256), many_rows(c); }},
    {"decode", "", OpId::kDecode, "", [](C& c) { c.family = Family::kDecode, c.seqlen_q = 1, c.end = true, bfloat(c); }},
    {"ring", "pack", OpId::kRing, "portable", [](C& c) { c.segments = true; }},
    {"ragged", "ragged_words ragged_finish", OpId::kSdpa, "portable"},
    {"merge", "merge", OpId::kMerge, "portable"},
    {"append", "append", OpId::kAppend, "portable"},
    {"gdn", "gdn_rule_128 check_gates", OpId::kGdn, "portable"},
    {"gdn_layer", "gdn_conv gdn_norm gdn_past check_gdn", OpId::kGdn, "portable"},
    {"gdn_wide", "gdn_rule_256", OpId::kGdn, "portable"}};
// clang-format on

std::string last_part(const char* row) {
  const std::string text = row;
  return text.substr(text.rfind('/') + 1);
}

class SmallCalls : public ::testing::TestWithParam<SmallCall> {
 protected:
  // The rows of the call on the devices under test.
  template <class Rows>
  auto rows_among(const Rows& all) const {
    Rows some;
    for (const auto& row : all) {
      const bool portable = last_part(row.get().name) == "portable";
      const bool native = row.get().device == DeviceType::kNative;
      if (native || portable == (std::string(GetParam().row) == "portable")) some.push_back(row);
    }
    return some;
  }
  // Runs a row; whether it took the call.
  template <class Run>
  bool took(const char* row, const Run& run) {
    SCOPED_TRACE(row);
    try {
      run();
      ++taken_;
      return true;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kUnsupported) << row << ": " << e.what();
      refusals_ += e.what();
      return false;
    }
  }
  void attention();
  void ring();
  void ragged();
  void merge();
  void append();
  void gdn();
  int taken_ = 0;
  std::string refusals_;
};

void SmallCalls::attention() {
  AttentionCase c;
  c.label = "small";
  c.batch = 2, c.seqlen_q = 3, c.seqlen_k = 13, c.heads = 2, c.kv_heads = 1, c.head_dim = 16;
  c.causal = c.lse = true;
  c.diagonal = Diagonal::kBottomRight;
  GetParam().set(c);
  CaseTensors t = make_tensors(c);
  const Judge judge(t.args, t.params);
  for (const AttentionKernel& row : rows_among(test_rows(GetParam().op))) {
    t.reset_outputs();
    if (!took(row.name, [&] { run_row(row, t.args, t.params); })) continue;
    const auto verdicts = judge.compare(t.args);
    EXPECT_TRUE(all_ok(verdicts)) << row.name << "\n" << to_string(verdicts);
    EXPECT_EQ(t.damaged_guard(), "") << row.name;
  }
}

// Two ranks on one device.
void SmallCalls::ring() {
  AttentionCase c;
  c.label = "small";
  c.batch = 1, c.seqlen_q = c.seqlen_k = 9, c.heads = 2, c.kv_heads = 1, c.head_dim = 8;
  c.causal = c.lse = true;
  GetParam().set(c);
  CaseTensors t = make_tensors(c);
  const Judge judge(t.args, t.params);
  for (const AttentionKernel& row : rows_among(test_rows(OpId::kRing))) {
    t.reset_outputs();
    // One process first, whose refusal is the row's.
    if (!took(row.name, [&] { run_row(row, t.args, t.params); })) continue;
    t.reset_outputs();
    Ranks ranks(t.args, t.params, {2, RingPlacement::kZigzag, {}, row.device});
    for (const RankResult& r : ranks.run({}, row.name)) EXPECT_EQ(r.what, "");
    EXPECT_EQ(ranks.gather(), "");
    const auto verdicts = judge.compare(t.args);
    EXPECT_TRUE(all_ok(verdicts)) << row.name << "\n" << to_string(verdicts);
  }
}

// What goes before and after a vendor's kernel, whose place the test takes: no row that is executed on
// the host has one.
void SmallCalls::ragged() {
  constexpr int64_t kHeads = 2, kDim = 8, kWindow = 3;
  const std::vector<int64_t> rows = {5, 0, 3, 4, 2}, keys = {9, 4, 0, 2, 7};
  const auto starts = [](const std::vector<int64_t>& lengths) {
    std::vector<int64_t> at = {0};
    for (const int64_t n : lengths) at.push_back(at.back() + n);
    return at;
  };
  const std::vector<int64_t> q_at = starts(rows), k_at = starts(keys);
  const auto batch = static_cast<int64_t>(rows.size()), total = q_at.back() + 1;  // one is nobody's
  for (const DeviceType device : test_devices()) {
    if (device == DeviceType::kNative) continue;
    if (std::getenv("ATTEND_SIMT") == nullptr) GTEST_SKIP() << "sdpa's own row runs there";
    simt::VendorDriver driver = simt::VendorDriver::of_plugin(name(device));
    std::vector<void*> memory;
    const auto there = [&](const void* from, size_t bytes) {
      void* data = nullptr;
      EXPECT_EQ(driver.allocate(&data, bytes), 0);
      EXPECT_EQ(driver.copy_now(data, from, bytes), 0);
      memory.push_back(data);
      return data;
    };
    const auto back = [&]<class T>(const T* data, int64_t n) {
      std::vector<T> values(static_cast<size_t>(n));
      EXPECT_EQ(driver.copy_now(values.data(), data, values.size() * sizeof(T)), 0);
      return values;
    };
    const auto filled = [&]<class T>(T value, int64_t n) {
      const std::vector<T> values(static_cast<size_t>(n), value);
      return static_cast<T*>(there(values.data(), values.size() * sizeof(T)));
    };
    for (const bool top_left : {false, true}) {
      gpu::RaggedCall call;
      AttentionArgs& a = call.args;
      a.q = contiguous(nullptr, DType::kBF16, {total, kHeads, kDim});
      a.k = contiguous(nullptr, DType::kBF16, {k_at.back(), 1, kDim});
      a.v = a.k;
      a.v.stride[0] = 24;
      a.out = contiguous(filled(uint16_t{0xC7C7}, total * kHeads * kDim), DType::kBF16,
                         {total, kHeads, kDim});
      a.lse = contiguous(filled(-7.0f, total * kHeads), DType::kF32, {kHeads, total});
      a.seq.cu_seqlens_q =
          contiguous(there(q_at.data(), q_at.size() * 8), DType::kI64, {batch + 1});
      a.seq.cu_seqlens_k =
          contiguous(there(k_at.data(), k_at.size() * 8), DType::kI64, {batch + 1});
      call.params.mask.causal = true;
      call.params.mask.window_left = kWindow;
      call.params.mask.diagonal = top_left ? Diagonal::kTopLeft : Diagonal::kBottomRight;
      call.rows = filled(int32_t{-5}, batch), call.keys = filled(int32_t{-5}, batch);
      for (int64_t** at : {&call.q, &call.k, &call.v, &call.out, &call.sums_at})
        *at = filled(int64_t{-5}, batch + 1);
      std::vector<float> sums;
      for (int64_t n = 0; n < total * kHeads; ++n) sums.push_back(static_cast<float>(n));
      call.sums = static_cast<float*>(there(sums.data(), sums.size() * sizeof(float)));
      const std::vector<uint8_t> skip = {0, 0, 0, 0, 1};  // the last has a bad index
      call.skip = static_cast<uint8_t*>(there(skip.data(), skip.size()));

      ASSERT_EQ(driver.launch(gpu::kRaggedWords.name, {1, 1, 1}, gpu::kRaggedWords.threads, 0,
                              &call, sizeof call),
                0);
      ASSERT_EQ(driver.launch(gpu::kRaggedFinish.name, {static_cast<int>((total + 3) / 4), 1, 1},
                              gpu::kRaggedFinish.threads, 0, &call, sizeof call),
                0);
      ASSERT_EQ(driver.synchronize(nullptr), 0);
      const auto out = back(static_cast<const uint16_t*>(a.out.data), total * kHeads * kDim);
      const auto lse = back(static_cast<const float*>(a.lse.data), total * kHeads);
      for (int64_t b = 0; b < batch; ++b) {
        const auto n = static_cast<size_t>(b);
        int64_t first = keys[n], end = 0;  // of keys that some row sees
        for (int64_t i = 0; i < rows[n]; ++i) {
          const int64_t p = i + (top_left ? 0 : keys[n] - rows[n]);
          bool sees = false;
          for (int64_t j = 0; j < keys[n]; ++j)
            if (j <= p && j >= p - kWindow)
              sees = true, first = std::min(first, j), end = std::max(end, j + 1);
          const int64_t row = q_at[n] + i;
          for (int64_t h = 0; h < kHeads; ++h) {
            const float was = skip[n] != 0 ? -7.0f : sums[static_cast<size_t>(row * kHeads + h)];
            EXPECT_EQ(lse[static_cast<size_t>(h * total + row)],
                      sees || skip[n] != 0 ? was : -INFINITY)
                << b << " " << i;
            for (int64_t d = 0; d < kDim; ++d)
              EXPECT_EQ(out[static_cast<size_t>((row * kHeads + h) * kDim + d)],
                        sees || skip[n] != 0 ? 0xC7C7 : 0)
                  << b << " " << i;
          }
        }
        const bool none = first >= end || skip[n] != 0;
        EXPECT_EQ(back(call.rows, batch)[n], none ? 0 : rows[n]) << b;
        EXPECT_EQ(back(call.keys, batch)[n], none ? 0 : end - first) << b;
        if (none) continue;
        EXPECT_EQ(back(call.q, batch + 1)[n], q_at[n] * kHeads * kDim) << b;
        EXPECT_EQ(back(call.out, batch + 1)[n], q_at[n] * kHeads * kDim) << b;
        EXPECT_EQ(back(call.sums_at, batch + 1)[n], q_at[n] * kHeads) << b;
        EXPECT_EQ(back(call.k, batch + 1)[n], (k_at[n] + first) * kDim) << b;
        EXPECT_EQ(back(call.v, batch + 1)[n], (k_at[n] + first) * 24) << b;
      }
      for (int64_t h = 0; h < kHeads; ++h)
        EXPECT_EQ(lse[static_cast<size_t>(h * total + total - 1)], -7.0f) << "nobody's row";
    }
    for (void* data : memory) driver.release(data);
  }
  ++taken_;
}

void SmallCalls::merge() {
  for (const MergeKernel& row : rows_among(test_merge_rows())) {
    const auto rows = [](uint64_t seed) {
      Placed t(DType::kF32, {1, 3, 2, 5}, Strides::kContiguous, 1, 2);
      t.fill(seed);
      return t;
    };
    const auto sums = [](uint64_t seed) {
      Placed t(DType::kF32, {1, 2, 3}, Strides::kContiguous, 2, 1);
      t.fill(seed, 4.0);
      return t;
    };
    const Placed a = rows(1), b = rows(2), out = rows(3), la = sums(4), lb = sums(5), lse = sums(6);
    const MergeArgs args{a.view, la.view, b.view, lb.view, out.view, lse.view};
    if (!took(row.name, [&] { run_row(row, args); })) continue;
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t h = 0; h < 2; ++h) {
        const Joined j = join(load(la.view, {0, h, i}), load(lb.view, {0, h, i}));
        EXPECT_NEAR(load(lse.view, {0, h, i}), j.lse, 2e-6) << row.name;
        for (int64_t e = 0; e < 5; ++e)
          EXPECT_NEAR(
              load(out.view, {0, i, h, e}),
              j.factor_a * load(a.view, {0, i, h, e}) + j.factor_b * load(b.view, {0, i, h, e}),
              4e-6)
              << row.name;
      }
  }
}

void SmallCalls::append() {
  for (const AttentionKernel& row : rows_among(test_rows(OpId::kAppend))) {
    const auto tensor = [](DType dtype, std::vector<int64_t> shape, uint64_t seed) {
      Placed t(dtype, shape, Strides::kContiguous, 0, 1);
      t.fill(seed);
      return t;
    };
    Placed k = tensor(DType::kF8E4M3, {3, 2, 2, 8}, 1), v = tensor(DType::kF32, {3, 2, 2, 5}, 2),
           k_new = tensor(DType::kF32, {3, 2, 8}, 3), v_new = tensor(DType::kF32, {3, 2, 5}, 4);
    int64_t slots[] = {4, -1, 1};
    float descale = 0.37f;
    AttentionArgs args;
    args.k = k.view, args.v = v.view, args.k_new = k_new.view, args.v_new = v_new.view;
    args.k_descale = contiguous(&descale, DType::kF32, {1});
    args.seq.slot_mapping = contiguous(slots, DType::kI64, {3});
    if (took(row.name, [&] { run_row(row, args, {}); })) {
      EXPECT_EQ(wrong_slot(args), "") << row.name;
    }
  }
}

void SmallCalls::gdn() {
  GdnCase c;
  c.batch = 2, c.seqlen = 5, c.chunk = 4;
  c.sizes = {1, 2, 8, 4};
  if (GetParam().name == std::string("gdn_wide")) c.seqlen = 3, c.sizes = {1, 1, 136, 4};
  if (GetParam().name == std::string("gdn_layer")) {
    c.conv = GdnConv::kFourBias, c.conv_state = true, c.norm = GdnNorm::kF32Weight;
    c.decay = GdnDecay::kGates, c.gated_beta = true;
    c.slots = GdnSlots::kI32;
  }
  GdnTensors t(c);
  const GdnGold gold = t.gold();
  const GdnAllowed allowed = gdn_allowed(c.dtype);
  for (const GdnKernel& row : rows_among(test_gdn_rows())) {
    t.reset();
    if (!took(row.name, [&] { run_row(row, t.args, t.params); })) continue;
    EXPECT_LE(relative_rms(t.args.out, gold.out), allowed.out) << row.name;
    EXPECT_LE(relative_rms(t.kept_state(), gold.state), allowed.state) << row.name;
    EXPECT_EQ(t.damage(gold), "") << row.name;
  }
}

TEST_P(SmallCalls, MatchTheOracle) {
  const SmallCall& call = GetParam();
  switch (call.op) {
    case OpId::kRing: ring(); break;
    case OpId::kSdpa: ragged(); break;
    case OpId::kMerge: merge(); break;
    case OpId::kAppend: append(); break;
    case OpId::kGdn: gdn(); break;
    default: attention(); break;
  }
  // What a row refuses because of the hardware, by its name, runs on other hardware.
  const char* engine = std::getenv("ATTEND_SIMT_ENGINE");
  if (taken_ == 0 && engine != nullptr && refusals_.find(engine) != std::string::npos)
    GTEST_SKIP() << refusals_;
  EXPECT_GT(taken_, 0) << "no row takes it: " << refusals_;
}

INSTANTIATE_TEST_SUITE_P(Rows, SmallCalls, ::testing::ValuesIn(kCalls),
                         [](const auto& p) { return std::string(p.param.name); });

// A kernel instance without a call here would never be interpreted.
TEST(SmallCallsList, NamesEveryInstance) {
  std::set<std::string> named, built;
  const auto add = [](std::set<std::string>& to, const std::string& list) {
    for (size_t at = 0; at < list.size();) {
      const size_t end = std::min(list.find(' ', at), list.size());
      if (end > at) to.insert(list.substr(at, end - at));
      at = end + 1;
    }
  };
  for (const SmallCall& call : kCalls) add(named, call.instances);
  add(built, ATTEND_GPU_INSTANCES);
  if (built.empty()) GTEST_SKIP() << "this build has no kernels for GPUs";
  EXPECT_EQ(named, built);
}

}  // namespace
}  // namespace attend::testing
