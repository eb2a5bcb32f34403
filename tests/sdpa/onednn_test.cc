// sdpa/native/onednn by the rule of contract 8 over a grid of its own; its graphs; its threads.
// Where this build has oneDNN the row must run: nothing here skips then.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::native {
ATTEND_API uint64_t plans_compiled();  // backends/native/onednn_plan.h, which oneDNN's headers need
inline constexpr size_t kMaxPlans = 128;
}  // namespace attend::native

namespace attend::testing {
namespace {

constexpr const char* kRow = "sdpa/native/onednn";

// Whether this build has oneDNN: then a row that is not available is a failure.
constexpr bool built() { return sizeof ATTEND_ONEDNN_LIBRARY > 1; }

class OneDnnRow : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(OpId::kSdpa, DeviceType::kNative))
      if (std::string(row.name) == kRow)
        if (const Status s = row.available(Device{}); !s) {
          ASSERT_FALSE(built()) << to_string(s);
          GTEST_SKIP() << to_string(s);
        }
  }
  static RunResult run(const CaseTensors& t, const ExecContext& context = {}) {
    return SdpaAttention().run_kernel(kRow, t.args, t.params, context);
  }
};

AttentionCase shape(int64_t batch, int64_t rows, int64_t keys, int64_t heads, int64_t kv_heads,
                    int64_t dim) {
  AttentionCase c;
  c.batch = batch, c.seqlen_q = rows, c.seqlen_k = keys, c.heads = heads, c.kv_heads = kv_heads;
  c.head_dim = dim;
  c.diagonal = Diagonal::kTopLeft;
  return c;
}

// Small: one row, odd sizes, grouped heads, both sides of the square, dimensions that no vector
// divides.
std::vector<AttentionCase> small_shapes() {
  std::vector<AttentionCase> list = {
      shape(1, 1, 1, 1, 1, 64),   shape(2, 1, 77, 4, 2, 64),  shape(1, 5, 3, 2, 2, 32),
      shape(1, 64, 64, 2, 2, 64), shape(1, 65, 63, 3, 1, 80), shape(2, 17, 45, 2, 2, 7),
      shape(3, 33, 96, 4, 2, 1),
  };
  list[3].v_dim = 24;
  return list;
}
// Several blocks of rows, the last one short, and several steps of keys.
std::vector<AttentionCase> large_shapes() {
  std::vector<AttentionCase> list = {shape(1, 300, 300, 2, 1, 64), shape(1, 31, 700, 8, 1, 40),
                                     shape(1, 520, 513, 1, 1, 256), shape(1, 600, 1100, 2, 2, 64)};
  list.back().v_dim = 96;
  return list;
}

using Change = void (*)(AttentionCase&);
struct Words {
  const char* name;
  Change set;
};
const Words kWords[] = {
    {"plain", [](AttentionCase&) {}},
    {"scaled", [](AttentionCase& c) { c.scale = Scale::kGiven; }},
    {"zero_scale", [](AttentionCase& c) { c.scale = Scale::kZero; }},
    {"negative_scale", [](AttentionCase& c) { c.scale = Scale::kNegative; }},
    {"top_left", [](AttentionCase& c) { c.causal = true; }},
    {"bottom_right",
     [](AttentionCase& c) {
       c.causal = true;
       c.diagonal = Diagonal::kBottomRight;
     }},
    {"keep_keys", [](AttentionCase& c) { c.keep = Spread::kBatchKeys; }},
    {"keep_rows_keys", [](AttentionCase& c) { c.keep = Spread::kRowsKeys; }},
    {"keep_rows", [](AttentionCase& c) { c.keep = Spread::kRows; }},
    {"keep_full_causal",
     [](AttentionCase& c) {
       c.keep = Spread::kFull;
       c.causal = true;
     }},
    {"bias_full", [](AttentionCase& c) { c.bias = Spread::kFull; }},
    {"bias_f16_heads",
     [](AttentionCase& c) {
       c.bias = Spread::kHeadsRowsKeys;
       c.bias_dtype = DType::kF16;
     }},
    {"bias_bf16_keys",
     [](AttentionCase& c) {
       c.bias = Spread::kKeys;
       c.bias_dtype = DType::kBF16;
     }},
    {"bias_and_keep_causal",
     [](AttentionCase& c) {
       c.bias = Spread::kRowsKeys;
       c.keep = Spread::kHeadsRowsKeys;
       c.mask_with_bias = MaskWithBias::kBoth;
       c.causal = true;
     }},
    {"heads_first", [](AttentionCase& c) { c.strides = Strides::kHeadsFirst; }},
    {"odd_base",
     [](AttentionCase& c) {
       c.strides = Strides::kOddBase;
       c.causal = true;
     }},
};

