// sdpa/native/onednn by the rule of contract 8 over a grid of its own; its graphs; its threads.
// Where this build has oneDNN the row must run: nothing here skips then.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

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

// The shapes: one row, odd sizes, grouped heads, several blocks of rows and steps of keys, both
// sides of the square, dimensions that no vector divides.
std::vector<AttentionCase> shapes() {
  std::vector<AttentionCase> list = {
      shape(1, 1, 1, 1, 1, 64),      shape(2, 1, 77, 4, 2, 64),   shape(1, 5, 3, 2, 2, 32),
      shape(2, 64, 64, 4, 4, 64),    shape(1, 65, 63, 6, 2, 80),  shape(1, 128, 256, 3, 3, 128),
      shape(1, 300, 300, 2, 1, 64),  shape(1, 31, 700, 8, 1, 40), shape(1, 520, 513, 2, 2, 256),
      shape(2, 17, 45, 4, 4, 7),     shape(3, 33, 96, 4, 2, 1),   shape(1, 600, 1100, 2, 2, 64),
  };
  list.back().v_dim = 96;
  list[3].v_dim = 24;
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

// The rule is judged with NaN in everything that the contract hides.
TEST_F(OneDnnRow, KeepsTheRuleOfTheContract) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    std::set<std::string> taken;
    for (AttentionCase c : shapes()) {
      for (const Words& words : kWords) {
        AttentionCase worded = c;
        worded.dtype = dtype;
        words.set(worded);
        CaseTensors t = make_tensors(worded);
        t.reset_outputs();
        RunResult result;
        try {
          result = run(t);
        } catch (const Error& e) {
          ADD_FAILURE() << name(worded) << ": " << e.what();
          continue;
        }
        EXPECT_STREQ(result.kernel, kRow);
        EXPECT_EQ(t.damaged_guard(), "") << name(worded);
        const auto verdicts = judge(t.args, t.params, {.max_rows = 200});
        EXPECT_TRUE(all_ok(verdicts)) << name(worded) << "\n" << to_string(verdicts);
        taken.insert(name(worded) + words.name);
      }
    }
    EXPECT_EQ(taken.size(), shapes().size() * std::size(kWords)) << attend::name(dtype);
  }
}

}  // namespace
}  // namespace attend::testing
