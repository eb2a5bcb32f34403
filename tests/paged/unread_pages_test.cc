// Pages that no row may see are never touched: here they cannot be, since reading them ends the
// process.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>

#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "tests/support/judge.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr int64_t kPages = 32, kPageSize = 16;

// k or v: every page of keys is a page of the machine.
class LockablePages {
 public:
  LockablePages() : bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    memory_ =
        mmap(nullptr, bytes_ * kPages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const auto dim = static_cast<int64_t>(bytes_) / kPageSize / 4;
    view = contiguous(memory_, DType::kF32, {kPages, kPageSize, 1, dim});
    for (int64_t n = 0; n < view.num_elements(); ++n)
      static_cast<float*>(memory_)[n] = static_cast<float>(std::sin(0.37 * static_cast<double>(n)));
  }
  ~LockablePages() { munmap(memory_, bytes_ * kPages); }
  void lock(int64_t page) {
    ASSERT_EQ(mprotect(static_cast<char*>(memory_) + static_cast<size_t>(page) * bytes_, bytes_,
                       PROT_NONE),
              0);
  }
  TensorView view;

 private:
  size_t bytes_;
  void* memory_;
};

struct Call {
  LockablePages k, v;
  std::vector<int32_t> table;
  int32_t keys = 0, hole_start = 0, hole_end = 0;
  std::vector<float> q, out;
  AttentionArgs args;
  AttentionParams params;

  Call(int64_t rows, int32_t the_keys) : keys(the_keys) {
    const int64_t dim = k.view.dim(3);
    for (int32_t n = 0; n < 20; ++n) table.push_back((7 * n + 3) % kPages);
    q.assign(static_cast<size_t>(rows * dim), 0.125f);
    out.assign(q.size(), NAN);
    args.q = contiguous(q.data(), DType::kF32, {1, rows, 1, dim});
    args.out = contiguous(out.data(), DType::kF32, {1, rows, 1, dim});
    args.k = k.view;
    args.v = v.view;
    args.seq.block_table = contiguous(table.data(), DType::kI32, {1, 20});
    args.seq.seqused_k = contiguous(&keys, DType::kI32, {1});
    params.mask.causal = true;
  }
  // Locks every page but the n-th ones of the table.
  void lock_all_but(std::initializer_list<int64_t> seen) {
    std::vector<bool> open(kPages, false);
    for (int64_t n : seen) open[static_cast<size_t>(table[static_cast<size_t>(n)])] = true;
    for (int64_t page = 0; page < kPages; ++page) {
      if (open[static_cast<size_t>(page)]) continue;
      k.lock(page);
      v.lock(page);
    }
  }
};

// Each in a process of its own, which a read of a locked page ends.
#define EXPECT_TO_SURVIVE(call, ...)                                                         \
  EXPECT_EXIT(                                                                               \
      {                                                                                      \
        set_num_threads(1);                                                                  \
        const Judge judge((call).args, (call).params);                                       \
        (call).lock_all_but(__VA_ARGS__);                                                    \
        for (const AttentionKernel& row :                                                    \
             Registry::global().attention_kernels(OpId::kPaged, DeviceType::kNative)) {      \
          if (!row.available({}) || !row.supports((call).args, (call).params, {})) continue; \
          std::fill((call).out.begin(), (call).out.end(), NAN);                              \
          attention_op(OpId::kPaged).run_kernel(row.name, (call).args, (call).params);       \
          if (!all_ok(judge.compare((call).args))) _exit(3);                                 \
        }                                                                                    \
        _exit(0);                                                                            \
      },                                                                                     \
      ::testing::ExitedWithCode(0), "")

TEST(UnreadPages, BehindTheLastKey) {
  Call call(2, 70);
  call.table[5] = -1;
  call.table[6] = 1 << 30;
  EXPECT_TO_SURVIVE(call, {0, 1, 2, 3, 4});
}

TEST(UnreadPages, LeftOfTheWindow) {
  Call call(3, 200);  // rows at 197 to 199: keys from 177 on, page 11
  call.params.mask.window_left = 20;
  EXPECT_TO_SURVIVE(call, {11, 12});
}

TEST(UnreadPages, BeyondEveryRow) {
  Call call(3, 200);
  int32_t start = 40;  // rows at 40 to 42
  call.params.mask.q_start = contiguous(&start, DType::kI32, {1});
  EXPECT_TO_SURVIVE(call, {0, 1, 2});
}

TEST(UnreadPages, InAHole) {
  Call call(3, 200);
  call.hole_start = 30, call.hole_end = 130;  // pages 2 to 7 as a whole
  call.params.mask.hole_starts = contiguous(&call.hole_start, DType::kI32, {1});
  call.params.mask.hole_ends = contiguous(&call.hole_end, DType::kI32, {1});
  EXPECT_TO_SURVIVE(call, {0, 1, 8, 9, 10, 11, 12});
}

TEST(UnreadPages, TheLocksHold) {
  Call call(3, 200);
  EXPECT_DEATH(
      {
        set_num_threads(1);
        call.lock_all_but({11, 12});
        attention_op(OpId::kPaged).forward(call.args, call.params);
      },
      "");
}

}  // namespace
}  // namespace attend::testing