const Words kLargeWords[] = {kWords[0], kWords[4], kWords[5], kWords[13]};

class OneDnnRule : public OneDnnRow, public ::testing::WithParamInterface<DType> {
 protected:
  // True if the row took the case.
  static bool keeps_the_rule(AttentionCase c, const Words& words) {
    c.dtype = GetParam();
    words.set(c);
    CaseTensors t = make_tensors(c);  // NaN in everything that the contract hides
    t.reset_outputs();
    try {
      EXPECT_STREQ(run(t).kernel, kRow);
    } catch (const Error& e) {
      ADD_FAILURE() << name(c) << ": " << e.what();
      return false;
    }
    EXPECT_EQ(t.damaged_guard(), "") << name(c);
    const auto verdicts = judge(t.args, t.params, {.max_rows = 40});
    EXPECT_TRUE(all_ok(verdicts)) << words.name << " " << name(c) << "\n" << to_string(verdicts);
    return true;
  }
};

INSTANTIATE_TEST_SUITE_P(Native, OneDnnRule, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& p) { return std::string(attend::name(p.param)); });

TEST_P(OneDnnRule, HoldsForEveryWordItTakes) {
  size_t taken = 0;
  for (const AttentionCase& c : small_shapes())
    for (const Words& words : kWords) taken += keeps_the_rule(c, words);
  EXPECT_EQ(taken, small_shapes().size() * std::size(kWords));
}

TEST_P(OneDnnRule, HoldsOverBlocksOfRowsAndStepsOfKeys) {
  size_t taken = 0;
  for (const AttentionCase& c : large_shapes())
    for (const Words& words : kLargeWords) taken += keeps_the_rule(c, words);
  EXPECT_EQ(taken, large_shapes().size() * std::size(kLargeWords));
}

// f16 runs where the CPU multiplies it; elsewhere the row says that it does not.
TEST_F(OneDnnRow, TakesF16ByTheRuleOrRefusesItByName) {
  AttentionCase c = shape(1, 65, 63, 6, 2, 80);
  c.dtype = DType::kF16;
  CaseTensors t = make_tensors(c);
  t.reset_outputs();
  try {
    run(t);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("q dtype is f16"), std::string::npos) << e.what();
    return;
  }
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

