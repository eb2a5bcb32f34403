// The table of kernels: its order, its built-in rows, its words, and that it may be read while it
// grows.
#include "attend/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>

#include "tests/dispatch/call.h"

namespace attend {
namespace {

using testing::MeanCall;
using testing::Thrown;
using testing::thrown;

constexpr DeviceType kDevices[] = {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm};
constexpr int kOps = static_cast<int>(OpId::kCount);

Status yes(const Device&) { return {}; }
Status takes(const AttentionArgs&, const AttentionParams&, const Device&) { return {}; }
Status refuses(const AttentionArgs& a, const AttentionParams&, const Device&) {
  return {ErrorCode::kUnsupported, "head_dim is {}, supported 3", a.q.dim(3)};
}
uint64_t nothing(const AttentionArgs&, const AttentionParams&, int32_t) { return 0; }
Status done(const AttentionArgs&, const AttentionParams&, const ExecContext&) { return {}; }

AttentionKernel row(const char* name, int32_t priority, bool accepts = true, OpId op = OpId::kFlash,
                    DeviceType device = DeviceType::kNative) {
  return {op, device, name, "a row", priority, yes, accepts ? takes : refuses, nothing, done};
}

std::vector<std::string> names(std::span<const AttentionKernel> rows) {
  std::vector<std::string> result;
  for (const AttentionKernel& r : rows) result.push_back(r.name);
  return result;
}

TEST(Registry, OrdersRowsByPriorityAndKeepsTheOrderOfEquals) {
  Registry registry;
  for (const auto& [name, priority] : {std::pair{"b", 5}, {"d", 1}, {"a", 9}, {"c", 5}})
    registry.add(row(name, priority));
  registry.add(row("of another operator", 50, true, OpId::kVanilla));
  registry.add(row("of another device", 50, true, OpId::kFlash, DeviceType::kCuda));
  EXPECT_EQ(names(registry.attention_kernels(OpId::kFlash, DeviceType::kNative)),
            (std::vector<std::string>{"a", "b", "c", "d"}));
}

TEST(Registry, AListHandedOutStaysAsItWas) {
  Registry registry;
  registry.add(row("a", 1));
  const auto before = registry.attention_kernels(OpId::kFlash, DeviceType::kNative);
  for (int i = 0; i < 100; ++i) registry.add(row("more", 100 + i));
  EXPECT_EQ(names(before), std::vector<std::string>{"a"});
  EXPECT_EQ(registry.attention_kernels(OpId::kFlash, DeviceType::kNative).size(), 101u);
}

TEST(Registry, SelectTakesTheFirstRowThatAccepts) {
  Registry registry;
  registry.add(row("flash/native/slow", 1));
  registry.add(row("flash/native/fast", 2));
  registry.add(row("flash/native/picky", 3, false));
  const MeanCall call;
  EXPECT_STREQ(registry.select(OpId::kFlash, call.args, call.params, {}).name, "flash/native/fast");
}

TEST(Registry, SelectRefusesWithEveryRowsReason) {
  Registry registry;
  registry.add(row("flash/native/one", 1, false));
  registry.add(row("flash/native/two", 2, false));
  const MeanCall call;
  const Thrown e = thrown([&] { registry.select(OpId::kFlash, call.args, call.params, Device{}); });
  EXPECT_EQ(e.code, ErrorCode::kUnsupported);
  EXPECT_EQ(e.what,
            "flash: no native kernel takes this call:\n"
            "  flash/native/two: head_dim is 8, supported 3\n"
            "  flash/native/one: head_dim is 8, supported 3");
}

TEST(Registry, SelectTellsAnOperatorThatHasNoRow) {
  const Registry registry;
  const MeanCall call;
  const Thrown e =
      thrown([&] { registry.select(OpId::kSplash, call.args, call.params, Device{}); });
  EXPECT_EQ(e.code, ErrorCode::kUnsupported);
  EXPECT_TRUE(e.says("splash: no native kernel")) << e.what;
}

TEST(Registry, ExplainListsEveryRowInOrderWithItsReason) {
  Registry registry;
  registry.add(row("flash/native/willing", 1));
  registry.add(row("flash/native/picky", 2, false));
  const MeanCall call;
  const auto answers = registry.explain(OpId::kFlash, call.args, call.params, {});
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_STREQ(answers[0].kernel, "flash/native/picky");
  EXPECT_FALSE(answers[0].status);
  EXPECT_EQ(to_string(answers[0].status), "head_dim is 8, supported 3");
  EXPECT_STREQ(answers[1].kernel, "flash/native/willing");
  EXPECT_TRUE(answers[1].status);
}

TEST(Registry, RefusesRowsThatItCouldNotHold) {
  Registry registry;
  AttentionKernel no_run = row("flash/native/x", 1);
  no_run.run = nullptr;
  AttentionKernel no_name = row(nullptr, 1);
  const AttentionKernel no_op = row("flash/native/x", 1, true, OpId::kCount);
  const AttentionKernel no_device =
      row("flash/native/x", 1, true, OpId::kFlash, static_cast<DeviceType>(7));
  const AttentionKernel of_other_args = row("gdn/native/x", 1, true, OpId::kGdn);
  for (const AttentionKernel& bad : {no_run, no_name, no_op, no_device, of_other_args})
    EXPECT_EQ(thrown([&] { registry.add(bad); }).code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(registry.attention_kernels(OpId::kFlash, DeviceType::kNative).empty());
  EXPECT_TRUE(registry.attention_kernels(OpId::kCount, DeviceType::kNative).empty());
  EXPECT_TRUE(registry.attention_kernels(OpId::kFlash, static_cast<DeviceType>(7)).empty());
}

// Rows are added while others select: every answer is a whole list in order, and what was there
// stays.
TEST(Registry, IsReadWhileItGrows) {
  Registry registry;
  registry.add(row("flash/native/first", 0));
  std::atomic<bool> stop{false};
  std::atomic<int> faults{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t)
    readers.emplace_back([&] {
      const MeanCall call;
      int32_t last = 0;
      while (!stop) {
        const int32_t got =
            registry.select(OpId::kFlash, call.args, call.params, Device{}).priority;
        const auto rows = registry.attention_kernels(OpId::kFlash, DeviceType::kNative);
        const bool sorted = std::is_sorted(
            rows.begin(), rows.end(), [](auto& a, auto& b) { return a.priority > b.priority; });
        if (got < last || !sorted || rows.back().priority != 0) ++faults;
        last = got;
      }
    });
  for (int i = 1; i <= 300; ++i) registry.add(row("flash/native/next", i));
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(registry.attention_kernels(OpId::kFlash, DeviceType::kNative).size(), 301u);
}

TEST(BuiltInRows, AreWhole) {
  std::set<std::string> seen;
  int count = 0;
  for (int op = 0; op < kOps; ++op)
    for (const DeviceType device : kDevices) {
      int32_t last = INT32_MAX;
      for (const AttentionKernel& r :
           Registry::global().attention_kernels(static_cast<OpId>(op), device)) {
        ++count;
        ASSERT_NE(r.name, nullptr);
        SCOPED_TRACE(r.name);
        const std::string prefix =
            std::string(name(static_cast<OpId>(op))) + "/" + name(device) + "/";
        EXPECT_TRUE(std::string(r.name).starts_with(prefix));
        EXPECT_GT(std::string(r.name).size(), prefix.size());
        EXPECT_TRUE(seen.insert(r.name).second) << "two rows have this name";
        EXPECT_EQ(static_cast<int>(r.op), op);
        EXPECT_EQ(r.device, device);
        EXPECT_TRUE(r.summary != nullptr && *r.summary != '\0');
        EXPECT_TRUE(r.available != nullptr && r.supports != nullptr &&
                    r.workspace_bytes != nullptr && r.run != nullptr);
        EXPECT_LE(r.priority, last);
        last = r.priority;
      }
    }
  EXPECT_GE(count, 2);
}

// What the house promises so far: vanilla and flash on native, and flash for every x86 level.
TEST(BuiltInRows, AreThoseOfThePromise) {
  const auto has = [](OpId op, const std::string& wanted) {
    const auto all = names(Registry::global().attention_kernels(op, DeviceType::kNative));
    return std::count(all.begin(), all.end(), wanted) == 1;
  };
  EXPECT_FALSE(Registry::global().attention_kernels(OpId::kVanilla, DeviceType::kNative).empty());
  EXPECT_TRUE(has(OpId::kFlash, "flash/native/portable"));
#if defined(__x86_64__)
  EXPECT_TRUE(has(OpId::kFlash, "flash/native/avx2"));
  EXPECT_TRUE(has(OpId::kFlash, "flash/native/avx512"));
#endif
  const auto backends = Registry::global().backends();
  ASSERT_FALSE(backends.empty());
  EXPECT_EQ(backends[0].name, "native");
  EXPECT_EQ(backends[0].device_count, 1);
  EXPECT_EQ(backends[0].status, "ok");
}

// Contract 5, first column.
TEST(Names, AreThoseOfTheContract) {
  const std::pair<const char*, OpId> known[] = {
      {"vanilla", OpId::kVanilla},
      {"flash", OpId::kFlash},
      {"flash_attn2", OpId::kFlash},
      {"paged", OpId::kPaged},
      {"paged_attention", OpId::kPaged},
      {"splash", OpId::kSplash},
      {"decode", OpId::kDecode},
      {"autoregressive_decode", OpId::kDecode},
      {"sdpa", OpId::kSdpa},
      {"cudnn", OpId::kSdpa},
      {"cuda_flash_attn2", OpId::kSdpa},
      {"ring", OpId::kRing},
      {"gdn", OpId::kGdn},
      {"gated_delta_net", OpId::kGdn},
      {"merge", OpId::kMerge},
      {"append", OpId::kAppend},
  };
  for (const auto& [word, op] : known) EXPECT_EQ(op_from_name(word), op) << word;
  for (int op = 0; op < kOps; ++op)
    EXPECT_EQ(static_cast<int>(op_from_name(name(static_cast<OpId>(op)))), op);
}

TEST(Names, UnknownOnesListTheKnown) {
  for (const char* word : {"flashy", "", "flas", "flash,", "cudnn,cuda_flash_attn2", "Flash"}) {
    const Thrown e = thrown([&] { op_from_name(word); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument) << word;
    EXPECT_TRUE(e.says("'" + std::string(word) + "'")) << e.what;
    for (const char* known :
         {"vanilla", "flash", "flash_attn2", "paged_attention", "splash", "autoregressive_decode",
          "cuda_flash_attn2", "ring", "gated_delta_net", "merge", "append"})
      EXPECT_TRUE(e.says(known)) << known << " is not in: " << e.what;
  }
}

TEST(Names, ErrorCodesAreTheContractsWords) {
  EXPECT_STREQ(name(ErrorCode::kInvalidArgument), "invalid_argument");
  EXPECT_STREQ(name(ErrorCode::kUnsupported), "unsupported");
  EXPECT_STREQ(name(ErrorCode::kBackendUnavailable), "backend_unavailable");
  EXPECT_STREQ(name(ErrorCode::kDeviceError), "device_error");
  EXPECT_STREQ(name(ErrorCode::kNoMetadata), "no_metadata");
  EXPECT_STREQ(name(ErrorCode::kOutOfRange), "out_of_range");
  EXPECT_STREQ(name(ErrorCode::kOutOfMemory), "out_of_memory");
}

TEST(StatusWords, TakeTheDetailOnceAndSurviveNoWords) {
  EXPECT_EQ(to_string(Status{ErrorCode::kDeviceError, "error {} of {}", -7}), "error -7 of {}");
  EXPECT_EQ(to_string(Status{ErrorCode::kDeviceError, "no number", 3}), "no number");
  // A plugin may hand out a null message; its words are missing, the program goes on.
  EXPECT_EQ(to_string(Status{ErrorCode::kDeviceError, nullptr, 3}), "device_error");
}

}  // namespace
}  // namespace attend
