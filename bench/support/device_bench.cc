#include "bench/support/device_bench.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "attend/registry.h"
#include "bench/support/bench_main.h"
#include "bench/support/samples.h"
#include "tests/support/devices.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"

namespace attend::bench {
namespace {

using testing::AttentionCase;
using DeviceCall = testing::DeviceCall<AttentionArgs, AttentionParams>;

constexpr int64_t kBeyondCache = int64_t{256} << 20;  // no device of today caches this much
constexpr int64_t kMostCopies = 32;
constexpr double kSampleSeconds = 2e-3;

bool is_stand_in(const Backend& b) {
  return std::string(b.table->device_name(0)).find("(host execution)") != std::string::npos;
}

std::vector<DeviceType> devices() {
  if (std::getenv("ATTEND_TEST_DEVICES") != nullptr) {
    std::vector<DeviceType> named = testing::test_devices();
    std::erase(named, DeviceType::kNative);
    return named;
  }
  std::vector<DeviceType> list;
  for (const Backend& b : Registry::global().backends())
    if (b.table != nullptr && b.device_count > 0 && !is_stand_in(b)) list.push_back(b.device);
  return list;
}

// A case on a device: the call as it is judged, and copies of it that are timed.
class Timed {
 public:
  Timed(OpId op, const AttentionKernel& row, const AttentionCase& c)
      : row_(row),
        op_(attention_op(op)),
        tensors_(testing::make_tensors(c, testing::Fill::kPlain)),
        work_(work_of(tensors_.args, tensors_.params)) {
    context_.device = Device{row.device, 0};
    context_.check_indices = CheckIndices::kOff;
  }

  // Empty, or what is wrong with the row's result.
  std::string verify() {
    const int64_t keys = std::max<int64_t>(1, tensors_.args.k.dim(-3));
    const testing::Judge judge(tensors_.args, tensors_.params,
                               {std::max<int64_t>(64, (int64_t{1} << 19) / keys)});
    tensors_.reset_outputs();
    testing::run_row(row_, tensors_.args, tensors_.params);
    if (const std::string damage = tensors_.damaged_guard(); !damage.empty()) return damage;
    const auto verdicts = judge.compare(tensors_.args);
    return all_ok(verdicts) ? "" : to_string(verdicts);
  }

  Samples measure(benchmark::State& state) {
    const auto bytes = std::max<int64_t>(1, static_cast<int64_t>(work_.bytes));
    const int64_t copies = std::clamp<int64_t>(kBeyondCache / bytes + 1, 1, kMostCopies);
    std::deque<DeviceCall> calls;
    for (int64_t n = 0; n < copies; ++n)
      calls.emplace_back(context_.device, tensors_.args, tensors_.params);
    size_t at = 0;
    const auto batch = [&](int64_t n) {
      const double begin = wall_seconds();
      for (; n > 0; --n) {
        const DeviceCall& call = calls[at++ % calls.size()];
        op_.run_kernel(row_.name, call.args, call.params, context_);
      }
      const BackendTable& table = Registry::global().backend(row_.device);
      if (const Status s = table.synchronize(context_.device, nullptr); !s)
        throw Error(s.code, to_string(s));
      return wall_seconds() - begin;
    };
    int64_t in_batch = 1;
    while (batch(in_batch) < kSampleSeconds && in_batch < 4096) in_batch *= 2;
    Samples samples;
    while (state.KeepRunningBatch(in_batch))
      samples.seconds.push_back(batch(in_batch) / static_cast<double>(in_batch));
    return samples;
  }

  const Work& work() const { return work_; }

 private:
  const AttentionKernel& row_;
  const AttentionOp& op_;
  testing::CaseTensors tensors_;
  Work work_;
  ExecContext context_;
};

void run_case(benchmark::State& state, const std::string& name, OpId op, const AttentionKernel& row,
              const AttentionCase& c) {
  try {
    // The library enters again to set the length of a run: what is prepared stays.
    static std::string last_name;
    static std::unique_ptr<Timed> last;
    if (last == nullptr || last_name != name) {
      last.reset();
      last = std::make_unique<Timed>(op, row, c);
      last_name = name;
      if (const std::string fault = last->verify(); !fault.empty()) return fail(state, fault);
    }
    const Samples samples = last->measure(state);
    count(state, samples);
    state.counters["FLOP/s"] = last->work().flop / samples.best();
    state.counters["FLOP/s_median"] = last->work().flop / samples.median();
    state.counters["bytes/s"] = last->work().bytes / samples.best();
    state.counters["bytes/s_median"] = last->work().bytes / samples.median();
  } catch (const std::exception& e) {
    fail(state, e.what());
  }
}

// Whether the row takes the case: asked with a call in the same words that is smaller in what no
// row looks at.
bool takes(OpId op, const AttentionKernel& row, const AttentionCase& c) {
  AttentionCase small = c;
  small.batch = 1;
  small.seqlen_q = std::min<int64_t>(c.seqlen_q, 32);
  small.seqlen_k = std::min<int64_t>(c.seqlen_k, 64);
  testing::CaseTensors t = testing::make_tensors(small, testing::Fill::kPlain);
  const Device device{row.device, 0};
  testing::relabel(t.args, t.params, device);
  try {
    for (const KernelAnswer& answer : attention_op(op).explain(t.args, t.params, device))
      if (std::string(answer.kernel) == row.name) return bool(answer.status);
  } catch (const Error&) {  // the operator itself refuses the shape
  }
  return false;
}

}  // namespace

void register_on_devices(OpId op, const std::vector<AttentionCase>& cases) {
  for (const DeviceType device : devices())
    for (const AttentionCase& c : cases)
      for (const AttentionKernel& row : Registry::global().attention_kernels(op, device)) {
        if (!row.available(Device{device, 0}) || !takes(op, row, c)) continue;
        const std::string name = std::string(row.name) + "/" + testing::name(c) + "/threads:1";
        benchmark::RegisterBenchmark(name.c_str(), [=, &row, &c](benchmark::State& state) {
          run_case(state, name, op, row, c);
        })->Unit(benchmark::kMicrosecond);
      }
}

}  // namespace attend::bench
