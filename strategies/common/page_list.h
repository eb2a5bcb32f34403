#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attend::engine {

// Pages in the order in which they became free; any of them can be taken out at once.
class PageList {
 public:
  explicit PageList(int32_t pages) : next_(static_cast<size_t>(pages) + 1), before_(next_.size()) {
    for (int32_t page = 0; page < pages; ++page) push_back(page);
  }

  int32_t size() const noexcept { return size_; }
  int32_t front() const noexcept { return next_[end()]; }

  void push_back(int32_t page) {
    if (size_ == 0) next_[end()] = before_[end()] = static_cast<int32_t>(end());
    const int32_t last = before_[end()];
    next_[at(last)] = before_[end()] = page;
    before_[at(page)] = last;
    next_[at(page)] = static_cast<int32_t>(end());
    ++size_;
  }

  void take(int32_t page) {
    next_[at(before_[at(page)])] = next_[at(page)];
    before_[at(next_[at(page)])] = before_[at(page)];
    --size_;
  }

 private:
  static size_t at(int32_t page) { return static_cast<size_t>(page); }
  size_t end() const { return next_.size() - 1; }  // the ring's own place, no page

  std::vector<int32_t> next_, before_;
  int32_t size_ = 0;
};

}  // namespace attend::engine
