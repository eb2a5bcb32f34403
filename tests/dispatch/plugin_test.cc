// A backend of another shared object: its rows are added, forward reaches them, its failures and its
// error words come back in words.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "attend/attend.h"
#include "tests/dispatch/call.h"
#include "tests/dispatch/plugin_fixture.h"

namespace attend {
namespace {

using testing::kCuda0;
using testing::kRocm0;
using testing::MeanCall;
using testing::path_of;
using testing::Plugin;
using testing::Thrown;
using testing::thrown;

// MeanCall with its tensors copied to a device.
struct DeviceCall {
  MeanCall host;
  Tensor q, k, v, out;
  AttentionArgs args;
  explicit DeviceCall(Device device) {
    for (auto& [mine, theirs] : {std::pair<Tensor*, const TensorView*>{&q, &host.args.q},
                                 {&k, &host.args.k},
                                 {&v, &host.args.v},
                                 {&out, &host.args.out}})
      *mine = Tensor::adopt(*theirs, nullptr, nullptr).to(device);
    args.q = q;
    args.k = k;
    args.v = v;
    args.out = out;
  }
  void expect_means() const {
    const Tensor back = out.to(Device{});
    for (int64_t n = 0; n < back.view().num_elements(); ++n) {
      const int64_t h = n / MeanCall::kDim % MeanCall::kHeads;
      EXPECT_EQ(back.data<float>()[n], host.mean(h, n % MeanCall::kDim)) << n;
    }
  }
};

TEST_F(Plugin, AddsItsBackendAndItsRowsInOrder) {
  const Registry& registry = Registry::global();
  const auto rows = registry.attention_kernels(OpId::kFlash, DeviceType::kCuda);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_STREQ(rows[0].name, "flash/cuda/picky");
  EXPECT_STREQ(rows[1].name, "flash/cuda/mean");
  const auto all = registry.backends();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].name, "cuda");
  EXPECT_EQ(all[1].device, DeviceType::kCuda);
  EXPECT_EQ(all[1].device_count, 1);
  EXPECT_EQ(all[1].status, "ok");
  EXPECT_EQ(all[1].path, path_of("fake_cuda"));
  EXPECT_EQ(&registry.backend(DeviceType::kCuda), all[1].table);
  EXPECT_STREQ(registry.backend(DeviceType::kCuda).device_name(0), "Fake 1000");
}

TEST_F(Plugin, LoadedTwiceHasItsRowsOnce) {
  Registry::global().load_backend(path_of("fake_cuda"));
  Registry::global().load_backend(std::string(ATTEND_PLUGINS) + "/../plugins/libfake_cuda.so");
  EXPECT_EQ(Registry::global().attention_kernels(OpId::kFlash, DeviceType::kCuda).size(), 2u);
  EXPECT_EQ(Registry::global().backends().size(), 3u);
}

TEST_F(Plugin, ForwardReachesTheRowOfTheTensorsDevice) {
  const FlashAttention flash;
  const DeviceCall call(kCuda0);
  int stream = 0;
  ExecContext context;
  context.stream = &stream;
  EXPECT_STREQ(flash.forward(call.args, {}, context).kernel, "flash/cuda/mean");
  EXPECT_EQ(cuda.runs, 1);
  EXPECT_EQ(cuda.ran_on, kCuda0);
  EXPECT_EQ(cuda.ran_with_stream, &stream);
  call.expect_means();

  const DeviceCall again(kCuda0);
  EXPECT_STREQ(flash.forward_cuda(again.args, {}).kernel, "flash/cuda/mean");
  EXPECT_EQ(cuda.runs, 2);
  again.expect_means();

  const DeviceCall other(kRocm0);
  EXPECT_STREQ(flash.forward_rocm(other.args, {}).kernel, "flash/rocm/mean");
  EXPECT_EQ(rocm.runs, 1);
  EXPECT_EQ(cuda.runs, 2);
  EXPECT_EQ(rocm.ran_on, kRocm0);
  other.expect_means();
}

TEST_F(Plugin, NativeStaysNativeBesideIt) {
  MeanCall call;
  EXPECT_TRUE(std::string(FlashAttention().forward(call.args, call.params).kernel)
                  .starts_with("flash/native/"));
  EXPECT_EQ(cuda.runs + rocm.runs, 0);
}

