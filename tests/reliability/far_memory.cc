#include "tests/reliability/far_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "tests/reliability/arena.h"

namespace attend::testing {

FarTensor::FarTensor(const TensorView& from, const std::vector<int64_t>& stride,
                     const std::vector<int64_t>& shape, const std::vector<int64_t>& places)
    : view_(from), places_(places) {
  std::copy(stride.begin(), stride.end(), view_.stride.begin());
  std::copy(shape.begin(), shape.end(), view_.shape.begin());
  view_.data = nullptr;
  const auto [low, high] = reach_of(view_);
  const auto size = static_cast<size_t>(size_bytes(from.dtype));
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes_ = (static_cast<size_t>(high - low + 1) * size / page + 2) * page;
  void* at = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return;
  base_ = static_cast<std::byte*>(at);
  view_.data = base_ - low * static_cast<int64_t>(size);
  std::set<size_t> open;
  for (int64_t n = 0; n < from.num_elements(); ++n) {
    std::byte* const to = element(from, n, true);
    const size_t number = static_cast<size_t>(to - base_) / page;
    if (open.insert(number).second &&
        mprotect(base_ + number * page, page, PROT_READ | PROT_WRITE) != 0)
      throw std::bad_alloc();
    std::memcpy(to, element(from, n, false), size);
  }
}

FarTensor::~FarTensor() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

// Of element n of a view of from's shape: in that view, or in this one.
std::byte* FarTensor::element(const TensorView& from, int64_t n, bool far) const {
  const TensorView& view = far ? view_ : from;
  int64_t offset = 0;
  for (int d = from.rank - 1; d >= 0; --d) {
    int64_t i = n % from.dim(d);
    n /= from.dim(d);
    if (far && d == 0 && !places_.empty()) i = places_[static_cast<size_t>(i)];
    offset += i * view.step(d);
  }
  return static_cast<std::byte*>(view.data) + offset * size_bytes(view.dtype);
}

bool FarTensor::equals(const TensorView& other) const {
  const auto size = static_cast<size_t>(size_bytes(other.dtype));
  for (int64_t n = 0; n < other.num_elements(); ++n)
    if (std::memcmp(element(other, n, true), element(other, n, false), size) != 0) return false;
  return true;
}

}  // namespace attend::testing
