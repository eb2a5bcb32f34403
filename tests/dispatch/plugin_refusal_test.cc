// Shared objects that are no plugin, or a wrong one: each is refused with its path and what is
// wrong with it, and leaves nothing behind.
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "attend/attend.h"
#include "attend/backend_plugin.h"
#include "tests/dispatch/call.h"

namespace attend {
namespace {

using testing::MeanCall;
using testing::Thrown;
using testing::thrown;

std::string path_of(const std::string& plugin) {
  return std::string(ATTEND_PLUGINS) + "/lib" + plugin + ".so";
}

// Loads into a registry of its own; a refusal leaves it empty.
Thrown refusal(const std::string& path) {
  Registry registry;
  const Thrown e = thrown([&] { registry.load_backend(path); });
  EXPECT_TRUE(registry.backends().empty());
  EXPECT_TRUE(registry.attention_kernels(OpId::kFlash, DeviceType::kCuda).empty());
  EXPECT_TRUE(registry.attention_kernels(OpId::kFlash, DeviceType::kRocm).empty());
  EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << path << ": " << e.what;
  EXPECT_TRUE(e.what.starts_with("load_backend: ")) << e.what;
  EXPECT_TRUE(e.says(path)) << e.what;
  return e;
}

TEST(Refusal, OfPathsThatAreNoSharedObject) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("attend_refusal_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string text = folder / "libattend_text.so", empty = folder / "libattend_empty.so";
  std::ofstream(text) << "no shared object\n";
  std::ofstream(empty).flush();
  for (const std::string& path :
       {std::string("/no/such/folder/libattend_cuda.so"), folder.string(), text, empty})
    EXPECT_TRUE(refusal(path).says("cannot be opened")) << path;
  refusal("");  // names the program itself to dlopen; still no plugin
  std::filesystem::remove_all(folder);
}

TEST(Refusal, OfSharedObjectsThatAreNoPlugin) {
  EXPECT_TRUE(refusal(path_of("fake_no_symbol")).says("attend_backend_v1"));
  EXPECT_TRUE(refusal(path_of("fake_null_table")).says("no backend table"));
}

// Both sides' numbers, so that a reader sees which of the two is old.
TEST(Refusal, OfOtherHeadersTellsBothSides) {
  const Thrown version = refusal(path_of("fake_other_version"));
  EXPECT_TRUE(version.says("abi " + std::to_string(kAbiVersion + 41))) << version.what;
  EXPECT_TRUE(version.says("this library: abi " + std::to_string(kAbiVersion))) << version.what;
  const Thrown size = refusal(path_of("fake_other_size"));
  EXPECT_TRUE(size.says(" " + std::to_string(sizeof(AttentionParams) + 8))) << size.what;
  EXPECT_TRUE(size.says(" " + std::to_string(sizeof(AttentionParams)))) << size.what;
  EXPECT_TRUE(size.says("rebuild")) << size.what;
}

TEST(Refusal, OfTablesThatWouldBeCalledIntoNothing) {
  EXPECT_TRUE(refusal(path_of("fake_null_rows")).says("2 kernels"));
  EXPECT_TRUE(refusal(path_of("fake_null_run")).says("kernel 1 has a null field"));
  EXPECT_TRUE(refusal(path_of("fake_null_summary")).says("kernel 0 has a null field"));
  EXPECT_TRUE(refusal(path_of("fake_null_count")).says("null field"));
  EXPECT_TRUE(refusal(path_of("fake_null_copy")).says("null field"));
  EXPECT_TRUE(refusal(path_of("fake_null_device_name")).says("null field"));
  EXPECT_TRUE(refusal(path_of("fake_half_allocator")).says("allocator"));
}

TEST(Refusal, OfRowsThatBelongElsewhere) {
  const Thrown device = refusal(path_of("fake_foreign_row"));
  EXPECT_TRUE(device.says("flash/cuda/picky") && device.says("rocm") && device.says("cuda"))
      << device.what;
  EXPECT_TRUE(refusal(path_of("fake_unknown_op")).says("operator 77"));
  EXPECT_TRUE(refusal(path_of("fake_gdn_in_attention")).says("gdn"));
  EXPECT_TRUE(refusal(path_of("fake_unknown_device")).says("device"));
}

// A plugin without a device is loaded: what is missing is told where it matters.
TEST(NoDevice, IsSaidWhereItMatters) {
  Registry& registry = Registry::global();
  registry.load_backend(path_of("fake_devices_0"));
  const auto all = registry.backends();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].device_count, 0);
  EXPECT_EQ(all[1].status, "driver 12 is older than wanted");
  MeanCall call({DeviceType::kCuda, 0});
  const Thrown e = thrown([&] { FlashAttention().forward(call.args, call.params); });
  EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
  EXPECT_TRUE(e.says("driver 12 is older than wanted")) << e.what;
  EXPECT_TRUE(call.untouched());
  const Thrown memory = thrown([] { Tensor::empty(DType::kF32, {2}, {DeviceType::kCuda, 0}); });
  EXPECT_EQ(memory.code, ErrorCode::kBackendUnavailable);
  EXPECT_TRUE(memory.says("device is cuda:0, expected one of 0 cuda devices; driver 12 is older"))
      << memory.what;
}

}  // namespace
}  // namespace attend
