#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "ops/checks.h"
#include "ops/common/layout.h"

namespace attend {
namespace {

// The bytes that a view touches: [begin, end) bounds them, and within they lie where the strides
// say.
struct Extent {
  const char* arg;
  const TensorView* view;
  Role role;
  intptr_t begin, end;
};

Extent extent_of(const NamedTensor& named) {
  const TensorView& t = *named.view;
  const int64_t size = size_bytes(t.dtype);
  Extent e{named.name, &t, named.role, reinterpret_cast<intptr_t>(t.data),
           reinterpret_cast<intptr_t>(t.data) + size};
  for (int i = 0; i < t.rank; ++i)
    (t.step(i) < 0 ? e.begin : e.end) += (t.dim(i) - 1) * t.step(i) * size;
  return e;
}

// Whether sorting the dimensions by stride shows each to step over all smaller ones; false means
// "not known".
bool plainly_distinct(const TensorView& t) {
  struct Step {
    int64_t stride, size;
  };
  std::array<Step, kMaxRank> steps{};  // ascending
  size_t count = 0;
  for (int i = t.rank - 1; i >= 0; --i) {  // row-major tensors come in order
    if (t.dim(i) <= 1) continue;
    const Step step{std::abs(t.step(i)), t.dim(i)};
    size_t at = count++;
    for (; at > 0 && steps[at - 1].stride > step.stride; --at) steps[at] = steps[at - 1];
    steps[at] = step;
  }
  int64_t reach = 0;  // highest offset of the dimensions so far
  for (size_t n = 0; n < count; ++n) {
    if (steps[n].stride <= reach) return false;
    reach += steps[n].stride * (steps[n].size - 1);
  }
  return true;
}

// Calls f(byte address) for every element of t.
template <class F>
bool any_element(const TensorView& t, F&& f, int dim = 0, intptr_t base = 0) {
  if (dim == 0) base = reinterpret_cast<intptr_t>(t.data);
  if (dim == t.rank) return f(base);
  for (int64_t i = 0; i < t.dim(dim); ++i)
    if (any_element(t, f, dim + 1, base + i * t.step(dim) * size_bytes(t.dtype))) return true;
  return false;
}

// Which bytes of [begin, end) a view writes. Exact, and only used where bounds and lanes leave a
// doubt.
class WrittenBytes {
 public:
  WrittenBytes(intptr_t begin, intptr_t end)
      : begin_(begin), end_(end), bytes_(static_cast<size_t>(end - begin)) {}
  bool touches(intptr_t at, int64_t size) const {
    for (intptr_t x = std::max(at, begin_); x < std::min(at + size, end_); ++x)
      if (bytes_[static_cast<size_t>(x - begin_)]) return true;
    return false;
  }
  void mark(intptr_t at, int64_t size) {
    for (intptr_t x = std::max(at, begin_); x < std::min(at + size, end_); ++x)
      bytes_[static_cast<size_t>(x - begin_)] = true;
  }

 private:
  intptr_t begin_, end_;
  std::vector<bool> bytes_;
};

void check_distinct(const char* where, const Extent& out) {
  if (plainly_distinct(*out.view)) return;
  const int64_t size = size_bytes(out.view->dtype);
  WrittenBytes written(out.begin, out.end);
  const bool twice = any_element(*out.view, [&](intptr_t at) {
    if (written.touches(at, size)) return true;
    written.mark(at, size);
    return false;
  });
  if (twice)
    throw_invalid(where, std::string(out.arg) +
                             " strides put two elements at one address, expected distinct ones");
}

// Slices of one packed buffer: every element of `out` lies in one lane of a repeating period, every
// element of `other` in another. True proves that they share nothing; false means "not known".
bool in_separate_lanes(const Extent& out, const Extent& other, int64_t period) {
  struct Lane {
    int64_t begin, length;
  };
  const auto lane_of = [period](const Extent& e) {
    const int64_t size = size_bytes(e.view->dtype);
    int64_t low = 0, length = size;
    for (int i = 0; i < e.view->rank; ++i) {
      const int64_t step = e.view->step(i) * size;
      if (step % period == 0) continue;
      if (step < 0) low += (e.view->dim(i) - 1) * step;
      length += (e.view->dim(i) - 1) * std::abs(step);
    }
    const int64_t begin =
        (static_cast<int64_t>(reinterpret_cast<intptr_t>(e.view->data)) + low) % period;
    return Lane{begin < 0 ? begin + period : begin, length};
  };
  const Lane a = lane_of(out), b = lane_of(other);
  if (a.length > period || b.length > period) return false;
  const int64_t gap =
      (b.begin - a.begin + period) % period;  // from a's begin up to b's, around the period
  return gap >= a.length && gap + b.length <= period;
}

bool share_an_element(const Extent& out, const Extent& other) {
  const intptr_t begin = std::max(out.begin, other.begin), end = std::min(out.end, other.end);
  if (begin >= end) return false;
  for (int i = 0; i < out.view->rank; ++i)
    if (const int64_t period = std::abs(out.view->step(i)) * size_bytes(out.view->dtype);
        period > 0 && in_separate_lanes(out, other, period))
      return false;
  WrittenBytes written(begin, end);
  const int64_t size = size_bytes(out.view->dtype), other_size = size_bytes(other.view->dtype);
  any_element(*out.view, [&](intptr_t at) {
    written.mark(at, size);
    return false;
  });
  return any_element(*other.view, [&](intptr_t at) { return written.touches(at, other_size); });
}

}  // namespace

void check_overlap(const char* where, const GivenTensors& tensors, const TensorView* left_out) {
  std::array<Extent, GivenTensors::kMost> given;
  size_t count = 0;
  for (const NamedTensor& t : tensors.list())
    if (t.view != left_out && t.view->num_elements() > 0) given[count++] = extent_of(t);
  for (size_t o = 0; o < count; ++o) {
    const Extent& out = given[o];
    if (out.role != Role::kOutput) continue;
    check_distinct(where, out);
    for (size_t i = 0; i < count; ++i) {
      const Extent& other = given[i];
      const bool seen = other.role == Role::kOutput && i <= o;
      if (!seen && share_an_element(out, other))
        throw_invalid(where, std::string(out.arg) + " memory overlaps " + other.arg +
                                 ", expected memory of its own");
    }
  }
}

void check_overlap(const char* where, const AttentionArgs& a, const GivenTensors& given) {
  // Values that are the first elements of the keys are stored with them.
  const bool in_k = a.seq.slot_mapping && is_prefix(a.v, a.k) && is_prefix(a.v_new, a.k_new);
  check_overlap(where, given, in_k ? &a.v : nullptr);
}

}  // namespace attend
