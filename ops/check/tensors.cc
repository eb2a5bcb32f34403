#include <string>

#include "ops/checks.h"

namespace attend {
namespace {

void check_tensor(const char* where, const char* arg, const TensorView& t) {
  if (t.rank < 0 || t.rank > kMaxRank)
    throw_invalid(where, std::string(arg) + " rank is " + std::to_string(t.rank) +
                             ", expected at most " + std::to_string(kMaxRank));
  if (size_bytes(t.dtype) == 0)
    throw_invalid(where, std::string(arg) + " dtype is " +
                             std::to_string(static_cast<int>(t.dtype)) +
                             ", expected one that DType names");
  int64_t bytes = size_bytes(t.dtype), far = 0;
  bool overflow = false, empty = false;
  for (int i = 0; i < t.rank; ++i) {
    if (t.dim(i) < 0)
      throw_invalid(where, std::string(arg) + " dim " + std::to_string(i) + " is " +
                               std::to_string(t.dim(i)) + ", expected 0 or more");
    int64_t reach = 0;
    empty |= t.dim(i) == 0;
    overflow |= __builtin_mul_overflow(bytes, t.dim(i), &bytes);
    overflow |= __builtin_mul_overflow(t.step(i), t.dim(i), &reach);
    overflow |=
        reach == INT64_MIN || __builtin_mul_overflow(std::abs(reach), size_bytes(t.dtype), &reach);
    overflow |= __builtin_add_overflow(far, reach, &far);
  }
  if (empty) return;  // no elements: nothing is addressed
  if (overflow)
    throw_invalid(
        where, std::string(arg) +
                   " shape and strides reach beyond 64 bits, expected sizes that memory can hold");
  if (t.data == nullptr)
    throw_invalid(where, std::string(arg) + " data is null, expected memory for " +
                             std::to_string(t.num_elements()) + " elements");
  if (reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(size_bytes(t.dtype)) != 0)
    throw_invalid(where, std::string(arg) + " address is not a multiple of " +
                             std::to_string(size_bytes(t.dtype)) +
                             ", expected the alignment of an element");
}

}  // namespace

void check_tensors(const char* where, Device device, const GivenTensors& given) {
  const std::span<const NamedTensor> tensors = given.list();
  const char* there = "";  // a tensor that lies where all should
  for (const NamedTensor& t : tensors)
    if (t.view->device == device && *there == '\0') there = t.name;
  for (const NamedTensor& t : tensors)
    if (t.view->device != device)
      throw_invalid(where, std::string(t.name) + " is on " + to_string(t.view->device) +
                               ", expected " + to_string(device) + " (device of " + there + ")");
  for (const NamedTensor& t : tensors) check_tensor(where, t.name, *t.view);
}

}  // namespace attend
