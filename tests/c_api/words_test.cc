// The table of words: every field of the structs has its word, of the right kind, and a word sets
// its own field alone.
#include "ops/words.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <new>
#include <set>
#include <type_traits>

#include "ops/checks.h"
#include "ops/gdn/checks.h"
#include "ops/merge/tensors.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

template <class ArgsType, class ParamsType>
struct Structs {
  using Args = ArgsType;
  using Params = ParamsType;
};
template <class T>
class Words : public ::testing::Test {};
using AllStructs = ::testing::Types<Structs<AttentionArgs, AttentionParams>,
                                    Structs<GdnArgs, GdnParams>, Structs<MergeArgs, MergeParams>>;
TYPED_TEST_SUITE(Words, AllStructs);

// A value of the word's kind that no field has by default.
WordValue unusual(WordKind kind, const char* values) {
  switch (kind) {
    case WordKind::kTensor: {
      static float memory[4];
      return contiguous(memory, DType::kBF16, {2, 2});
    }
    case WordKind::kBool: return true;
    case WordKind::kInt:
    case WordKind::kBits: return int64_t{77};
    case WordKind::kFloat: return 0.625;
    case WordKind::kEnum: {
      const std::string_view list = values;  // no field has the second or the last by default alike
      return list.substr(list.find(',') + 1,
                         list.find(',', list.find(',') + 1) - list.find(',') - 1);
    }
    case WordKind::kCallback: return InitBias{[](void*) { return TensorView{}; }, nullptr};
    case WordKind::kTransport: return reinterpret_cast<RingTransport*>(std::uintptr_t{64});
  }
  return {};
}

template <class T>
std::vector<unsigned char> bytes_of(const T& value) {
  std::vector<unsigned char> bytes(sizeof value);
  std::memcpy(bytes.data(), static_cast<const void*>(&value), sizeof value);
  return bytes;
}

// Args and params copied byte by byte from one pair, so that padding compares equal too.
template <class S>
struct Fresh {
  using Args = typename S::Args;
  using Params = typename S::Params;
  static_assert(std::is_trivially_copyable_v<Args> && std::is_trivially_copyable_v<Params>);
  alignas(Args) unsigned char args_memory[sizeof(Args)];
  alignas(Params) unsigned char params_memory[sizeof(Params)];
  Args& args = copy_of<Args>(args_memory);
  Params& params = copy_of<Params>(params_memory);

  template <class T>
  static T& copy_of(unsigned char* memory) {
    static const T kDefault{};
    std::memcpy(memory, static_cast<const void*>(&kDefault), sizeof(T));
    return *std::launder(reinterpret_cast<T*>(memory));
  }
};

TYPED_TEST(Words, AreNamedOnce) {
  std::set<std::string> names;
  for (const auto& w : words<typename TypeParam::Args, typename TypeParam::Params>())
    EXPECT_TRUE(names.insert(w.name).second) << w.name;
}

TYPED_TEST(Words, CoverEveryTensorOfTheChecks) {
  Fresh<TypeParam> call;
  std::map<std::string, const TensorView*> of_table, of_checks;
  for (const auto& w : words<typename TypeParam::Args, typename TypeParam::Params>()) {
    EXPECT_EQ(w.tensor != nullptr, w.kind == WordKind::kTensor) << w.name;
    if (w.tensor != nullptr) of_table[w.name] = &w.tensor(call.args, call.params);
  }
  for_each_tensor(call.args, call.params,
                  [&](const char* name, const TensorView& t, Role) { of_checks[name] = &t; });
  EXPECT_EQ(of_table, of_checks);
}

TYPED_TEST(Words, OutputsAreThoseOfTheChecks) {
  Fresh<TypeParam> call;
  std::map<std::string, Role> roles;
  for_each_tensor(call.args, call.params,
                  [&](const char* name, const TensorView&, Role role) { roles[name] = role; });
  for (const auto& w : words<typename TypeParam::Args, typename TypeParam::Params>()) {
    if (w.tensor == nullptr || std::string(w.name) == "state" ||
        std::string(w.name) == "conv_state")  // both read and written
      continue;
    EXPECT_EQ(w.output, roles.at(w.name) == Role::kOutput) << w.name;
  }
}

// Together the words change every field: what is left as it was belongs to no word.
TYPED_TEST(Words, SetTheirOwnFieldAndGiveItBack) {
  using Args = typename TypeParam::Args;
  using Params = typename TypeParam::Params;
  std::set<size_t> changed_by_earlier;
  for (const auto& w : words<Args, Params>()) {
    SCOPED_TRACE(w.name);
    Fresh<TypeParam> call, plain;
    WordValue value = unusual(w.kind, w.values);
    if (w.kind == WordKind::kBool) {  // the other of what it is
      w.set("test", call.args, call.params, true);
      if (bytes_of(call.params) == bytes_of(plain.params)) value = false;
    }
    w.set("test", call.args, call.params, value);
    const auto args = bytes_of(call.args), params = bytes_of(call.params);
    const auto args_before = bytes_of(plain.args), params_before = bytes_of(plain.params);
    size_t changed = 0;
    const auto compare = [&](const auto& a, const auto& b, size_t base) {
      for (size_t n = 0; n < a.size(); ++n)
        if (a[n] != b[n]) {
          ++changed;
          EXPECT_TRUE(changed_by_earlier.insert(base + n).second) << "byte " << base + n;
        }
    };
    compare(args, args_before, 0);
    if (!std::is_empty_v<Params>) compare(params, params_before, sizeof(Args));
    EXPECT_GT(changed, 0u);
    w.set("test", call.args, call.params, std::monostate{});
    if (w.tensor != nullptr) {
      EXPECT_FALSE(w.tensor(call.args, call.params));
    }
  }
}

