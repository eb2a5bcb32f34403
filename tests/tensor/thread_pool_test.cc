// The library's own threads: every task once, worker numbers that no two tasks share at a time, calls from several
// threads and from within a task, and a pool that survives fork.
#include "backends/native/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "attend/parallel.h"
#include "tests/dispatch/call.h"

// The thread sanitizer ends a child that starts threads after a fork unless told that this is meant.
extern "C" ATTEND_API const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace attend {
namespace {

using testing::Thrown;
using testing::thrown;

// One call, watched: how often each task ran, and whether a worker number was ever held twice or out of range.
struct Watch {
  explicit Watch(int64_t tasks, int32_t workers)
      : ran(static_cast<size_t>(tasks)), held(static_cast<size_t>(workers)) {}
  std::vector<std::atomic<int>> ran;
  std::vector<std::atomic<int>> held;
  std::atomic<int> faults{0}, most_at_once{0}, now{0};

  void operator()(int64_t task, int32_t worker) {
    if (worker < 0 || worker >= static_cast<int32_t>(held.size())) {
      ++faults;
      return;
    }
    if (held[static_cast<size_t>(worker)].exchange(1) != 0) ++faults;
    const int at_once = ++now;
    int most = most_at_once;
    while (at_once > most && !most_at_once.compare_exchange_weak(most, at_once)) {
    }
    for (volatile int spin = 0; spin < 200;) spin = spin + 1;
    ++ran[static_cast<size_t>(task)];
    --now;
    held[static_cast<size_t>(worker)] = 0;
  }
  bool every_task_once() const {
    for (const auto& n : ran)
      if (n != 1) return false;
    return true;
  }
};

bool run_watched(int64_t tasks, const ExecContext& context = {}) {
  const int32_t workers = native::worker_count(context, tasks);
  Watch watch(tasks, workers);
  native::parallel(context, workers, tasks, watch);
  return watch.every_task_once() && watch.faults == 0 && watch.most_at_once <= workers;
}

class Pool : public ::testing::Test {
 protected:
  void TearDown() override { set_num_threads(before); }
  const int32_t before = num_threads();
};

TEST_F(Pool, RunsEveryTaskOnceForEveryCount) {
  for (const int32_t threads : {1, 2, 3, 8, 4}) {
    set_num_threads(threads);
    EXPECT_EQ(num_threads(), threads);
    for (const int64_t tasks : {0, 1, 2, 3, 7, 100, 1000})
      EXPECT_TRUE(run_watched(tasks)) << threads << " threads, " << tasks << " tasks";
  }
}

TEST_F(Pool, UsesNoMoreWorkersThanTasksOrThreads) {
  set_num_threads(4);
  EXPECT_EQ(native::worker_count({}, 100), 4);
  EXPECT_EQ(native::worker_count({}, 2), 2);
  EXPECT_EQ(native::worker_count({}, 0), 1);
  ExecContext context;
  context.parallel_for.run = [](void*, int64_t, void (*)(void*, int64_t, int32_t), void*) {};
  context.parallel_for.workers = 9;
  EXPECT_EQ(native::worker_count(context, 2), 9);
}

// Two tasks that wait for each other end only if they run at the same time.
TEST_F(Pool, RunsTasksAtTheSameTime) {
  set_num_threads(2);
  std::atomic<int> arrived{0};
  native::parallel({}, 2, 2, [&](int64_t, int32_t) {
    ++arrived;
    for (int i = 0; i < 20000 && arrived < 2; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  EXPECT_EQ(arrived, 2);
}

TEST_F(Pool, RefusesCountsBelowOne) {
  set_num_threads(3);
  for (const int32_t count : {0, -4}) {
    const Thrown e = thrown([&] { set_num_threads(count); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(e.says("count is " + std::to_string(count) + ", expected 1 or more")) << e.what;
  }
  EXPECT_EQ(num_threads(), 3);
}

TEST_F(Pool, ServesSeveralCallersWhileTheCountChanges) {
  set_num_threads(3);
  std::atomic<int> faults{0};
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int32_t n = 1; !stop; n = n % 6 + 1) set_num_threads(n);
  });
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int n = 0; n < 100; ++n) faults += !run_watched(1 + n % 17);
    });
  for (std::thread& t : callers) t.join();
  stop = true;
  changer.join();
  EXPECT_EQ(faults, 0);
}

TEST_F(Pool, ACallFromWithinATaskRunsThere) {
  set_num_threads(4);
  std::atomic<int> faults{0}, inner{0};
  native::parallel({}, 4, 20, [&](int64_t, int32_t) {
    const auto here = std::this_thread::get_id();
    std::vector<int> ran(9);
    native::parallel({}, 4, 9, [&](int64_t task, int32_t worker) {
      if (std::this_thread::get_id() != here || worker != 0) ++faults;
      ++ran[static_cast<size_t>(task)];
      ++inner;
    });
    for (const int n : ran) faults += n != 1;
  });
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(inner, 20 * 9);
  EXPECT_TRUE(run_watched(50));  // and the pool is whole afterwards
}

TEST_F(Pool, TheCallersOwnThreadsAreUsedAlone) {
  struct Theirs {
    int calls = 0;
    std::thread::id caller = std::this_thread::get_id();
  } theirs;
  ExecContext context;
  context.parallel_for.user = &theirs;
  context.parallel_for.workers = 3;
  context.parallel_for.run = [](void* user, int64_t tasks, void (*body)(void*, int64_t, int32_t),
                                void* body_context) {
    ++static_cast<Theirs*>(user)->calls;
    for (int64_t t = tasks; t-- > 0;) body(body_context, t, static_cast<int32_t>(t % 3));
  };
  std::atomic<int> elsewhere{0};
  native::parallel(context, 3, 10, [&](int64_t, int32_t) {
    elsewhere += std::this_thread::get_id() != theirs.caller;
  });
  EXPECT_EQ(theirs.calls, 1);
  EXPECT_EQ(elsewhere, 0);
  EXPECT_TRUE(run_watched(10, context));
}

// A child has none of its parent's threads; a pool that waited for them would hang.
TEST_F(Pool, IsUsableAfterFork) {
  set_num_threads(3);
  ASSERT_TRUE(run_watched(100));
  for (int repeat = 0; repeat < 3; ++repeat) {
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      alarm(60);
      _exit(run_watched(100) && run_watched(7) ? 0 : 3);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
    EXPECT_TRUE(run_watched(100));
  }
}

// The same, seen from outside: a whole call in the child of a process that has already computed.
TEST_F(Pool, ACallAfterForkComputes) {
  set_num_threads(3);
  testing::MeanCall before_fork;
  FlashAttention().forward(before_fork.args, before_fork.params);
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    alarm(60);
    testing::MeanCall call;
    FlashAttention().forward(call.args, call.params);
    _exit(call.out == before_fork.out ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace attend
