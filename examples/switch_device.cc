// Choosing the device at run time:  switch_device [native | cuda | rocm]
// With no argument: the first device that takes the call, GPUs first. Nothing falls back by itself.
#include <attend/attend.h>

#include <cstdio>
#include <string>
#include <vector>

using namespace attend;

namespace {

// One call whose tensors live on `device`; the host vectors are copied there.
struct Call {
  Tensor q, k, v, out;
  AttentionArgs args;

  Call(const Tensor& host_q, const Tensor& host_kv, Device device)
      : q(host_q.to(device)), k(host_kv.to(device)), v(host_kv.to(device)) {
    out = Tensor::empty(DType::kF32, {1, 128, 8, 64}, device);
    args.q = q;
    args.k = k;
    args.v = v;
    args.out = out;
  }
};

Tensor ones(std::initializer_list<int64_t> shape) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  for (int64_t i = 0; i < tensor.view().num_elements(); ++i) tensor.data<float>()[i] = 1.0f;
  return tensor;
}

// The backends of this process that have a device, GPUs first, each with why it is there or not.
std::vector<Device> devices() {
  std::vector<Device> found;
  for (const DeviceType type : {DeviceType::kCuda, DeviceType::kRocm, DeviceType::kNative}) {
    std::string status = "no backend loaded";
    for (const Backend& backend : Registry::global().backends()) {
      if (backend.device != type) continue;
      status = backend.status;
      if (backend.device_count > 0) found.push_back(Device{type, 0});
    }
    std::printf("%-6s  %s\n", name(type), status.c_str());
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) try {
  const FlashAttention flash;
  AttentionParams params;
  params.mask.causal = true;
  const Tensor host_q = ones({1, 128, 8, 64});
  const Tensor host_kv = ones({1, 128, 2, 64});

  for (const Device device : devices()) {
    if (argc > 1 && std::string(argv[1]) != name(device.type)) continue;
    const Call call(host_q, host_kv, device);
    const Support support = flash.supports(call.args, params, device);
    if (!support) {  // the same words that forward() would throw
      std::printf("not on %s: %s\n", to_string(device).c_str(), support.message.c_str());
      continue;
    }
    for (const KernelAnswer& answer : flash.explain(call.args, params, device)) {
      std::printf("  %-28s %s\n", answer.kernel,
                  answer.status ? "takes this call" : to_string(answer.status).c_str());
    }
    const RunResult result = flash.forward_on(device.type, call.args, params);
    const Tensor back = call.out.to(Device{});
    std::printf("ran %s on %s: out[0] = %.2f\n", result.kernel, to_string(device).c_str(),
                back.data<float>()[0]);
    return 0;
  }
  std::printf("no device %stakes this call\n", argc > 1 ? "of that name " : "");
  return 1;
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
