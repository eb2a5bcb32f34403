#pragma once
#include <string>

#include "tests/simt/executor/launch.h"
#include "tests/simt/executor/thread.h"

// Small kernels of the executor's own tests: a callable of Thread&, with what it captures as its
// arguments.
namespace attend::simt {

struct Shape {
  gpu::Index3 grid{1, 1, 1};
  uint32_t shared_bytes = 4096;
  Order order{};
};

inline constexpr int kThreads = 128;

// Empty, or what the executor says.
template <class Body>
std::string run_kernel(const Body& body, const Shape& shape = {}) {
  static const HostKernel kernel{
      "attend_test", kThreads, sizeof(Body),
      [](gpu::Thread& x, const void* args) { (*static_cast<const Body*>(args))(x); }};
  return execute({.kernel = &kernel,
                  .grid = shape.grid,
                  .threads = kThreads,
                  .shared_bytes = shape.shared_bytes,
                  .args = &body,
                  .order = shape.order});
}

inline constexpr Order kOrders[] = {{},
                                    {.kind = Order::Kind::kBackward},
                                    {.kind = Order::Kind::kShuffled, .seed = 1},
                                    {.kind = Order::Kind::kShuffled, .seed = 99}};

}  // namespace attend::simt
