#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

#include "attend/tensor.h"
#include "tests/support/cases.h"
#include "tests/support/element.h"

// Where the tensors of a case lie: blocks of memory, strides within them, and NaN where nobody may read.
namespace attend::testing {

// Memory of exactly this many bytes, so that an address sanitizer sees the first byte beyond;
// 64-byte aligned.
class Block {
 public:
  explicit Block(size_t bytes) : bytes_(bytes) {
    if (bytes > 0 && posix_memalign(&data_, 64, bytes) != 0) throw std::bad_alloc();
  }
  ~Block() { std::free(data_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t size() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

// Where a tensor's elements lie: strides and the memory they need, in elements.
struct Placement {
  std::vector<int64_t> stride;
  int64_t base = 0, elements = 0;
};

// position and head are the dimensions of rows and of heads, -1 if there are none.
Placement place(const std::vector<int64_t>& shape, Strides strides, int position, int head,
                bool may_broadcast);

TensorView view_of(std::byte* data, DType dtype, const std::vector<int64_t>& shape,
                   const Placement& p);

// Stores NaN where live(index...) is false for every logical place of that memory.
template <class Live>
void poison(const TensorView& view, const Block& block, const Live& live) {
  const int64_t bytes = size_bytes(view.dtype);
  std::vector<bool> used(block.size() / static_cast<size_t>(bytes), false);
  std::array<int64_t, kMaxRank> at{};
  for (int64_t n = 0; n < view.num_elements(); ++n) {
    int64_t rest = n, offset = 0;
    for (int d = view.rank - 1; d >= 0; --d) {
      at[static_cast<size_t>(d)] = rest % view.dim(d);
      rest /= view.dim(d);
      offset += at[static_cast<size_t>(d)] * view.step(d);
    }
    const auto* address = static_cast<const std::byte*>(view.data) + offset * bytes;
    if (live(at)) used[static_cast<size_t>((address - block.data()) / bytes)] = true;
  }
  for (size_t n = 0; n < used.size(); ++n) {
    if (!used[n])
      store(view.dtype, block.data() + static_cast<int64_t>(n) * bytes,
            std::numeric_limits<double>::quiet_NaN());
  }
}

}  // namespace attend::testing
