// Choosing the device at run time:  switch_device [native | cuda | rocm]
// With no argument: the first device that takes the call, GPUs first. Nothing falls back by itself.
#include <attend/attend.h>

#include <cstdio>
#include <string>

using namespace attend;

namespace {

Tensor ones(std::initializer_list<int64_t> shape) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  for (int64_t i = 0; i < tensor.view().num_elements(); ++i) tensor.data<float>()[i] = 1.0f;
  return tensor;
}

// What the backend of a device says of itself: "ok", or why it has none.
std::string status(DeviceType type) {
  for (const Backend& backend : Registry::global().backends())
    if (backend.device == type) return backend.status;
  return "no backend loaded";
}

}  // namespace

int main(int argc, char** argv) try {
  const FlashAttention flash;
  const Tensor host_q = ones({1, 128, 8, 64}), host_kv = ones({1, 128, 2, 64});
  AttentionParams params;
  params.mask.causal = true;

  for (const DeviceType type : {DeviceType::kCuda, DeviceType::kRocm, DeviceType::kNative}) {
    if (argc > 1 && std::string(argv[1]) != name(type)) continue;
    std::printf("%s: %s\n", name(type), status(type).c_str());
    if (status(type) != "ok") continue;

    const Device device{type, 0};
    const Tensor q = host_q.to(device), kv = host_kv.to(device);
    const Tensor out = Tensor::empty(DType::kF32, {1, 128, 8, 64}, device);
    AttentionArgs args;
    args.q = q;
    args.k = args.v = kv;
    args.out = out;

    for (const KernelAnswer& answer : flash.explain(args, params, device))
      std::printf("  %-28s %s\n", answer.kernel,
                  answer.status ? "takes this call" : to_string(answer.status).c_str());
    if (const Support support = flash.supports(args, params, device); !support) {
      std::printf("  %s\n", support.message.c_str());  // the words that forward would throw
      continue;
    }
    const RunResult result = flash.forward_on(type, args, params);
    std::printf("ran %s: out[0] = %.2f\n", result.kernel, out.to(Device{}).data<float>()[0]);
    return 0;
  }
  std::printf("no such device takes this call\n");
  return 1;
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
