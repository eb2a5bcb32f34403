// Rings of devices: blocks that stay there, blocks that pass through native memory, and what a rank
// that fails on the way leaves the others.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "attend/registry.h"
#include "tests/ring/ranks.h"
#include "tests/support/devices.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

// A ring of threads whose buffers are in a device's memory, as NCCL's are: what is sent is read in
// the order of the stream, and what is received is written before what follows on it.
class DeviceTransport final : public RingTransport {
 public:
  DeviceTransport(RingTransport* inner, DeviceType device, bool native_too)
      : inner_(*inner), device_{device, 0}, native_too_(native_too) {}
  int32_t rank() const noexcept override { return inner_.rank(); }
  int32_t size() const noexcept override { return inner_.size(); }
  bool reaches(DeviceType device) const noexcept override {
    return device == device_.type || (native_too_ && device == DeviceType::kNative);
  }
  Status start(const void* send, uint64_t send_bytes, void* receive, uint64_t receive_bytes,
               void* stream) override {
    if (exchanges++ == fails_at) return {ErrorCode::kDeviceError, "the cable is cut", 0};
    native_ = native_too_ && exchanges <= 2 * (size() - 1);  // two rounds of words
    if (native_) return inner_.start(send, send_bytes, receive, receive_bytes, stream);
    sent_.resize(send_bytes);
    received_.assign(receive_bytes, std::byte{0xEE});
    to_ = receive;
    const BackendTable& table = Registry::global().backend(device_.type);
    Status s = table.copy(sent_.data(), Device{}, send, device_, send_bytes, stream);
    if (s) s = table.synchronize(device_, stream);
    if (s) s = inner_.start(sent_.data(), send_bytes, received_.data(), receive_bytes, nullptr);
    return s;
  }
  Status wait(void* stream) override {
    if (const Status s = inner_.wait(nullptr); !s || native_) return s;
    const BackendTable& table = Registry::global().backend(device_.type);
    Status s = table.copy(to_, device_, received_.data(), Device{}, received_.size(), stream);
    return s ? table.synchronize(device_, stream) : s;
  }
  void abort(const char* why) noexcept override { inner_.abort(why); }

  int exchanges = 0, fails_at = -1;

 private:
  RingTransport& inner_;
  const Device device_;
  const bool native_too_;
  bool native_ = false;
  std::vector<std::byte> sent_, received_;
  void* to_ = nullptr;
};

AttentionCase grouped() {
  AttentionCase c;
  c.batch = 2;
  c.seqlen_q = 21, c.seqlen_k = 29;
  c.heads = 4, c.kv_heads = 2;
  c.head_dim = 24, c.v_dim = 16;
  c.lse = c.causal = true;
  return c;
}

class RingOnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const DeviceType device : test_devices())
      if (device != DeviceType::kNative) devices_.push_back(device);
    if (devices_.empty()) GTEST_SKIP() << "no device under test";
  }
  // Gives every rank a transport of its device.
  void cable(Ranks& ranks, DeviceType device, bool native_too) {
    transports_.clear();
    for (int32_t r = 0; r < ranks.ring().size(); ++r) {
      transports_.push_back(
          std::make_unique<DeviceTransport>(ranks.ring().transport(r), device, native_too));
      ranks.params(r).ring_transport = transports_.back().get();
    }
  }
  std::vector<DeviceType> devices_;
  std::vector<std::unique_ptr<DeviceTransport>> transports_;
};

TEST_F(RingOnDevice, BlocksMayStayThere) {
  for (const DeviceType device : devices_)
    for (const bool native_too : {false, true})
      for (const RingPlacement placement : {RingPlacement::kContiguous, RingPlacement::kZigzag})
        for (const bool ragged : {false, true})
          for (const bool segments : {false, true}) {
            AttentionCase c = grouped();
            if (ragged) c.layout = Layout::kRagged, c.batch = 3;
            c.segments = segments;
            if (segments) c.dtype = DType::kBF16;
            const Placing placing{ragged ? 3 : 4, placement, {}, device};
            SCOPED_TRACE(name(c) + " on " + name(placing));
            CaseTensors t = make_tensors(c);
            const Judge judge(t.args, t.params);
            t.reset_outputs();
            Ranks ranks(t.args, t.params, placing);
            cable(ranks, device, native_too);
            for (const RankResult& r : ranks.run()) ASSERT_EQ(r.what, "");
            EXPECT_EQ(ranks.gather(), "");
            const auto verdicts = judge.compare(t.args);
            EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
          }
}

// Wherever a rank's exchange fails, its call says why, and every other rank returns.
TEST_F(RingOnDevice, AFailingExchangeLetsAllGo) {
  const AttentionCase c = grouped();
  CaseTensors t = make_tensors(c, Fill::kPlain);
  for (const DeviceType device : devices_)
    for (const bool native_too : {false, true})
      for (int fails_at = 0; fails_at < 6; ++fails_at) {  // of two rounds of words and of blocks
        Ranks ranks(t.args, t.params, {3, RingPlacement::kZigzag, {}, device});
        cable(ranks, device, native_too);
        transports_[1]->fails_at = fails_at;
        const std::vector<RankResult> results = ranks.run();
        EXPECT_NE(results[1].what.find("the cable is cut"), std::string::npos) << results[1].what;
        int aborted = 0;
        for (const size_t r : {size_t{0}, size_t{2}})
          aborted += results[r].what.find("the ring was aborted: rank 1: the cable is cut") !=
                     std::string::npos;
        // Ranks that had their last block before are through.
        EXPECT_GE(aborted, 1) << "at exchange " << fails_at;
      }
}

