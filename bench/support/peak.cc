// How: the probes run in turn, so that a noisy neighbour hits all of them alike, and the best round
// of each counts. A round takes one to three milliseconds, so that on a shared machine some round
// finds all cores free; reading goes on where the round before stopped, through memory larger than
// every cache. With several threads all start together, and the time runs from the first start to
// the last end.
#include "bench/support/peak.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <new>
#include <thread>
#include <vector>

#include "bench/support/machine.h"
#include "bench/support/probe.h"

namespace attend::bench {
namespace {

constexpr int kRounds = 64, kSlices = 8;

// Memory beyond every cache, on huge pages where the machine grants them.
class Memory {
 public:
  explicit Memory(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::fill_n(static_cast<char*>(data_), bytes_, '\1');  // else all pages are the one of zeros
  }
  ~Memory() { munmap(data_, bytes_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  const char* data() const { return static_cast<const char*>(data_); }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

struct Probes {
  const char* isa = "portable";
  ComputeProbe f32_fma = portable::f32_fma;
  ReadProbe read = portable::read;
  ComputeProbe bf16_dot = nullptr;
};

Probes probes() {
  Probes p;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    p = {"avx512", avx512::f32_fma, avx512::read, nullptr};
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    p = {"avx2", avx2::f32_fma, avx2::read, nullptr};
  if (__builtin_cpu_supports("avx512bf16")) p.bf16_dot = avx512_bf16::bf16_dot;
#endif
  return p;
}

// Work per second of `threads` threads that each do work(thread) once.
double rate(int threads, const std::function<double(int)>& work) {
  if (threads == 1) {
    const double begin = clock_seconds(1), done = work(0);
    return done / (clock_seconds(1) - begin);
  }
  std::atomic<int> waiting{threads};
  std::vector<double> begin(static_cast<size_t>(threads)), end(begin), done(begin);
  std::vector<std::thread> team;
  for (int t = 0; t < threads; ++t)
    team.emplace_back([&, t, at = static_cast<size_t>(t)] {
      --waiting;
      while (waiting.load() > 0) {
      }
      begin[at] = wall_seconds();
      done[at] = work(t);
      end[at] = wall_seconds();
    });
  for (std::thread& thread : team) thread.join();
  double total = 0;
  for (double d : done) total += d;
  return total / (*std::max_element(end.begin(), end.end()) -
                  *std::min_element(begin.begin(), begin.end()));
}

}  // namespace

Peak measure_peak(int threads) {
  constexpr long kFmaLength = 1 << 18, kDotLength = 1 << 17;
  const Probes p = probes();
  const int64_t slice = bytes_beyond_cache() / threads / kSlices / 4096 * 4096;
  const Memory memory(slice * kSlices * threads);
  Peak best;
  best.threads = threads;
  best.isa = p.isa;
  const auto take = [&](double& slot, const std::function<double(int)>& work) {
    slot = std::max(slot, rate(threads, work));
  };
  for (int round = 0; round < kRounds; ++round) {
    take(best.f32_fma, [&](int) { return p.f32_fma(kFmaLength); });
    if (p.bf16_dot != nullptr) take(best.bf16_dot, [&](int) { return p.bf16_dot(kDotLength); });
    take(best.read, [&](int t) {
      return p.read(memory.data() + (round % kSlices * threads + t) * slice, slice);
    });
  }
  return best;
}

const Peak& peak(int threads) {
  static std::map<int, Peak> known;
  auto found = known.find(threads);
  if (found == known.end()) found = known.emplace(threads, measure_peak(threads)).first;
  return found->second;
}

}  // namespace attend::bench
