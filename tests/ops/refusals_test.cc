// One test for each refusal of ops/: its code, its whole text, and that not a byte of any output is
// written. The tables are in *_refusals.cc.
#include <gtest/gtest.h>

#include "ops/words.h"
#include "tests/ops/refusal.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"

namespace attend::testing {
namespace {

constexpr OpId kAttention[] = {OpId::kVanilla, OpId::kFlash, OpId::kPaged, OpId::kSplash,
                               OpId::kDecode,  OpId::kSdpa,  OpId::kRing};

struct OpRefusal {
  OpId op;
  const Refusal* refusal;
};

void PrintTo(const OpRefusal& p, std::ostream* stream) {
  *stream << name(p.op) << " " << p.refusal->name;
}

std::vector<OpRefusal> refusals_of_each_operator() {
  std::vector<OpRefusal> list;
  for (const auto& table :
       {word_refusals(), tensor_refusals(), mask_refusals(), index_refusals(), cache_refusals()})
    for (const Refusal& r : table)
      for (OpId op : kAttention)
        if (r.ops >> static_cast<int>(op) & 1u) list.push_back({op, &r});
  return list;
}

class Refused : public ::testing::TestWithParam<OpRefusal> {};

// Runs call; the error's code and text.
template <class F>
void expect_error(ErrorCode code, const std::string& text, F&& call) {
  try {
    call();
    ADD_FAILURE() << "ran, expected: " << text;
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), std::string(name(code)));
    EXPECT_EQ(e.what(), text);
  }
}

// Only debug builds of the library look for duplicate slots on a device.
bool looked_for_on_devices(const std::string& text) {
#ifdef NDEBUG
  return text.find("a slot of its own") == std::string::npos;
#else
  return true;
#endif
}

// The same call with its tensors on a device. What shapes and words say is refused in the same
// words, before anything is launched; what index tensors hold is found there, and check() says it.
void expect_refused_on(DeviceType device, const OpRefusal& p, const RefusedCall& call,
                       std::string text) {
  const Device there{device, 0};
  if (device == DeviceType::kNative || text.find(to_string(there)) != std::string::npos) return;
  AttentionArgs args = call.args;
  AttentionParams params = call.params;
  for (const auto& word : words<AttentionArgs, AttentionParams>())
    if (word.tensor != nullptr)
      if (TensorView& view = word.tensor(args, params); view.device == Device{})
        view.device = there;
  const bool of_contents = p.refusal->of_contents || p.refusal->code == ErrorCode::kOutOfRange;
  const Support support = attention_op(p.op).supports(args, params, there);
  if (of_contents && support) {
    if (!looked_for_on_devices(text)) return;
    const bool own_words = p.refusal->on_device != nullptr;
    if (own_words) text = std::string(": ") + p.refusal->on_device;
    text.replace(0, text.find(": "), "ExecContext::check");
    text += "; the request that holds it was skipped";
    expect_error(own_words ? ErrorCode::kOutOfRange : p.refusal->code, text, [&] {
      forward_there(attention_op(p.op), device, call.args, call.params, call.context);
    });
    return;
  }
  if (const size_t at = text.find("native:0"); at != std::string::npos)
    text.replace(at, 8, to_string(there));
  EXPECT_EQ(name(support.code), std::string(name(p.refusal->code))) << to_string(there);
  EXPECT_EQ(support.message, text);
}

TEST_P(Refused, InWordsAndNothingWritten) {
  const auto& [op, refusal] = GetParam();
  RefusedCall call(op, refusal->ragged);
  refusal->spoil(call);
  std::string text = std::string(name(op)) + ": " + refusal->text;
  if (const size_t at = text.find('%'); at != std::string::npos) text.replace(at, 1, name(op));
  expect_error(refusal->code, text,
               [&, op = op] { attention_op(op).forward(call.args, call.params, call.context); });
  EXPECT_TRUE(call.outputs_untouched());
  if (call.context.parallel_for.run || call.context.allocator.deallocate)
    return;  // not for supports()
  // supports() says the same without throwing.
  const Support support = attention_op(op).supports(call.args, call.params, Device{});
  EXPECT_EQ(support.code, refusal->code);
  EXPECT_EQ(support.message, text);
  for (DeviceType device : test_devices()) expect_refused_on(device, GetParam(), call, text);
}

INSTANTIATE_TEST_SUITE_P(Ops, Refused, ::testing::ValuesIn(refusals_of_each_operator()),
                         [](const auto& p) {
                           return std::string(name(p.param.op)) + "_" + p.param.refusal->name;
                         });

// The call that is spoilt above is itself legal, or the tests above would prove nothing.
TEST(Refusals, TheUnspoiltCallRuns) {
  for (OpId op : kAttention) {
    for (bool ragged : {false, true}) {
      if (ragged && op == OpId::kDecode) continue;
      RefusedCall call(op, ragged);
      attention_op(op).forward(call.args, call.params);
      for (double x : call.out.all()) ASSERT_NEAR(x, 0.5, 1e-6);
    }
  }
}

// The doors of other devices are in dispatch/doors_test.
TEST(Refusals, TheWrongDoor) {
  RefusedCall call(OpId::kFlash);
  const FlashAttention flash;
  call.args.q.device = {DeviceType::kRocm, 0};
  expect_error(
      ErrorCode::kInvalidArgument,
      "forward_native: q is on rocm, expected native; move the tensors there or call forward",
      [&] { flash.forward_native(call.args, call.params); });
  EXPECT_TRUE(call.outputs_untouched());
}

TEST(Refusals, AnUnknownKernelNamesTheKnownOnes) {
  RefusedCall call(OpId::kFlash);
  try {
    FlashAttention().run_kernel("flash/native/none", call.args, call.params);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    const std::string text = e.what();
    EXPECT_EQ(text.rfind("flash: kernel is 'flash/native/none', expected one of ", 0), 0u) << text;
    EXPECT_NE(text.find("flash/native/portable"), std::string::npos) << text;
  }
  EXPECT_TRUE(call.outputs_untouched());
}

}  // namespace
}  // namespace attend::testing