// A call that does not fit in device memory fails, and so do the others.
TEST_F(RingOnDevice, WithoutMemory) {
  CaseTensors t = make_tensors(grouped(), Fill::kPlain);
  for (const DeviceType device : devices_) {
    Ranks ranks(t.args, t.params, {3, RingPlacement::kContiguous, {}, device});
    ranks.context(1).allocator = {
        [](void*, Device, uint64_t, uint64_t, void*) -> void* { return nullptr; },
        [](void*, Device, void*, uint64_t, void*) {}, nullptr};
    ranks.context(1).check_indices = CheckIndices::kOff;
    const std::vector<RankResult> results = ranks.run();
    EXPECT_EQ(results[1].code, ErrorCode::kOutOfMemory);
    for (const size_t r : {size_t{0}, size_t{2}})
      EXPECT_NE(results[r].what.find("the ring was aborted: rank 1: "), std::string::npos)
          << results[r].what;
    for (int32_t r = 0; r < 3; ++r) EXPECT_TRUE(ranks.untouched(r));
  }
}

// What the row asks for is enough, where all ranks hold as much as each other.
TEST_F(RingOnDevice, TheWorkspaceIsEnough) {
  for (const DeviceType device : devices_)
    for (const bool segments : {false, true}) {
      AttentionCase c = grouped();
      c.seqlen_q = c.seqlen_k = 32;
      c.segments = segments;
      CaseTensors t = make_tensors(c);
      const Judge judge(t.args, t.params);
      t.reset_outputs();
      Ranks ranks(t.args, t.params, {4, RingPlacement::kZigzag, {}, device});
      const BackendTable& table = Registry::global().backend(device);
      std::vector<void*> memory;
      const std::string row = portable_row(OpId::kRing, device);
      for (int32_t r = 0; r < 4; ++r) {
        ExecContext& context = ranks.context(r);
        for (const AttentionKernel& kernel : test_rows(OpId::kRing))
          if (row == kernel.name)
            context.workspace_bytes = kernel.workspace_bytes(ranks.args(r), ranks.params(r), 1);
        ASSERT_GT(context.workspace_bytes, 0u);
        context.workspace = table.allocator.allocate(table.allocator.user, Device{device, 0},
                                                     context.workspace_bytes, 64, nullptr);
        memory.push_back(context.workspace);
        context.allocator = {
            [](void*, Device, uint64_t, uint64_t, void*) -> void* { return nullptr; },
            [](void*, Device, void*, uint64_t, void*) {}, nullptr};
        context.check_indices = CheckIndices::kOff;
      }
      for (const RankResult& r : ranks.run()) EXPECT_EQ(r.what, "");
      EXPECT_EQ(ranks.gather(), "");
      const auto verdicts = judge.compare(t.args);
      EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
      for (int32_t r = 0; r < 4; ++r)
        table.allocator.deallocate(table.allocator.user, Device{device, 0},
                                   memory[static_cast<size_t>(r)], ranks.context(r).workspace_bytes,
                                   nullptr);
    }
}

// Lengths are read by the host: bad ones fail the call, and the ring with it.
TEST_F(RingOnDevice, ABadIndexFailsAllRanks) {
  AttentionCase c = grouped();
  c.layout = Layout::kRagged;
  CaseTensors t = make_tensors(c, Fill::kPlain);
  for (const DeviceType device : devices_) {
    Ranks ranks(t.args, t.params, {2, RingPlacement::kContiguous, {}, device});
    static_cast<int64_t*>(ranks.args(1).seq.cu_seqlens_k.data)[1] = 1000;
    const std::vector<RankResult> results = ranks.run();
    EXPECT_EQ(results[1].code, ErrorCode::kOutOfRange) << results[1].what;
    EXPECT_NE(results[1].what.find("cu_seqlens_k"), std::string::npos) << results[1].what;
    EXPECT_NE(results[0].what.find("the ring was aborted: rank 1: "), std::string::npos)
        << results[0].what;
    for (int32_t r = 0; r < 2; ++r) EXPECT_TRUE(ranks.untouched(r));
  }
}

// A transport must reach the device, or native memory to pass through.
TEST_F(RingOnDevice, ReachesNothing) {
  class Nowhere final : public RingTransport {
   public:
    int32_t rank() const noexcept override { return 0; }
    int32_t size() const noexcept override { return 2; }
    bool reaches(DeviceType) const noexcept override { return false; }
    Status start(const void*, uint64_t, void*, uint64_t, void*) override { return {}; }
    Status wait(void*) override { return {}; }
    void abort(const char*) noexcept override {}
  } nowhere;
  CaseTensors t = make_tensors(grouped(), Fill::kPlain);
  t.params.ring_transport = &nowhere;
  for (const DeviceType device : devices_) {
    AttentionArgs a = t.args;
    AttentionParams p = t.params;
    relabel(a, p, Device{device, 0});
    EXPECT_EQ(RingAttention().supports(a, p, {device, 0}).message,
              "ring: ring_transport reaches neither the memory of " + std::string(name(device)) +
                  " nor native memory, expected one of them; use a transport of that device");
  }
}

}  // namespace
}  // namespace attend::testing
