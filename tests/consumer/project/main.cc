// Runs flash on data whose answer is known by hand, through nothing but the public headers.
#include <attend/attend.h>
#include <attend/backend_plugin.h>
#include <attend/dlpack.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

int faults = 0;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  ++faults;
  std::printf("wrong: %s\n", what.c_str());
}

}  // namespace

int main() {
  // Two keys whose scores differ by ln 3: the weights are 3/4 and 1/4. The first row is causal and sees one key.
  const float ln3 = std::log(3.0f);
  std::vector<float> q = {1, 0, 1, 0};  // [1, 2, 1, 2]
  std::vector<float> k = {ln3, 5, 0, -5};
  std::vector<float> v = {8, -4, 0, 4};
  std::vector<float> out(4, NAN), lse(2, NAN);
  attend::AttentionArgs args;
  args.q = attend::contiguous(q.data(), attend::DType::kF32, {1, 2, 1, 2});
  args.k = attend::contiguous(k.data(), attend::DType::kF32, {1, 2, 1, 2});
  args.v = attend::contiguous(v.data(), attend::DType::kF32, {1, 2, 1, 2});
  args.out = attend::contiguous(out.data(), attend::DType::kF32, {1, 2, 1, 2});
  args.lse = attend::contiguous(lse.data(), attend::DType::kF32, {1, 1, 2});
  attend::AttentionParams params;
  params.softmax_scale = 1.0f;
  params.mask.causal = true;
  const attend::RunResult result = attend::FlashAttention().forward(args, params);

  const float want[4] = {8, -4, 6, -2};
  const float want_lse[2] = {ln3, std::log(4.0f)};
  for (size_t i = 0; i < 4; ++i)
    expect(std::fabs(out[i] - want[i]) < 1e-5f, "out " + std::to_string(out[i]));
  for (size_t i = 0; i < 2; ++i)
    expect(std::fabs(lse[i] - want_lse[i]) < 1e-5f, "lse " + std::to_string(lse[i]));
  expect(std::string(result.kernel).rfind("flash/native/", 0) == 0, result.kernel);

  // Built-in rows are there although nothing of the program names them, and vanilla computes the same.
  std::vector<float> again(4, NAN);
  args.out = attend::contiguous(again.data(), attend::DType::kF32, {1, 2, 1, 2});
  attend::VanillaAttention().forward(args, params);
  for (size_t i = 0; i < 4; ++i)
    expect(std::fabs(again[i] - want[i]) < 1e-5f, "vanilla " + std::to_string(again[i]));

  try {
    attend::FlashAttention().forward_rocm(args, params);
    expect(false, "forward_rocm ran on native tensors");
  } catch (const attend::Error& e) {
    expect(*e.what() != '\0', "an error without words");
  }
  DLManagedTensor* exported = attend::to_dlpack(attend::Tensor::empty(attend::DType::kF32, {2}));
  attend::adopt_dlpack(exported);

  std::printf("%s, %d faults\n", result.kernel, faults);
  return faults == 0 ? 0 : 1;
}
