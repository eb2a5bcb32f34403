// Contract 7 for gdn: the same bits for any thread count, any order of tasks, any batch around a
// sequence and any layout of memory; a sequence that is cut and resumed from its states is one pass
// within the rule, and bit for bit where it is cut between chunks.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "attend/parallel.h"
#include "tests/gdn/tensors.h"
#include "tests/support/element.h"

namespace attend::testing {
namespace {

using Body = void (*)(void* context, int64_t task, int32_t worker);

void in_reverse(void*, int64_t tasks, Body body, void* context) {
  for (int64_t task = tasks - 1; task >= 0; --task) body(context, task, 0);
}

void on_three_threads(void*, int64_t tasks, Body body, void* context) {
  std::vector<std::thread> threads;
  for (int32_t worker = 0; worker < 3; ++worker)
    threads.emplace_back([=] {
      for (int64_t task = worker; task < tasks; task += 3) body(context, task, worker);
    });
  for (std::thread& thread : threads) thread.join();
}

// Elements of a tensor from `first` on along one dimension.
TensorView slice(TensorView t, int dim, int64_t first, int64_t count) {
  if (!t) return t;
  const auto d = static_cast<size_t>(dim);
  t.data = static_cast<char*>(t.data) + first * t.stride[d] * size_bytes(t.dtype);
  t.shape[d] = count;
  return t;
}

template <class F>
void for_token_tensors(GdnArgs& a, F&& f) {
  for (TensorView* t :
       {&a.q, &a.k, &a.v, &a.mixed_qkv, &a.g, &a.alpha, &a.a, &a.beta, &a.b, &a.z, &a.out})
    if (*t) f(*t);
}

// Tokens [first, first + n) of every sequence of a dense call.
GdnArgs cut(GdnArgs a, int64_t first, int64_t n) {
  for_token_tensors(a, [&](TensorView& t) { t = slice(t, 1, first, n); });
  return a;
}

// Row-major values of a tensor as bytes, whatever its strides.
std::vector<double> values(const TensorView& t) {
  std::vector<double> all;
  for (int64_t n = 0; n < t.num_elements(); ++n) {
    int64_t rest = n, offset = 0;
    for (int d = t.rank - 1; d >= 0; --d) {
      offset += rest % t.dim(d) * t.step(d);
      rest /= t.dim(d);
    }
    all.push_back(load(t.dtype, static_cast<const char*>(t.data) + offset * size_bytes(t.dtype)));
  }
  return all;
}

GdnCase bare() {
  GdnCase c;
  c.seqlen = 40;
  c.chunk = 16;
  c.sizes = {2, 4, 20, 24};
  return c;
}
GdnCase uneven() {  // no multiple of what kernels take at once
  GdnCase c = bare();
  c.chunk = 20;
  return c;
}
GdnCase layer() {
  GdnCase c = bare();
  c.conv = GdnConv::kFourBias;
  c.conv_state = true;
  c.norm = GdnNorm::kF32Weight;
  c.decay = GdnDecay::kGates;
  c.gated_beta = true;
  return c;
}
GdnCase channels() {
  GdnCase c = bare();
  c.decay = GdnDecay::kChannelG;
  return c;
}
GdnCase half() {
  GdnCase c = layer();
  c.dtype = DType::kBF16;
  c.states = GdnStates::kApart;
  return c;
}

// Fewer heads than threads, which then share a head's value dims; one sequence is empty.
GdnCase few_heads() {
  GdnCase c = bare();
  c.batch = 2;
  c.sizes = {1, 1, 20, 80};
  c.layout = GdnLayout::kRaggedI32;
  c.states = GdnStates::kApart;
  c.conv = GdnConv::kFourBias;
  c.conv_state = true;
  return c;
}
GdnCase few_heads_of_steps() {
  GdnCase c = few_heads();
  c.decay = GdnDecay::kChannelG;
  c.slots = GdnSlots::kPadding;
  return c;
}

class GdnBits : public ::testing::TestWithParam<std::string> {
 protected:
  static bool on_native() { return GetParam().find("/native/") != std::string::npos; }
  std::vector<std::byte> run(GdnTensors& t, const ExecContext& context = {}) const {
    t.reset();
    run_gdn(GetParam(), t, context);
    return t.written_bytes();
  }
};
INSTANTIATE_TEST_SUITE_P(Rows, GdnBits, ::testing::ValuesIn(gdn_rows()), [](const auto& p) {
  std::string text = p.param;
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
});

TEST_P(GdnBits, AnyThreadsAnyOrderRunAfterRun) {
  const int32_t threads = num_threads();
  for (const GdnCase& c :
       {bare(), layer(), channels(), half(), few_heads(), few_heads_of_steps()}) {
    GdnTensors t(c);
    set_num_threads(1);
    const auto first = run(t);
    EXPECT_TRUE(run(t) == first) << name(c) << ": a second run";
    if (!on_native()) continue;  // threads are the device's own
    for (int32_t n : {2, 5}) {
      set_num_threads(n);
      EXPECT_TRUE(run(t) == first) << name(c) << ": " << n << " threads";
    }
    ExecContext context;
    context.parallel_for = {in_reverse, nullptr, 1};
    EXPECT_TRUE(run(t, context) == first) << name(c) << ": tasks in reverse";
    context.parallel_for = {on_three_threads, nullptr, 3};
    EXPECT_TRUE(run(t, context) == first) << name(c) << ": another program's threads";
  }
  set_num_threads(threads);
}

// The caller's workspace and its allocator serve as well as the library's own memory.
TEST_P(GdnBits, AnyScratch) {
  if (!on_native()) GTEST_SKIP() << "scratch of a device lies there; tests/kernels/scratch_test";
  GdnTensors t(layer());
  const auto first = run(t);
  const GdnKernel* row = nullptr;
  for (const GdnKernel& r : Registry::global().gdn_kernels(DeviceType::kNative))
    if (GetParam() == r.name) row = &r;
  ASSERT_NE(row, nullptr);
  ExecContext context;
  context.workspace_bytes = row->workspace_bytes(t.args, t.params, num_threads());
  Block workspace(context.workspace_bytes);
  std::memset(workspace.data(), 0xff, workspace.size());  // NaN in every word
  context.workspace = workspace.data();
  EXPECT_TRUE(run(t, context) == first);
  ExecContext none;
  none.allocator.allocate = [](void*, Device, uint64_t, uint64_t, void*) -> void* {
    return nullptr;
  };
  none.allocator.deallocate = [](void*, Device, void*, uint64_t, void*) {};
  t.reset();
  const auto before = t.written_bytes();
  EXPECT_THROW(run_gdn(GetParam(), t, none), Error);
  EXPECT_TRUE(t.written_bytes() == before) << "out of memory, and something was written";
}

TEST_P(GdnBits, AloneAsInABatch) {
  for (const GdnCase& c : {bare(), layer(), channels(), half()}) {
    GdnTensors t(c);
    const auto first = run(t);
    t.reset();
    for (int64_t b = c.batch - 1; b >= 0; --b) {
      GdnArgs one = t.args;
      for_token_tensors(one, [&](TensorView& x) { x = slice(x, 0, b, 1); });
      for (TensorView* x : {&one.state, &one.final_state, &one.conv_state}) *x = slice(*x, 0, b, 1);
      run_gdn(GetParam(), one, t.params);
    }
    EXPECT_TRUE(t.written_bytes() == first) << name(c);
  }
}

// A ragged batch with a longer and an empty neighbour gives what each sequence gives alone.
TEST_P(GdnBits, AloneAsInARaggedBatch) {
  GdnCase c = layer();
  c.layout = GdnLayout::kRaggedI32;
  GdnTensors t(c);
  const auto first = run(t);
  t.reset();
  int64_t row = 0;
  for (int64_t b = 0; b < c.batch; ++b) {
    const int64_t n = c.lengths()[static_cast<size_t>(b)];
    GdnArgs one = t.args;
    for_token_tensors(one, [&](TensorView& x) { x = slice(x, 0, row, n); });
    for (TensorView* x : {&one.state, &one.conv_state}) *x = slice(*x, 0, b, 1);
    int32_t cu[2] = {0, static_cast<int32_t>(n)};
    one.cu_seqlens = contiguous(cu, DType::kI32, {2});
    run_gdn(GetParam(), one, t.params);
    row += n;
  }
  EXPECT_TRUE(t.written_bytes() == first);
}

// Where elements lie decides nothing: the same values in other strides and other slots.
TEST_P(GdnBits, AnyLayoutOfMemory) {
  GdnTensors plain(layer());
  run(plain);
  for (Strides strides :
       {Strides::kHeadsFirst, Strides::kLastStep2, Strides::kNegative, Strides::kOddBase})
    for (GdnStateStrides state :
         {GdnStateStrides::kKeysFirst, GdnStateStrides::kNegative, GdnStateStrides::kLastStep2}) {
      GdnCase c = layer();
      c.strides = strides;
      c.state_strides = state;
      GdnTensors t(c);
      run(t);
      EXPECT_EQ(values(t.args.out), values(plain.args.out)) << name(c);
      EXPECT_EQ(values(t.args.state), values(plain.args.state)) << name(c);
      EXPECT_EQ(values(t.args.conv_state), values(plain.args.conv_state)) << name(c);
    }
}

TEST_P(GdnBits, ResumedAtEveryCut) {
  for (const GdnCase& c : {bare(), uneven(), layer(), channels()}) {
    GdnTensors t(c);
    const GdnGold gold = t.gold();
    const auto first = run(t);
    for (int64_t at = 0; at <= c.seqlen; ++at) {
      t.reset();
      run_gdn(GetParam(), cut(t.args, 0, at), t.params);
      run_gdn(GetParam(), cut(t.args, at, c.seqlen - at), t.params);
      EXPECT_LE(relative_rms(t.args.out, gold.out), 1e-5) << name(c) << " cut at " << at;
      EXPECT_LE(relative_rms(t.args.state, gold.state), 1e-5) << name(c) << " cut at " << at;
      const bool between_chunks = at % c.chunk == 0 || c.decay == GdnDecay::kChannelG;
      if (between_chunks) {
        EXPECT_TRUE(t.written_bytes() == first) << name(c) << " cut at " << at;
      }
    }
  }
}

// Decode: token by token is one pass with chunks of one token, bit for bit, and any other pass
// within the rule.
TEST_P(GdnBits, TokenByToken) {
  for (GdnCase c : {bare(), layer(), channels()}) {
    GdnTensors steps(c);
    for (int64_t i = 0; i < c.seqlen; ++i) run_gdn(GetParam(), cut(steps.args, i, 1), steps.params);
    c.chunk = 1;
    GdnTensors whole(c);
    const GdnGold gold = whole.gold();
    run_gdn(GetParam(), whole);
    EXPECT_TRUE(whole.written_bytes() == steps.written_bytes()) << name(c);
    EXPECT_LE(relative_rms(steps.args.out, gold.out), 1e-5) << name(c);
    EXPECT_LE(relative_rms(steps.args.state, gold.state), 1e-5) << name(c);
  }
}

// A few tokens at once (drafts under verification) are as the same tokens one by one.
TEST_P(GdnBits, AFewTokensAreSteps) {
  for (int64_t n : {2, 5, 8}) {
    GdnCase c = layer();
    c.seqlen = n;
    c.chunk = 64;
    GdnTensors steps(c), whole(c);
    for (int64_t i = 0; i < n; ++i) run_gdn(GetParam(), cut(steps.args, i, 1), steps.params);
    run_gdn(GetParam(), whole);
    EXPECT_TRUE(whole.written_bytes() == steps.written_bytes()) << n << " tokens";
  }
}

}  // namespace
}  // namespace attend::testing
