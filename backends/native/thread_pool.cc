#include "backends/native/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "attend/parallel.h"

namespace attend {
namespace native {
namespace {

using Body = void (*)(void*, int64_t, int32_t);

// One call's tasks: workers draw the next number until none is left.
struct Job {
  Body body = nullptr;
  void* context = nullptr;
  int64_t tasks = 0;
  std::atomic<int64_t> next{0};

  void work(int32_t worker) {
    for (int64_t task = 0; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;)
      body(context, task, worker);
  }
};

// CPUs that this process may run on.
int32_t usable_cpus() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return std::max(1, CPU_COUNT(&cpus));
  return static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
}

// Between the calls of one step lie a few microseconds, and a thread that sleeps takes 30 to 100 to
// come: so long it stays awake for the next call, if nobody else need have its CPU.
constexpr std::chrono::microseconds kStayAwake{50};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Until `done` or for kStayAwake.
template <class F>
void stay_awake(F&& done) {
  const auto end = std::chrono::steady_clock::now() + kStayAwake;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
}

thread_local bool t_inside_task = false;  // a call from within a task runs where it is

// Sleeping helpers that one call at a time may use. A second caller meanwhile does its own work
// alone, so that no call ever waits for another's.
class ThreadPool {
 public:
  // False when the pool is taken; nothing has then been run.
  bool try_run(Job& job, int32_t workers) {
    const std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    start_helpers(workers - 1);
    {
      const std::lock_guard lock(mutex_);
      job_ = &job;
      stay_awake_ = helpers_ < cpus_;
      open_places_ = std::min(workers - 1, helpers_);
      calls_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    t_inside_task = true;
    job.work(0);
    t_inside_task = false;
    if (helpers_ < cpus_) stay_awake([this] { return busy_.load(std::memory_order_acquire) == 0; });
    std::unique_lock lock(mutex_);
    open_places_ = 0;  // whoever has not woken by now finds nothing left
    idle_.wait(lock, [&] { return at_work_ == 0; });
    return true;
  }

 private:
  // Only the holder of the turn starts helpers. Fewer than wanted is no error: the caller works
  // too.
  void start_helpers(int32_t wanted) {
    while (helpers_ < wanted) {
      try {
        std::thread([this] { help(); }).detach();
      } catch (const std::system_error&) {
        return;
      }
      ++helpers_;
    }
  }

  [[noreturn]] void help() {
    t_inside_task = true;
    std::unique_lock lock(mutex_);
    for (;;) {
      if (open_places_ == 0 && stay_awake_) {
        const uint32_t seen = calls_.load(std::memory_order_relaxed);
        lock.unlock();
        stay_awake([&] { return calls_.load(std::memory_order_acquire) != seen; });
        lock.lock();
      }
      wake_.wait(lock, [&] { return open_places_ > 0; });
      const int32_t worker = open_places_--;
      Job* const job = job_;
      ++at_work_;
      busy_.store(at_work_, std::memory_order_relaxed);
      lock.unlock();
      job->work(worker);
      lock.lock();
      busy_.store(--at_work_, std::memory_order_release);
      if (at_work_ == 0) idle_.notify_one();
    }
  }

  std::mutex turn_;      // held by the call that uses the pool
  int32_t helpers_ = 0;  // guarded by turn_
  std::mutex mutex_;     // guards what follows
  std::condition_variable wake_, idle_;
  Job* job_ = nullptr;
  int32_t open_places_ = 0, at_work_ = 0;
  bool stay_awake_ = false;         // as many CPUs as threads
  std::atomic<uint32_t> calls_{0};  // changes with each, for those that are awake
  std::atomic<int32_t> busy_{0};    // at_work_, likewise
  const int32_t cpus_ = usable_cpus();
};

std::atomic<ThreadPool*> g_pool{nullptr};

// The pool is never destroyed: its sleeping helpers end with the process. After fork a child has no
// helpers, so it forgets the parent's pool and makes its own.
ThreadPool& pool() {
  if (ThreadPool* p = g_pool.load(std::memory_order_acquire); p != nullptr) return *p;
  static std::mutex making;
  static const int at_fork = pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr); });
  static_cast<void>(at_fork);
  const std::lock_guard lock(making);
  if (g_pool.load() == nullptr) g_pool.store(new ThreadPool, std::memory_order_release);
  return *g_pool.load();
}

int32_t default_threads() {
  if (const char* word = std::getenv("ATTEND_NUM_THREADS"); word != nullptr)
    if (const long n = std::strtol(word, nullptr, 10); n >= 1 && n <= 4096)
      return static_cast<int32_t>(n);
  return usable_cpus();
}

std::atomic<int32_t>& thread_setting() {
  static std::atomic<int32_t> count{default_threads()};
  return count;
}

}  // namespace

int32_t worker_count(const ExecContext& context, int64_t tasks) {
  if (context.parallel_for.run != nullptr) return context.parallel_for.workers;
  return static_cast<int32_t>(std::clamp<int64_t>(tasks, 1, num_threads()));
}

void run_tasks(const ExecContext& context, int32_t workers, int64_t tasks, Body body,
               void* body_context) {
  const ParallelFor& theirs = context.parallel_for;
  if (theirs.run != nullptr && tasks > 0) return theirs.run(theirs.user, tasks, body, body_context);
  if (workers > 1 && !t_inside_task) {
    Job job;
    job.body = body;
    job.context = body_context;
    job.tasks = tasks;
    if (pool().try_run(job, workers)) return;
  }
  for (int64_t task = 0; task < tasks; ++task) body(body_context, task, 0);
}

}  // namespace native

int32_t num_threads() { return native::thread_setting().load(std::memory_order_relaxed); }

void set_num_threads(int32_t count) {
  if (count < 1)
    throw Error(ErrorCode::kInvalidArgument,
                "set_num_threads: count is " + std::to_string(count) + ", expected 1 or more");
  native::thread_setting().store(count, std::memory_order_relaxed);
}

void parallel_for(int64_t tasks, void (*body)(void*, int64_t, int32_t), void* context) {
  const ExecContext own;
  native::run_tasks(own, native::worker_count(own, tasks), tasks, body, context);
}

}  // namespace attend