TEST_F(Plugin, DoorsRefuseTensorsOfAnotherDevice) {
  const FlashAttention flash;
  const DeviceCall call(kCuda0);
  const Thrown native = thrown([&] { flash.forward_native(call.args, {}); });
  EXPECT_EQ(native.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(native.says("forward_native: q is on cuda, expected native")) << native.what;
  const Thrown rocm_door = thrown([&] { flash.forward_rocm(call.args, {}); });
  EXPECT_EQ(rocm_door.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(rocm_door.says("forward_rocm: q is on cuda, expected rocm")) << rocm_door.what;
  MeanCall host;
  const Thrown cuda_door = thrown([&] { flash.forward_cuda(host.args, host.params); });
  EXPECT_EQ(cuda_door.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(cuda_door.says("forward_cuda: q is on native, expected cuda")) << cuda_door.what;

  AttentionArgs mixed = call.args;
  mixed.k = call.host.args.k;
  const Thrown two = thrown([&] { flash.forward(mixed, {}); });
  EXPECT_EQ(two.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(two.says("k ") && two.says("native") && two.says("cuda:0")) << two.what;
  EXPECT_EQ(cuda.runs + rocm.runs, 0);
}

// Every tensor of a call, whatever it is for, is looked at before its contents could be.
TEST_F(Plugin, EveryTensorOnAnotherDeviceIsNamed) {
  const DeviceCall call(kCuda0);
  int32_t index[8] = {};
  const TensorView lost = contiguous(index, DType::kI32, {1}, kRocm0);
  AttentionArgs args = call.args;
  AttentionParams params;
  SeqLayout& s = args.seq;
  MaskSpec& m = params.mask;
  const std::pair<const char*, TensorView*> all[] = {{"k", &args.k},
                                                     {"v", &args.v},
                                                     {"out", &args.out},
                                                     {"lse", &args.lse},
                                                     {"weights", &args.weights},
                                                     {"scores", &args.scores},
                                                     {"k_new", &args.k_new},
                                                     {"v_new", &args.v_new},
                                                     {"k_descale", &args.k_descale},
                                                     {"v_descale", &args.v_descale},
                                                     {"cu_seqlens_q", &s.cu_seqlens_q},
                                                     {"cu_seqlens_k", &s.cu_seqlens_k},
                                                     {"seqused_q", &s.seqused_q},
                                                     {"seqused_k", &s.seqused_k},
                                                     {"block_table", &s.block_table},
                                                     {"kv_indptr", &s.kv_indptr},
                                                     {"kv_indices", &s.kv_indices},
                                                     {"kv_last_page_len", &s.kv_last_page_len},
                                                     {"context_lens", &s.context_lens},
                                                     {"slot_mapping", &s.slot_mapping},
                                                     {"start", &s.start},
                                                     {"end", &s.end},
                                                     {"q_start", &m.q_start},
                                                     {"block_origin", &m.block_origin},
                                                     {"prefix_lens", &m.prefix_lens},
                                                     {"hole_starts", &m.hole_starts},
                                                     {"hole_ends", &m.hole_ends},
                                                     {"q_segment_ids", &m.q_segment_ids},
                                                     {"kv_segment_ids", &m.kv_segment_ids},
                                                     {"keep", &m.keep},
                                                     {"block_mask", &m.block_mask},
                                                     {"bias", &params.bias},
                                                     {"alibi_slopes", &params.alibi_slopes},
                                                     {"sinks", &params.sinks}};
  for (const auto& [name, tensor] : all) {
    // Words that need another are given with it; the first that is amiss is the one named.
    const TensorView before = std::exchange(*tensor, lost);
    if (std::string(name) == "block_origin") m.block_size = 4;
    if (std::string(name) == "hole_starts") m.hole_ends = lost;
    if (std::string(name) == "hole_ends") m.hole_starts = before ? before : call.args.k;
    if (std::string(name) == "q_segment_ids") m.kv_segment_ids = lost;
    if (std::string(name) == "kv_segment_ids") m.q_segment_ids = call.args.k;
    if (std::string(name) == "prefix_lens") m.causal = true;
    const Thrown e = thrown([&] { VanillaAttention().forward(args, params); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument) << name << ": " << e.what;
    EXPECT_TRUE(
        e.says("vanilla: " + std::string(name) + " is on rocm:0, expected cuda:0 (device of q)"))
        << name << ": " << e.what;
    args = call.args;
    params = {};
  }
}

TEST_F(Plugin, RefusalsCarryEveryRowsWords) {
  const DeviceCall call(kCuda0);
  AttentionParams params;
  params.softcap = 5;
  const Thrown e = thrown([&] { FlashAttention().forward(call.args, params); });
  EXPECT_EQ(e.code, ErrorCode::kUnsupported);
  EXPECT_TRUE(e.says("flash/cuda/picky: head_dim is 8, supported 1024")) << e.what;
  EXPECT_TRUE(e.says("flash/cuda/mean: softcap is set; not implemented")) << e.what;
  const Support answer = FlashAttention().supports(call.args, params, kCuda0);
  EXPECT_EQ(answer.message, e.what);
  EXPECT_EQ(FlashAttention().explain(call.args, params, kCuda0).size(), 2u);
  EXPECT_EQ(cuda.runs, 0);

  const Thrown vanilla = thrown([&] { VanillaAttention().forward(call.args, {}); });
  EXPECT_EQ(vanilla.code, ErrorCode::kUnsupported);
  EXPECT_TRUE(vanilla.says("vanilla: no cuda kernel")) << vanilla.what;
}

TEST_F(Plugin, ADeviceItDoesNotHaveIsRefused) {
  for (const int16_t index : {int16_t{1}, int16_t{-1}}) {
    MeanCall call({DeviceType::kCuda, index});
    const Thrown e = thrown([&] { FlashAttention().forward(call.args, call.params); });
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
    EXPECT_TRUE(e.says("cuda:" + std::to_string(index))) << e.what;
  }
  EXPECT_EQ(cuda.runs, 0);
}

TEST_F(Plugin, AFailureOfTheKernelComesBackWithItsCodeAndNumber) {
  const DeviceCall call(kCuda0);
  cuda.run_fails = true;
  const Thrown e = thrown([&] { FlashAttention().forward(call.args, {}); });
  EXPECT_EQ(e.code, ErrorCode::kDeviceError);
  EXPECT_TRUE(e.says("flash/cuda/mean: launch failed with 719")) << e.what;
}

// Checking calls that bring no error word report to the device's own.
TEST_F(Plugin, CallsWithoutAWordShareTheDevices) {
  const DeviceCall call(kCuda0);
  ExecContext context;
  context.check_indices = CheckIndices::kOff;
  FlashAttention().forward(call.args, {}, context);
  EXPECT_EQ(cuda.error_word, nullptr);
  context.check_indices = CheckIndices::kOn;
  FlashAttention().forward(call.args, {}, context);
  EXPECT_EQ(reinterpret_cast<uint64_t>(cuda.error_word),
            reinterpret_cast<uint64_t>(&cuda.own_word) | kFakeDeviceBit);
  context.device = kCuda0;
  EXPECT_NO_THROW(context.check());
  cuda.own_word = {static_cast<int32_t>(ErrorCode::kOutOfRange),
                   static_cast<int32_t>(ErrorArgument::kEnd), 3, 99};
  const Thrown e = thrown([&] { context.check(); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfRange);
  EXPECT_TRUE(e.says("end[3] is 99")) << e.what;
  EXPECT_NO_THROW(context.check());
}

TEST_F(Plugin, CheckReadsTheErrorWordFromTheDevice) {
  ErrorWord word;
  const auto on_device = [&] {
    return Tensor::adopt(contiguous(&word, DType::kI8, {sizeof word}), nullptr, nullptr).to(kCuda0);
  };
  ExecContext context;
  context.device = kCuda0;
  Tensor quiet = on_device();
  context.error_word = quiet.data<ErrorWord>();
  const int32_t before = cuda.synchronizes;
  EXPECT_NO_THROW(context.check());
  EXPECT_EQ(cuda.synchronizes, before + 1);

  word = {static_cast<int32_t>(ErrorCode::kOutOfRange),
          static_cast<int32_t>(ErrorArgument::kSlotMapping), 7, -12};
  const Tensor loud = on_device();
  context.error_word = loud.data<ErrorWord>();
  const Thrown e = thrown([&] { context.check(); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfRange);
  EXPECT_TRUE(e.says("slot_mapping[7] is -12")) << e.what;
  EXPECT_NO_THROW(context.check());  // told once

  cuda.copy_fails = true;
  const Thrown copy = thrown([&] { context.check(); });
  EXPECT_EQ(copy.code, ErrorCode::kDeviceError);
  EXPECT_TRUE(copy.says("copy failed with 700")) << copy.what;
}

}  // namespace
}  // namespace attend
