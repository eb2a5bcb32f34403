#include "tests/support/case_memory.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "tests/support/element.h"

namespace attend::testing {
namespace {

constexpr size_t kGuardBytes = 256;
constexpr std::byte kGuard{0xA5};

void store_fast(DType dtype, std::byte* address, float value) {
  if (dtype == DType::kF32)
    std::memcpy(address, &value, 4);
  else
    store(dtype, address, value);
}

}  // namespace

void OutputMemory::mark_writable(const void* address, int64_t bytes) {
  const auto first = static_cast<size_t>(static_cast<const std::byte*>(address) - block->data());
  for (size_t n = 0; n < static_cast<size_t>(bytes); ++n) writable[first + n] = true;
}

void OutputMemory::reset() {
  std::byte* data = block->data();
  if (before.empty())
    std::fill_n(data, block->size(), kGuard);
  else
    std::copy(before.begin(), before.end(), data);
  const auto bytes = static_cast<size_t>(size_bytes(view.dtype));
  const size_t band = kGuardBytes;  // elements start on a multiple of their size behind it
  for (size_t n = band; n + bytes <= block->size(); n += bytes) {
    if (writable[n]) store(view.dtype, data + n, std::numeric_limits<double>::quiet_NaN());
  }
}

std::optional<int64_t> OutputMemory::damaged_byte() const {
  for (size_t n = 0; n < block->size(); ++n) {
    if (!writable[n] && block->data()[n] != (before.empty() ? kGuard : before[n]))
      return static_cast<int64_t>(n) - static_cast<int64_t>(kGuardBytes);
  }
  return {};
}

CaseMemory::CaseMemory(const AttentionCase& the_case, Fill the_fill, uint64_t seed)
    : c(the_case), fill(the_fill), seed_(hash_of(name(the_case), seed)) {}

TensorView CaseMemory::floats(DType dtype, const std::vector<int64_t>& shape, Strides strides,
                              int position, int head, float factor, bool may_broadcast) {
  ++role_;
  const Placement p = place(shape, strides, position, head, may_broadcast);
  std::byte* data = input(p.elements * size_bytes(dtype));
  for (int64_t n = 0; n < p.elements; ++n)
    store_fast(dtype, data + n * size_bytes(dtype), factor * normal(draw(n)));
  return view_of(data, dtype, shape, p);
}

TensorView CaseMemory::indices(const std::vector<int64_t>& values,
                               const std::vector<int64_t>& shape) {
  const Strides strides =
      c.strides == Strides::kLastStep2 ? Strides::kLastStep2 : Strides::kContiguous;
  const Placement p = place(shape, strides, -1, -1, false);
  std::byte* data = input(p.elements * size_bytes(c.index));
  std::fill_n(data, p.elements * size_bytes(c.index), kGuard);
  const int64_t step = strides == Strides::kLastStep2 ? 2 : 1;
  for (size_t n = 0; n < values.size(); ++n) {
    store(c.index, data + static_cast<int64_t>(n) * step * size_bytes(c.index),
          static_cast<double>(values[n]));
  }
  return view_of(data, c.index, shape, p);
}

std::byte* CaseMemory::input(int64_t bytes) {
  inputs_.push_back(std::make_unique<Block>(static_cast<size_t>(bytes)));
  return inputs_.back()->data();
}

TensorView CaseMemory::output(const char* name, DType dtype, const std::vector<int64_t>& shape,
                              int position, int head) {
  const Placement p = place(shape, c.strides, position, head, false);
  const size_t bytes = static_cast<size_t>(p.elements * size_bytes(dtype)) + 2 * kGuardBytes;
  outputs.push_back({name, std::make_unique<Block>(bytes), {}, {}, std::vector<bool>(bytes)});
  outputs.back().view = view_of(outputs.back().block->data() + kGuardBytes, dtype, shape, p);
  return outputs.back().view;
}

TensorView CaseMemory::stored(const char* name, const TensorView& view, const Block& block) {
  const size_t bytes = block.size() + 2 * kGuardBytes;
  outputs.push_back({name, std::make_unique<Block>(bytes), view,
                     std::vector<std::byte>(bytes, kGuard), std::vector<bool>(bytes)});
  OutputMemory& o = outputs.back();
  std::copy_n(block.data(), block.size(), o.before.data() + kGuardBytes);
  const auto base = static_cast<const std::byte*>(view.data) - block.data();
  if (view.data) o.view.data = o.block->data() + kGuardBytes + base;
  o.reset();
  return o.view;
}

}  // namespace attend::testing
