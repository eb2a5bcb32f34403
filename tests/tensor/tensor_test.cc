#include "attend/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "tests/dispatch/call.h"

// A size that no machine has is asked for below; the sanitizers' allocators are to answer with null, as malloc does.
extern "C" ATTEND_API const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" ATTEND_API const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace attend {
namespace {

using testing::Thrown;
using testing::thrown;

constexpr int64_t kHuge = int64_t{1} << 40;

TEST(Names, OfElementTypesAndDevices) {
  const std::tuple<DType, const char*, int64_t> types[] = {
      {DType::kF32, "f32", 4},        {DType::kF16, "f16", 2},        {DType::kBF16, "bf16", 2},
      {DType::kF8E4M3, "f8_e4m3", 1}, {DType::kF8E5M2, "f8_e5m2", 1}, {DType::kI8, "i8", 1},
      {DType::kI32, "i32", 4},        {DType::kI64, "i64", 8},        {DType::kBool, "bool", 1}};
  for (const auto& [dtype, word, bytes] : types) {
    EXPECT_STREQ(name(dtype), word);
    EXPECT_EQ(size_bytes(dtype), bytes);
  }
  EXPECT_EQ(to_string(Device{}), "native:0");
  EXPECT_EQ(to_string(Device{DeviceType::kCuda, 3}), "cuda:3");
  EXPECT_EQ(to_string(Device{DeviceType::kRocm, 1}), "rocm:1");
}

TEST(Contiguous, IsRowMajor) {
  float data[24];
  const TensorView t = contiguous(data, DType::kF32, {2, 3, 4}, {DeviceType::kCuda, 1});
  EXPECT_EQ(t.data, data);
  EXPECT_EQ(t.rank, 3);
  const int64_t shape[3] = {2, 3, 4}, stride[3] = {12, 4, 1};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(t.dim(i), shape[i]);
    EXPECT_EQ(t.step(i), stride[i]);
    EXPECT_EQ(t.dim(i - 3), shape[i]);  // negative counts from the back
    EXPECT_EQ(t.step(i - 3), stride[i]);
  }
  EXPECT_EQ(t.num_elements(), 24);
  EXPECT_EQ(to_string(t), "f32[2, 3, 4] on cuda:1");
  EXPECT_EQ(to_string(contiguous(data, DType::kBF16, {})), "bf16[] on native:0");
  EXPECT_EQ(contiguous(data, DType::kF32, {}).num_elements(), 1);
  EXPECT_EQ(contiguous(nullptr, DType::kF32, {2, 0, 4}).num_elements(), 0);
}