// One k and v for all sequences and heads, and rows that other heads overlap in no way: each
// sequence and kv head has calls of its own, so that their strides do not matter.
TEST_F(OneDnnRow, SequencesAndKvHeadsLieAnywhere) {
  CaseTensors t = make_tensors(shape(3, 40, 50, 4, 2, 64));
  t.args.k.stride[0] = t.args.v.stride[0] = 0;
  t.args.k.stride[2] = t.args.v.stride[2] = 0;
  t.args.q.data = static_cast<float*>(t.args.q.data) + 2 * t.args.q.stride[0];
  t.args.q.stride[0] = -t.args.q.stride[0];
  run(t);
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

// NaN in v at a key that only other rows' words hide reaches no row that hides it: contract 4 asks
// for it where no row sees the key, and a block of rows gives it.
TEST_F(OneDnnRow, HiddenValuesReachNoRow) {
  AttentionCase c = shape(2, 40, 50, 4, 2, 64);
  c.keep = Spread::kKeys;
  CaseTensors t = make_tensors(c, Fill::kPlain);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (int64_t j = 0; j < 50; ++j) {
    store(DType::kBool, address_of(t.params.mask.keep, {j}), j % 3 != 0);
    if (j % 3 != 0) continue;
    for (int64_t e = 0; e < 64; ++e) {
      store(DType::kF32, address_of(t.args.k, {1, j, 0, e}), nan);
      store(DType::kF32, address_of(t.args.v, {1, j, 0, e}), nan);
    }
  }
  run(t);
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
  for (int64_t i = 0; i < 40; ++i) EXPECT_FALSE(std::isnan(load(t.args.out, {1, i, 0, 0})));
}

// A key that a row hides may hold anything in k, also when other rows see it; what a row sees
// shows.
TEST_F(OneDnnRow, KeysReachTheRowsThatSeeThemAndNoOther) {
  for (double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    AttentionCase c = shape(1, 70, 70, 2, 1, 64);
    c.causal = true;
    CaseTensors t = make_tensors(c, Fill::kPlain);
    for (int64_t e = 0; e < 64; ++e) store(DType::kF32, address_of(t.args.k, {0, 30, 0, e}), value);
    run(t);
    for (int64_t i = 0; i < 30; ++i) EXPECT_FALSE(std::isnan(load(t.args.out, {0, i, 1, 5}))) << i;
    int64_t shown = 0;
    for (int64_t i = 30; i < 70; ++i) shown += std::isnan(load(t.args.out, {0, i, 1, 5}));
    EXPECT_GE(shown, std::isnan(value) ? 40 : 1);
  }
}

TEST_F(OneDnnRow, RowsWithoutKeysAreZero) {
  AttentionCase c = shape(2, 6, 4, 4, 2, 32);
  for (const bool none : {false, true}) {
    c.seqlen_k = none ? 0 : 4;
    c.causal = true;
    c.diagonal = Diagonal::kBottomRight;  // the first two rows stand before every key
    CaseTensors t = make_tensors(c);
    t.reset_outputs();
    run(t);
    for (int64_t i = 0; i < (none ? 6 : 2); ++i)
      for (int64_t h = 0; h < 4; ++h) EXPECT_EQ(load(t.args.out, {1, i, h, 31}), 0.0) << i;
    if (!none) {
      EXPECT_NE(load(t.args.out, {1, 2, 0, 0}), 0.0);
    }
  }
  for (const AttentionCase& empty : {shape(0, 6, 4, 4, 2, 32), shape(2, 0, 4, 4, 2, 32)}) {
    CaseTensors t = make_tensors(empty);
    EXPECT_STREQ(run(t).kernel, kRow);
  }
}

TEST_F(OneDnnRow, GraphsAreCompiledOnceAShape) {
  AttentionCase c = shape(1, 23, 29, 2, 2, 48);
  CaseTensors t = make_tensors(c), batch = make_tensors(shape(3, 23, 29, 6, 6, 48));
  const uint64_t before = native::plans_compiled();
  run(t);
  EXPECT_EQ(native::plans_compiled(), before + 1);
  run(t);
  t.params.softmax_scale = 3.0f;  // data, not shape
  run(t);
  EXPECT_EQ(native::plans_compiled(), before + 1);
  // Other strides of rows and heads are another graph.
  run(batch);
  EXPECT_EQ(native::plans_compiled(), before + 2);
  t.params.mask.causal = true;
  run(t);
  EXPECT_EQ(native::plans_compiled(), before + 3);
}

TEST_F(OneDnnRow, TheGraphsThatWereUsedLastAreKept) {
  CaseTensors first = make_tensors(shape(1, 3, 5, 1, 1, 16));
  run(first);
  for (int64_t n = 0; n < static_cast<int64_t>(native::kMaxPlans); ++n) {
    CaseTensors t = make_tensors(shape(1, 2, 1000 + n, 1, 1, 4));
    run(t);
    if (n == 60) run(first);  // used again: the others are older now
  }
  const uint64_t before = native::plans_compiled();
  run(first);
  EXPECT_EQ(native::plans_compiled(), before);
  CaseTensors oldest = make_tensors(shape(1, 2, 1000, 1, 1, 4));
  run(oldest);
  EXPECT_EQ(native::plans_compiled(), before + 1);
}

std::vector<std::byte> bytes_after(CaseTensors& t, const ExecContext& context = {}) {
  t.reset_outputs();
  SdpaAttention().run_kernel(kRow, t.args, t.params, context);
  return t.output_bytes();
}

TEST_F(OneDnnRow, ThreadsAndBatchesDoNotChangeABit) {
  const int32_t threads = num_threads();
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (AttentionCase c : {shape(3, 300, 520, 4, 2, 64), shape(3, 1, 700, 4, 2, 128)}) {
      c.dtype = dtype;
      c.causal = c.seqlen_q > 1;
      CaseTensors t = make_tensors(c);
      set_num_threads(1);
      const auto alone = bytes_after(t);
      for (int32_t n : {2, 3, 7}) {
        set_num_threads(n);
        EXPECT_TRUE(bytes_after(t) == alone) << n << " threads " << name(c);
      }
      set_num_threads(threads);
      // The embedding program's own loop, backwards and on this thread.
      ExecContext context;
      context.parallel_for.workers = 2;
      context.parallel_for.run = [](void*, int64_t tasks, void (*body)(void*, int64_t, int32_t),
                                    void* with) {
        for (int64_t n = tasks; n-- > 0;) body(with, n, static_cast<int32_t>(n % 2));
      };
      EXPECT_TRUE(bytes_after(t, context) == alone) << name(c);

      // One sequence of the three by itself.
      AttentionArgs one = t.args;
      for (TensorView* view : {&one.q, &one.k, &one.v, &one.out}) {
        view->data = static_cast<std::byte*>(view->data) + view->stride[0] * size_bytes(dtype);
        view->shape[0] = 1;
      }
      const Tensor apart = Tensor::empty(dtype, {1, c.seqlen_q, 4, c.head_dim});
      one.out = apart;
      SdpaAttention().run_kernel(kRow, one, t.params);
      for (int64_t i = 0; i < c.seqlen_q; ++i)
        for (int64_t h = 0; h < 4; ++h)
          for (int64_t e = 0; e < c.head_dim; e += 7)
            ASSERT_EQ(load(one.out, {0, i, h, e}), load(t.args.out, {1, i, h, e})) << i;
    }
  }
  set_num_threads(threads);
}

