// flash_bench with three more rows, each wrong in another way; wrong_kernel_test.cc runs it.
#include <string>

#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/operator_bench.h"

namespace attend {
namespace {

AttentionKernel portable_row() {
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kFlash, DeviceType::kNative))
    if (std::string(row.name) == "flash/native/portable") return row;
  throw Error(ErrorCode::kUnsupported, "flash/native/portable is gone");
}

// Right but for one element.
Status run_nearly_right(const AttentionArgs& a, const AttentionParams& p, const ExecContext& c) {
  const Status s = portable_row().run(a, p, c);
  if (a.out.dtype == DType::kF32) *static_cast<float*>(a.out.data) += 0.01f;
  return s;
}

Status run_nothing(const AttentionArgs&, const AttentionParams&, const ExecContext&) { return {}; }

Status run_and_fail(const AttentionArgs&, const AttentionParams&, const ExecContext&) {
  return {ErrorCode::kDeviceError, "it broke with {}", 7};
}

void add(const char* name,
         Status (*run)(const AttentionArgs&, const AttentionParams&, const ExecContext&)) {
  AttentionKernel row = portable_row();
  row.name = name;
  row.priority = -100;
  row.run = run;
  Registry::global().add(row);
}

}  // namespace
}  // namespace attend

int main(int argc, char** argv) {
  using namespace attend;
  add("flash/native/nearly_right", run_nearly_right);
  add("flash/native/nothing", run_nothing);
  add("flash/native/broken", run_and_fail);
  bench::register_operator(OpId::kFlash);
  return bench::run(argc, argv);
}
