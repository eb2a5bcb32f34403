// The overlap check decides by bounds, by lanes and, where both leave a doubt, element by element.
// Here small random views are held to the definition: two elements at one address.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "attend/operator.h"

namespace attend {
namespace {

class RandomViews {
 public:
  TensorView view(const std::vector<int64_t>& shape) {
    static constexpr int64_t kPacked[] = {12, 24, 48, 6, 36, -12, -24, 4, 2, 1};  // steps of slices
    TensorView t = contiguous(memory_.data() + 1024 + pick(-60, 60), DType::kF32, shape);
    for (size_t i = 0; i < shape.size(); ++i) {
      const int64_t kind = pick(0, 5);
      t.stride[i] = kind == 0 ? pick(-3, 3) : kind == 1 ? pick(1, 40) : kPacked[pick(0, 9)];
    }
    return t;
  }
  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

 private:
  std::vector<float> memory_ = std::vector<float>(2048);
  std::mt19937 random_{7};
};

// Addresses of t's elements; twice = some address occurs more than once.
std::set<const float*> addresses(const TensorView& t, bool& twice) {
  std::set<const float*> all;
  twice = false;
  for (int64_t a = 0; a < t.dim(0); ++a)
    for (int64_t b = 0; b < t.dim(1); ++b)
      for (int64_t c = 0; c < t.dim(2); ++c)
        for (int64_t d = 0; d < t.dim(3); ++d)
          twice |= !all.insert(static_cast<const float*>(t.data) + a * t.step(0) + b * t.step(1) +
                               c * t.step(2) + d * t.step(3))
                        .second;
  return all;
}

TEST(Overlap, AgreesWithTheDefinitionOnRandomViews) {
  RandomViews views;
  std::vector<float> keys(64);
  int refused = 0, taken = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::vector<int64_t> shape = {views.pick(1, 2), views.pick(1, 4), views.pick(1, 3),
                                        views.pick(1, 4)};
    AttentionArgs args;
    args.q = views.view(shape);
    args.out = views.view(shape);
    args.k = args.v = contiguous(keys.data(), DType::kF32, {shape[0], 1, 1, shape[3]});
    bool out_twice = false, q_twice = false;
    const auto out = addresses(args.out, out_twice), q = addresses(args.q, q_twice);
    bool shared = false;
    for (const float* at : out) shared |= q.count(at) > 0;

    const Support support = FlashAttention().supports(args, {}, {});
    ASSERT_EQ(!support, out_twice || shared)
        << "view " << i << ": " << support.message << (out_twice ? " (out meets itself)" : "");
    if (!support) {
      EXPECT_EQ(support.code, ErrorCode::kInvalidArgument);
      EXPECT_NE(
          support.message.find(out_twice ? "two elements at one address" : "memory overlaps q"),
          std::string::npos)
          << support.message;
    }
    ++(support ? taken : refused);
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(taken, 1000);
}

// Slices of one packed projection [batch, seqlen, 3 + 1, heads, dim]: nothing is shared.
TEST(Overlap, TakesSlicesOfOneBuffer) {
  const int64_t batch = 2, seqlen = 5, heads = 3, dim = 8;
  std::vector<float> packed(batch * seqlen * 4 * heads * dim, 0.5f);
  const auto slice = [&](int64_t n) {
    TensorView t =
        contiguous(packed.data() + n * heads * dim, DType::kF32, {batch, seqlen, heads, dim});
    t.stride = {seqlen * 4 * heads * dim, 4 * heads * dim, dim, 1};
    return t;
  };
  AttentionArgs args;
  args.q = slice(0);
  args.k = slice(1);
  args.v = slice(2);
  args.out = slice(3);
  EXPECT_EQ(FlashAttention().supports(args, {}, {}).message, "");
  args.out = slice(2);
  EXPECT_NE(FlashAttention().supports(args, {}, {}).message.find("memory overlaps v"),
            std::string::npos);
}

}  // namespace
}  // namespace attend
