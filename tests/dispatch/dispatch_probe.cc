// Prints what one process sees of the registry: run by environment_test with an environment of its
// choice.
//   dispatch_probe backends | isa | rows | forward [native|cuda|rocm]
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/dispatch/call.h"

using namespace attend;

namespace {

void print_backends() {
  for (const Backend& b : Registry::global().backends())
    std::printf("backend %s %s %s\n", b.name.c_str(), b.status.c_str(), b.path.c_str());
  for (const LoadFailure& f : Registry::global().load_failures())
    std::printf("failure %s: %s\n", f.path.c_str(), f.reason.c_str());
}

void print_rows() {
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kFlash, DeviceType::kNative))
    std::printf("row %s: %s\n", row.name,
                row.available({}) ? "yes" : to_string(row.available({})).c_str());
}

void forward(const std::string& device) {
  attend::testing::MeanCall call({device == "cuda"   ? DeviceType::kCuda
                                  : device == "rocm" ? DeviceType::kRocm
                                                     : DeviceType::kNative,
                                  0});
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto e = attend::testing::thrown(
        [&] { std::printf("ran %s\n", FlashAttention().forward(call.args, call.params).kernel); });
    if (e.code != ErrorCode::kOk) std::printf("%s: %s\n", name(e.code), e.what.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "backends") print_backends();
  if (what == "isa") std::printf("isa %s\n", native_isa());
  if (what == "rows") print_rows();
  if (what == "forward") forward(argc > 2 ? argv[2] : "native");
}
