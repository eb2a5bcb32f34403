// What crosses the plugin boundary: numbers that are never renumbered, structs that may be copied
// as bytes, and the head of the table, which must be readable whatever the rest looks like.
#include <gtest/gtest.h>

#include <cstddef>
#include <type_traits>

#include "attend/attend.h"
#include "attend/backend_plugin.h"

namespace attend {
namespace {

template <class... T>
inline constexpr bool kCrossesAsBytes = (... && (std::is_trivially_copyable_v<T> &&
                                                 std::is_trivially_destructible_v<T>));

static_assert(kCrossesAsBytes<Device, TensorView, Status, MaskSpec, InitBias, AttentionParams,
                              SeqLayout, AttentionArgs, GdnParams, GdnArgs, MergeParams, MergeArgs,
                              ParallelFor, Allocator, ErrorWord, ExecContext, AttentionKernel,
                              GdnKernel, MergeKernel, AbiSizes, BackendTable>);

// Read before anything is known of the other side, or by device code.
static_assert(std::is_standard_layout_v<AbiSizes> && std::is_standard_layout_v<BackendTable>);
static_assert(std::is_standard_layout_v<Device> && std::is_standard_layout_v<TensorView>);
static_assert(std::is_standard_layout_v<AttentionArgs> && std::is_standard_layout_v<GdnArgs>);
static_assert(std::is_standard_layout_v<Status> && std::is_standard_layout_v<ErrorWord>);
static_assert(std::is_standard_layout_v<AttentionKernel> && std::is_standard_layout_v<ExecContext>);
static_assert(offsetof(AbiSizes, version) == 0 && offsetof(BackendTable, abi) == 0);
static_assert(sizeof(ErrorWord) == 72, "device kernels write its fields by offset");

template <class E>
constexpr auto number(E e) {
  return static_cast<std::underlying_type_t<E>>(e);
}

static_assert(sizeof(ErrorCode) == 4 && sizeof(OpId) == 1 && sizeof(DType) == 1);
static_assert(number(ErrorCode::kOk) == 0 && number(ErrorCode::kInvalidArgument) == 1 &&
              number(ErrorCode::kUnsupported) == 2 && number(ErrorCode::kBackendUnavailable) == 3 &&
              number(ErrorCode::kDeviceError) == 4 && number(ErrorCode::kNoMetadata) == 5 &&
              number(ErrorCode::kOutOfRange) == 6 && number(ErrorCode::kOutOfMemory) == 7);
static_assert(number(OpId::kVanilla) == 0 && number(OpId::kFlash) == 1 &&
              number(OpId::kPaged) == 2 && number(OpId::kSplash) == 3 &&
              number(OpId::kDecode) == 4 && number(OpId::kSdpa) == 5 && number(OpId::kRing) == 6 &&
              number(OpId::kGdn) == 7 && number(OpId::kMerge) == 8 && number(OpId::kAppend) == 9);
static_assert(number(DType::kF32) == 0 && number(DType::kF16) == 1 && number(DType::kBF16) == 2 &&
              number(DType::kF8E4M3) == 3 && number(DType::kF8E5M2) == 4 &&
              number(DType::kI8) == 5 && number(DType::kI32) == 6 && number(DType::kI64) == 7 &&
              number(DType::kBool) == 8);
static_assert(number(ErrorArgument::kStateIndices) == 13 && number(ErrorArgument::kBeta) == 22);
static_assert(number(ErrorRule::kNone) == 0 && number(ErrorRule::kShapes) == 22);
// kDLCPU, kDLCUDA and kDLROCM of dlpack.h.
static_assert(number(DeviceType::kNative) == 1 && number(DeviceType::kCuda) == 2 &&
              number(DeviceType::kRocm) == 10);

// A plugin compiled in another file must tell the same sizes; every one is of the struct that it
// names.
TEST(Abi, SizesAreThoseOfTheStructs) {
  const AbiSizes sizes = abi_sizes();
  EXPECT_EQ(sizes.version, kAbiVersion);
  EXPECT_EQ(sizes.backend_table, sizeof(BackendTable));
  EXPECT_EQ(sizes.kernel_entry, sizeof(AttentionKernel));
  EXPECT_EQ(sizes.attention_args, sizeof(AttentionArgs));
  EXPECT_EQ(sizes.attention_params, sizeof(AttentionParams));
  EXPECT_EQ(sizes.gdn_args, sizeof(GdnArgs));
  EXPECT_EQ(sizes.gdn_params, sizeof(GdnParams));
  EXPECT_EQ(sizes.merge_args, sizeof(MergeArgs));
  EXPECT_EQ(sizes.exec_context, sizeof(ExecContext));
  EXPECT_EQ(sizes.error_word, sizeof(ErrorWord));
}

// One size stands for the three kinds of row, which is right only while they are alike.
TEST(Abi, OneRowSizeServesEveryKindOfRow) {
  EXPECT_EQ(sizeof(GdnKernel), sizeof(AttentionKernel));
  EXPECT_EQ(sizeof(MergeKernel), sizeof(AttentionKernel));
}

// An absent tensor is the default of every optional word; a default that is "given" would change
// every call.
TEST(Abi, DefaultsAreAbsent) {
  const AttentionArgs args;
  const AttentionParams params;
  for (const TensorView* view :
       {&args.q, &args.lse, &args.weights, &args.seq.cu_seqlens_q, &args.seq.seqused_k,
        &params.bias, &params.sinks, &params.mask.keep, &params.mask.q_start})
    EXPECT_FALSE(*view);
  EXPECT_FALSE(params.softmax_scale.has_value());
  EXPECT_TRUE(params.deterministic);
  EXPECT_EQ(params.mask.window_left, -1);
  EXPECT_EQ(params.mask.window_right, -1);
  EXPECT_EQ(params.mask.diagonal, Diagonal::kOperatorDefault);
  TensorView without_memory;  // a tensor without elements has no memory and is still an argument
  without_memory.rank = 1;
  EXPECT_TRUE(without_memory);
}

}  // namespace
}  // namespace attend
