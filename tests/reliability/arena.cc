#include "tests/reliability/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>

#include "ops/checks.h"

namespace attend::testing {
namespace {

size_t page_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::byte* reserve(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(at);
}

void open(std::byte* at, size_t bytes) {
  if (mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
}

}  // namespace

GuardedMemory::GuardedMemory(size_t bytes, Edge edge, int filler) {
  const size_t page = page_bytes(), inside = (bytes + page - 1) / page * page;
  whole_bytes_ = inside + 2 * page;
  whole_ = reserve(whole_bytes_);
  if (inside > 0) {
    open(whole_ + page, inside);
    std::memset(whole_ + page, filler, inside);
  }
  data_ = whole_ + page + (edge == Edge::kEnd ? inside - bytes : 0);
}

GuardedMemory::~GuardedMemory() { munmap(whole_, whole_bytes_); }

void GuardedMemory::close() { mprotect(whole_, whole_bytes_, PROT_NONE); }

GuardedRows::GuardedRows(const TensorView& from, const Live& live) {
  const size_t page = page_bytes(), apart = 2 * page;
  const auto size = static_cast<size_t>(size_bytes(from.dtype));
  const int64_t dim = from.dim(-1), rows = dim == 0 ? 0 : from.num_elements() / dim;
  const size_t row_bytes = static_cast<size_t>(dim) * size;
  bytes_ = std::max<size_t>(1, static_cast<size_t>(rows)) * apart;
  base_ = reserve(bytes_);
  view_ = from;
  view_.data = base_ + page - row_bytes;
  int64_t step = static_cast<int64_t>(apart / size);
  for (int d = from.rank - 2; d >= 0; --d) {
    view_.stride[static_cast<size_t>(d)] = step;
    step *= from.dim(d);
  }
  view_.stride[static_cast<size_t>(from.rank - 1)] = 1;
  std::vector<int64_t> at(static_cast<size_t>(from.rank - 1));
  for (int64_t n = 0; n < rows; ++n) {
    int64_t rest = n, offset = 0;
    for (int d = from.rank - 2; d >= 0; --d) {
      at[static_cast<size_t>(d)] = rest % from.dim(d);
      rest /= from.dim(d);
      offset += at[static_cast<size_t>(d)] * from.step(d);
    }
    live_.push_back(live(at));
    ++(live_.back() ? live_rows_ : dead_rows_);
    if (!live_.back()) continue;
    std::byte* const here = base_ + static_cast<size_t>(n) * apart;
    open(here, page);
    std::memset(here, 0xff, page);
    for (int64_t d = 0; d < dim; ++d)
      std::memcpy(here + page - row_bytes + static_cast<size_t>(d) * size,
                  static_cast<const std::byte*>(from.data) +
                      (offset + d * from.step(-1)) * static_cast<int64_t>(size),
                  size);
  }
}

GuardedRows::~GuardedRows() { munmap(base_, bytes_); }

bool GuardedRows::equals(const TensorView& other) const {
  const auto size = static_cast<size_t>(size_bytes(view_.dtype));
  for (size_t n = 0; n < live_.size(); ++n) {
    if (!live_[n]) continue;
    int64_t rest = static_cast<int64_t>(n), offset = 0, mine = 0;
    for (int d = view_.rank - 2; d >= 0; --d) {
      offset += rest % view_.dim(d) * other.step(d);
      mine += rest % view_.dim(d) * view_.step(d);
      rest /= view_.dim(d);
    }
    for (int64_t d = 0; d < view_.dim(-1); ++d)
      if (std::memcmp(
              static_cast<const std::byte*>(view_.data) + (mine + d) * static_cast<int64_t>(size),
              static_cast<const std::byte*>(other.data) +
                  (offset + d * other.step(-1)) * static_cast<int64_t>(size),
              size) != 0)
        return false;
  }
  return true;
}

std::pair<int64_t, int64_t> reach_of(const TensorView& view) {
  int64_t low = 0, high = 0;
  for (int d = 0; d < view.rank; ++d)
    (view.step(d) < 0 ? low : high) += (view.dim(d) - 1) * view.step(d);
  return {low, high};
}

Span span_of(const TensorView& view) {
  if (view.num_elements() == 0) return {};
  const int64_t size = size_bytes(view.dtype);
  const auto [low, high] = reach_of(view);
  return {static_cast<std::byte*>(view.data) + low * size, (high - low + 1) * size};
}

GuardedCall::GuardedCall(const AttentionArgs& a, const AttentionParams& p, GuardedMemory::Edge edge,
                         int filler)
    : args(a), params(p) {
  // The views of the copies, which are not const.
  for_each_tensor(args, params, [&](const char* name, const TensorView& t, Role role) {
    if (t) const_cast<TensorView&>(t) = move(name, t, role == Role::kOutput, edge, filler);
  });
}

TensorView GuardedCall::move(const char* name, const TensorView& view, bool output,
                             GuardedMemory::Edge edge, int filler) {
  const Span span = span_of(view);
  TensorView to = view;
  const auto* data = static_cast<const std::byte*>(view.data);
  for (const Moved& m : moved_)  // values that are the first elements of the keys move with them
    if (span.bytes > 0 && span.begin >= m.from.begin &&
        span.begin + span.bytes <= m.from.begin + m.from.bytes) {
      to.data = m.to + (data - m.from.begin);
      return to;
    }
  memory_.emplace_back(static_cast<size_t>(span.bytes), edge, filler);
  std::byte* const here = memory_.back().data();
  if (span.bytes > 0) std::memcpy(here, span.begin, static_cast<size_t>(span.bytes));
  to.data = here + (span.bytes > 0 ? data - span.begin : 0);
  moved_.push_back({name, span, here, output});
  return to;
}

std::string GuardedCall::first_difference() const {
  for (const Moved& m : moved_)
    if (m.output && m.from.bytes > 0 &&
        std::memcmp(m.from.begin, m.to, static_cast<size_t>(m.from.bytes)) != 0)
      return m.name;
  return "";
}

namespace {

char fault_text[1024];

void on_fault(int) {
  const ssize_t written = write(STDERR_FILENO, fault_text, std::strlen(fault_text));
  _exit(written > 0 ? 1 : 2);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // whose own report says more
#else
constexpr bool kSanitized = false;
#endif

}  // namespace

Fault::Fault(const std::string& what) {
  const std::string text = "\nmemory that is not the call's was touched: " + what + "\n";
  std::strncpy(fault_text, text.c_str(), sizeof fault_text - 1);
  if (kSanitized) return;
  std::signal(SIGSEGV, on_fault);
  std::signal(SIGBUS, on_fault);
}

Fault::~Fault() {
  if (kSanitized) return;
  std::signal(SIGSEGV, SIG_DFL);
  std::signal(SIGBUS, SIG_DFL);
}

}  // namespace attend::testing