TEST(Contiguous, RefusesShapesThatAreNone) {
  const std::vector<int64_t> rank_6(6, 1), rank_5(5, 1);
  const Thrown rank = thrown([&] { contiguous(nullptr, DType::kF32, rank_6); });
  EXPECT_EQ(rank.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(rank.says("rank is 6, expected at most 5")) << rank.what;
  EXPECT_EQ(contiguous(nullptr, DType::kF32, rank_5).rank, kMaxRank);
  const Thrown negative = thrown([] { contiguous(nullptr, DType::kF32, {2, -3}); });
  EXPECT_EQ(negative.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(negative.says("dim 1 is -3, expected 0 or more")) << negative.what;
  for (const auto& shape : {std::vector<int64_t>{kHuge, kHuge},
                            {std::numeric_limits<int64_t>::max(), 2},
                            {2, std::numeric_limits<int64_t>::max()}}) {
    const Thrown e = thrown([&] { contiguous(nullptr, DType::kF32, shape); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(e.says("64 bits")) << e.what;
  }
}

TEST(Transposed, ExchangesTwoDimensionsOfTheSameMemory) {
  float data[24];
  const TensorView t = contiguous(data, DType::kF32, {2, 3, 4});
  const TensorView x = transposed(t, 1, -1);
  EXPECT_EQ(x.data, data);
  EXPECT_EQ(x.shape[1], 4);
  EXPECT_EQ(x.stride[1], 1);
  EXPECT_EQ(x.shape[2], 3);
  EXPECT_EQ(x.stride[2], 4);
  EXPECT_EQ(x.shape[0], 2);
  EXPECT_EQ(transposed(x, 2, 1).stride, t.stride);
  for (const int bad : {3, -4}) {
    const Thrown e = thrown([&] { transposed(t, 0, bad); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(e.says("is " + std::to_string(bad))) << e.what;
  }
}

TEST(TensorEmpty, HasAlignedMemoryThatCanBeWritten) {
  for (const DType dtype : {DType::kI8, DType::kF16, DType::kF32, DType::kI64}) {
    const Tensor t = Tensor::empty(dtype, {3, 7});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.view().data) % 64, 0u);
    EXPECT_EQ(t.view().step(0), 7);
    std::memset(t.view().data, 0x5a, static_cast<size_t>(21 * size_bytes(dtype)));
  }
  const Tensor none = Tensor::empty(DType::kF32, {0, 4});
  EXPECT_TRUE(none.view());
  EXPECT_EQ(none.view().num_elements(), 0);
  EXPECT_FALSE(Tensor().view());
}

TEST(TensorEmpty, RefusesSizesThatCannotBe) {
  // 2^62 elements can be counted, their bytes cannot.
  const Thrown bytes = thrown([] {
    Tensor::empty(DType::kI64, {int64_t{1} << 31, int64_t{1} << 31});
  });
  EXPECT_EQ(bytes.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(bytes.says("64 bits")) << bytes.what;
  EXPECT_EQ(thrown([] {
              Tensor::empty(DType::kI8, {kHuge, kHuge});
            }).code,
            ErrorCode::kInvalidArgument);
  // A size that can be counted and not be had, with the number of bytes.
  const Thrown memory = thrown([] { Tensor::empty(DType::kF32, {int64_t{1} << 59}); });
  EXPECT_EQ(memory.code, ErrorCode::kOutOfMemory);
  EXPECT_TRUE(memory.says(std::to_string(int64_t{1} << 61))) << memory.what;
}

struct Counter {
  int deleted = 0;
};
void count_delete(void* context) { ++static_cast<Counter*>(context)->deleted; }

TEST(TensorAdopt, DeletesOnceWhateverMoves) {
  static_assert(!std::is_copy_constructible_v<Tensor> && !std::is_copy_assignable_v<Tensor>);
  static_assert(std::is_nothrow_move_constructible_v<Tensor> &&
                std::is_nothrow_move_assignable_v<Tensor>);
  float data[4] = {1, 2, 3, 4};
  Counter first, second;
  {
    Tensor a = Tensor::adopt(contiguous(data, DType::kF32, {4}), &first, count_delete);
    EXPECT_EQ(a.data<float>(), data);
    Tensor b = std::move(a);
    EXPECT_FALSE(a.view());  // NOLINT: what is left of a moved tensor is empty
    EXPECT_EQ(b.data<float>()[2], 3.0f);
    Tensor c = Tensor::adopt(contiguous(data, DType::kF32, {2}), &second, count_delete);
    EXPECT_EQ(first.deleted, 0);
    c = std::move(b);
    EXPECT_EQ(second.deleted, 1);  // what c had is gone, what it took lives
    EXPECT_EQ(first.deleted, 0);
    Tensor& self = c;
    c = std::move(self);
    EXPECT_EQ(first.deleted, 0);
    EXPECT_EQ(c.view().dim(0), 4);
  }
  EXPECT_EQ(first.deleted, 1);
  EXPECT_EQ(second.deleted, 1);
}

TEST(TensorTo, CopiesAnyStrideToRowMajor) {
  int32_t data[12];
  for (int i = 0; i < 12; ++i) data[i] = i;
  const auto copy = [](const TensorView& view) {
    Tensor t = Tensor::adopt(view, nullptr, nullptr).to(Device{});
    EXPECT_EQ(t.view().stride[static_cast<size_t>(t.view().rank - 1)], 1);
    return std::vector<int32_t>(t.data<int32_t>(), t.data<int32_t>() + t.view().num_elements());
  };
  EXPECT_EQ(copy(transposed(contiguous(data, DType::kI32, {2, 3}), 0, 1)),
            (std::vector<int32_t>{0, 3, 1, 4, 2, 5}));
  TensorView view = contiguous(data + 11, DType::kI32, {4});
  view.stride[0] = -3;
  EXPECT_EQ(copy(view), (std::vector<int32_t>{11, 8, 5, 2}));
  view = contiguous(data + 5, DType::kI32, {2, 3});
  view.stride = {1, 0};
  EXPECT_EQ(copy(view), (std::vector<int32_t>{5, 5, 5, 6, 6, 6}));
  Tensor source = Tensor::adopt(contiguous(data, DType::kI32, {12}), nullptr, nullptr);
  const Tensor apart = source.to(Device{});
  data[0] = 99;
  EXPECT_EQ(apart.data<int32_t>()[0], 0);
}

TEST(TensorTo, RefusesSizesThatCannotBe) {
  float data[4];
  TensorView view = contiguous(data, DType::kF32, {4, 1});
  view.shape = {kHuge, kHuge};
  view.stride = {0, 0};  // one element, seen too often
  const Tensor t = Tensor::adopt(view, nullptr, nullptr);
  EXPECT_EQ(thrown([&] { t.to(Device{}); }).code, ErrorCode::kInvalidArgument);
}

TEST(TensorTo, ADeviceWithoutABackendSaysHowToGetOne) {
  if (!Registry::global().attention_kernels(OpId::kFlash, DeviceType::kRocm).empty())
    GTEST_SKIP() << "a rocm backend is loaded here";
  const Tensor t = Tensor::empty(DType::kF32, {2});
  for (const Thrown& e : {thrown([&] {
                            t.to({DeviceType::kRocm, 0});
                          }),
                          thrown([] {
                            Tensor::empty(DType::kF32, {2}, {DeviceType::kRocm, 0});
                          })}) {
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable);
    EXPECT_TRUE(e.says("no rocm backend is loaded") && e.says("ATTEND_BACKEND_PATH")) << e.what;
  }
}

}  // namespace
}  // namespace attend
