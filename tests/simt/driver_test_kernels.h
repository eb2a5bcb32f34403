#pragma once
#include <cstdint>

namespace attend::simt {

struct TestArgs {
  const int32_t* from;
  int32_t* to;
  int32_t n;
};
inline constexpr int kTestThreads = 64;

}  // namespace attend::simt