// Fields of the params, counted by the compiler: a new one does not compile here until it has its
// word.
TEST(Words, CoverEveryScalar) {
  const auto scalars = [](auto list) {
    size_t n = 0;
    for (const auto& w : list) n += w.kind != WordKind::kTensor;
    return n;
  };
  const MaskSpec mask;
  [[maybe_unused]] const auto& [m1, m2, m3, m4, m5, t1, t2, t3, t4, t5, t6, t7, t8, t9, m6, m7] =
      mask;
  const SeqLayout seq;
  [[maybe_unused]] const auto& [s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, x1, x2] = seq;
  const AttentionParams params;
  [[maybe_unused]] const auto& [p1, p2, p_mask, u1, u2, u3, p3, p4, p5, p6, p7, p8, p9, p10, p11,
                                p12] = params;
  EXPECT_EQ((scalars(words<AttentionArgs, AttentionParams>())), 7u + 2u + 12u);
  const GdnParams gdn;
  [[maybe_unused]] const auto& [g1, g2, g3, g4, g5, g6, g7, g8, g9] = gdn;
  EXPECT_EQ((scalars(words<GdnArgs, GdnParams>())), 9u);
  EXPECT_EQ((scalars(words<MergeArgs, MergeParams>())), 0u);
}

std::string said(const char* name, const WordValue& value) {
  AttentionArgs args;
  AttentionParams params;
  const Thrown e = thrown(
      [&] { word<AttentionArgs, AttentionParams>("here", name).set("here", args, params, value); });
  EXPECT_EQ(e.code, e.what.empty() ? ErrorCode::kOk : ErrorCode::kInvalidArgument);
  return e.what;
}

TEST(Words, RefuseOtherKinds) {
  EXPECT_EQ(said("softcap", int64_t{3}), "here: softcap is an int, expected a float");
  EXPECT_EQ(said("causal", int64_t{1}), "here: causal is an int, expected a bool");
  EXPECT_EQ(said("window_left", 1.5), "here: window_left is a float, expected an int");
  EXPECT_EQ(said("dropout_seed", true), "here: dropout_seed is a bool, expected an int");
  EXPECT_EQ(said("q", true), "here: q is a bool, expected a tensor");
  EXPECT_EQ(said("causal", TensorView{}), "here: causal is a tensor, expected a bool");
  EXPECT_EQ(said("init_bias", TensorView{}), "here: init_bias is a tensor, expected a callback");
  EXPECT_EQ(said("ring_transport", std::string_view("mpi")),
            "here: ring_transport is a string, expected a transport");
  EXPECT_EQ(said("diagonal", int64_t{0}),
            "here: diagonal is an int, expected a string, one of "
            "bottom_right,top_left,operator_default");
}

TEST(Words, RefuseWhatTheFieldCannotHold) {
  EXPECT_EQ(said("diagonal", std::string_view("upside_down")),
            "here: diagonal is 'upside_down', expected one of "
            "bottom_right,top_left,operator_default");
  EXPECT_EQ(said("diagonal", std::string_view("")),
            "here: diagonal is '', expected one of bottom_right,top_left,operator_default");
  EXPECT_EQ(said("window_left", int64_t{1} << 31),
            "here: window_left is 2147483648, expected an integer of 32 bits");
  EXPECT_EQ(said("max_seqlen_q", int64_t{1} << 31), "");
  EXPECT_EQ(said("softcap", 1e300),
            "here: softcap is beyond what f32 holds, expected at most 3.4e38");
  EXPECT_EQ(said("softcap", INFINITY), "");  // the operator's own check refuses it
  EXPECT_EQ(said("dropout_seed", int64_t{-1}), "");
}

TEST(Words, UnknownOnesAreAnsweredWithThoseThereAre) {
  const Thrown e = thrown([] { word<MergeArgs, MergeParams>("here", "out_c"); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(e.what, "here: word is 'out_c', expected one of out_a, lse_a, out_b, lse_b, out, lse");
}

TEST(Words, EnumsTakeEveryNameInOrder) {
  AttentionArgs args;
  AttentionParams params;
  const auto set = [&](const char* name, const char* value) {
    word<AttentionArgs, AttentionParams>("", name).set("", args, params, std::string_view(value));
  };
  set("diagonal", "top_left");
  EXPECT_EQ(params.mask.diagonal, Diagonal::kTopLeft);
  set("diagonal", "bottom_right");
  EXPECT_EQ(params.mask.diagonal, Diagonal::kBottomRight);
  set("diagonal", "operator_default");
  EXPECT_EQ(params.mask.diagonal, Diagonal::kOperatorDefault);
  set("mask_with_bias", "both");
  EXPECT_EQ(params.mask_with_bias, MaskWithBias::kBoth);
  set("mask_with_bias", "bias_only");
  EXPECT_EQ(params.mask_with_bias, MaskWithBias::kBiasOnly);
  set("mask_with_bias", "unset");
  EXPECT_EQ(params.mask_with_bias, MaskWithBias::kUnset);
  set("scores_stage", "scaled");
  EXPECT_EQ(params.scores_stage, ScoresStage::kScaled);
  set("scores_stage", "capped");
  EXPECT_EQ(params.scores_stage, ScoresStage::kCapped);
  set("scores_stage", "masked");
  EXPECT_EQ(params.scores_stage, ScoresStage::kMasked);
  set("ring_placement", "zigzag");
  EXPECT_EQ(params.ring_placement, RingPlacement::kZigzag);
  set("ring_placement", "contiguous");
  EXPECT_EQ(params.ring_placement, RingPlacement::kContiguous);
}

}  // namespace
}  // namespace attend::testing
