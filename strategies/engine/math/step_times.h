#pragma once
#include <chrono>

namespace attend::engine {

// Where the time of a step went, in seconds.
struct StepTimes {
  double products = 0;   // Linear
  double operators = 0;  // what goes through the AttentionBackend
};

// Adds up on this thread from here to the end of the scope; scopes do not nest.
class TimesScope {
 public:
  explicit TimesScope(StepTimes& times) { current() = &times; }
  ~TimesScope() { current() = nullptr; }
  TimesScope(const TimesScope&) = delete;
  TimesScope& operator=(const TimesScope&) = delete;

  static StepTimes*& current() noexcept {
    thread_local StepTimes* times = nullptr;
    return times;
  }
};

// The scope's time counts as this part's; nothing is measured outside a TimesScope.
class Timed {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Timed(double StepTimes::*part) noexcept : part_(part), times_(TimesScope::current()) {
    if (times_ != nullptr) begin_ = Clock::now();
  }
  ~Timed() {
    if (times_ != nullptr)
      times_->*part_ += std::chrono::duration<double>(Clock::now() - begin_).count();
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  double StepTimes::*part_;
  StepTimes* times_;
  Clock::time_point begin_;
};

}  // namespace attend::engine
