#include "strategies/engine/zeros.h"

#include <cstring>

namespace attend::engine {
namespace {

void set_zero_from(const TensorView& t, int dim, char* at) {
  const int64_t size = size_bytes(t.dtype), step = t.step(dim) * size;
  for (int64_t i = 0; i < t.dim(dim); ++i)
    if (dim + 1 < t.rank)
      set_zero_from(t, dim + 1, at + i * step);
    else
      std::memset(at + i * step, 0, static_cast<size_t>(size));
}

}  // namespace

void set_zero(const TensorView& t) { set_zero_from(t, 0, static_cast<char*>(t.data)); }

}  // namespace attend::engine
