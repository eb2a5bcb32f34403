// Contract 7: the same inputs and kernel give the same bits, for any thread count, any order of
// tasks and any batch around a sequence, run after run.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "attend/error.h"
#include "attend/parallel.h"
#include "tests/kernels/alone.h"
#include "tests/kernels/rows.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

using Body = void (*)(void* context, int64_t task, int32_t worker);

void in_reverse(void*, int64_t tasks, Body body, void* context) {
  for (int64_t task = tasks - 1; task >= 0; --task) body(context, task, 0);
}

// Every third task on each of three threads.
void on_three_threads(void*, int64_t tasks, Body body, void* context) {
  std::vector<std::thread> threads;
  for (int32_t worker = 0; worker < 3; ++worker) {
    threads.emplace_back([=] {
      for (int64_t task = worker; task < tasks; task += 3) body(context, task, worker);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class SameBits : public ::testing::TestWithParam<RowCase> {
 protected:
  void SetUp() override {
    tensors_.emplace(make_tensors(as_read_by(GetParam().op, *GetParam().the_case)));
    threads_ = num_threads();
    set_num_threads(1);
    try {
      first_ = run();
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kUnsupported) GTEST_SKIP() << e.what();
      FAIL() << e.what();
    }
  }
  void TearDown() override { set_num_threads(threads_); }

  void call(const AttentionArgs& args, const AttentionParams& params,
            const ExecContext& context = {}) {
    run_row(*GetParam().row, args, params, context);
  }
  std::vector<std::byte> run(const ExecContext& context = {}) {
    tensors_->reset_outputs();
    call(tensors_->args, tensors_->params, context);
    return tensors_->output_bytes();
  }

  std::optional<CaseTensors> tensors_;
  std::vector<std::byte> first_;
  int32_t threads_ = 1;
};

TEST_P(SameBits, AnyThreadsAnyOrderRunAfterRun) {
  EXPECT_TRUE(run() == first_) << "a second run";
  if (GetParam().row->device != DeviceType::kNative) return;  // threads are the device's own
  for (int32_t threads : {2, 5}) {
    set_num_threads(threads);
    EXPECT_TRUE(run() == first_) << threads << " threads";
  }
  ExecContext context;
  context.parallel_for = {in_reverse, nullptr, 1};
  EXPECT_TRUE(run(context) == first_) << "tasks in reverse";
  context.parallel_for = {on_three_threads, nullptr, 3};
  EXPECT_TRUE(run(context) == first_) << "another program's threads";
}

TEST_P(SameBits, AloneAsInABatch) {
  const AttentionCase& c = *GetParam().the_case;
  if (c.batch < 2 || c.dropout_p > 0) return;  // the dropout counter holds the sequence's number
  tensors_->reset_outputs();
  for (int64_t b = c.batch - 1; b >= 0; --b) {
    const Part one = alone(tensors_->args, tensors_->params, b);
    call(one.args, one.params);
  }
  EXPECT_TRUE(tensors_->output_bytes() == first_);
}

INSTANTIATE_TEST_SUITE_P(Rows, SameBits, ::testing::ValuesIn(rows_and_cases(3)),
                         [](const auto& p) { return test_name(p.param); });

}  // namespace
}  // namespace attend::testing