// Calls of several shapes from several threads at once, some of which are compiled meanwhile.
TEST_F(OneDnnRow, ThreadsMayCallItAtOnce) {
  constexpr int kThreads = 4, kShapes = 5;
  const auto tensors = [](int n) { return make_tensors(shape(1, 20 + n, 90 + 3 * n, 4, 2, 56)); };
  std::vector<std::vector<std::byte>> results(kThreads * kShapes);
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id)
    threads.emplace_back([&, id] {
      for (int n = 0; n < kShapes; ++n) {
        const int which = (n + id) % kShapes;
        CaseTensors t = tensors(which);
        results[static_cast<size_t>(id * kShapes + which)] = bytes_after(t);
      }
    });
  for (std::thread& t : threads) t.join();
  for (int n = 0; n < kShapes; ++n) {
    CaseTensors t = tensors(n);
    const auto want = bytes_after(t);
    for (int id = 0; id < kThreads; ++id)
      EXPECT_TRUE(results[static_cast<size_t>(id * kShapes + n)] == want) << id << " " << n;
  }
}

// Scratch comes from the workspace that the row asked for: with it, nothing else is allocated.
TEST_F(OneDnnRow, AsksForTheWorkspaceThatItUses) {
  AttentionCase c = shape(1, 100, 200, 4, 2, 64);
  c.keep = Spread::kRowsKeys;
  CaseTensors t = make_tensors(c);
  AttentionParams resolved = t.params;
  resolved.softmax_scale = 0.125f;
  uint64_t bytes = 0;
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kSdpa, DeviceType::kNative))
    if (std::string(row.name) == kRow) bytes = row.workspace_bytes(t.args, resolved, num_threads());
  ASSERT_GT(bytes, 0u);
  const Tensor memory = Tensor::empty(DType::kI8, {static_cast<int64_t>(bytes)});
  ExecContext context;
  context.workspace = memory.view().data;
  context.workspace_bytes = bytes;
  context.allocator.allocate = [](void*, Device, uint64_t, uint64_t, void*) -> void* {
    return nullptr;
  };
  context.allocator.deallocate = [](void*, Device, void*, uint64_t, void*) {};
  t.reset_outputs();
  run(t, context);
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
  context.workspace_bytes = bytes - 1;
  EXPECT_THROW(run(t, context), Error);
}

}  // namespace
}  // namespace attend::testing
