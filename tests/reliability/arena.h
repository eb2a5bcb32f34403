#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "attend/attention_params.h"

// Calls whose tensors lie between pages that nobody may touch: a read or write beyond a tensor ends
// the program, which then names the call (Fault).
namespace attend::testing {

// Whole pages between two that fault. The bytes asked for are flush with one of the two.
class GuardedMemory {
 public:
  enum class Edge : uint8_t { kEnd, kBegin };

  GuardedMemory(size_t bytes, Edge edge, int filler);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  std::byte* data() const { return data_; }
  // Neither read nor written from now on.
  void close();

 private:
  std::byte *whole_, *data_;
  size_t whole_bytes_;
};

// A tensor whose rows (all but the last dimension) have a page each, flush with its end, and behind
// each row a page that faults. Rows that are not live fault themselves.
class GuardedRows {
 public:
  // Index of a row: all dimensions but the last.
  using Live = std::function<bool(const std::vector<int64_t>& at)>;

  GuardedRows(const TensorView& from, const Live& live);
  ~GuardedRows();
  GuardedRows(const GuardedRows&) = delete;
  GuardedRows& operator=(const GuardedRows&) = delete;

  const TensorView& view() const { return view_; }
  int64_t live_rows() const { return live_rows_; }
  int64_t dead_rows() const { return dead_rows_; }
  // Whether the live rows hold what `other` holds there, bit for bit.
  bool equals(const TensorView& other) const;

 private:
  std::byte* base_ = nullptr;
  size_t bytes_ = 0;
  TensorView view_;
  std::vector<bool> live_;
  int64_t live_rows_ = 0, dead_rows_ = 0;
};

// The bytes that a view spans, gaps between its strides included.
struct Span {
  std::byte* begin = nullptr;
  int64_t bytes = 0;
};
Span span_of(const TensorView& view);
// Offsets of the first and the last of them from element [0, ...], in elements.
std::pair<int64_t, int64_t> reach_of(const TensorView& view);

// A call with every tensor moved between guard pages. `filler` stands in the rest of their pages.
class GuardedCall {
 public:
  GuardedCall(const AttentionArgs& args, const AttentionParams& params, GuardedMemory::Edge edge,
              int filler);

  AttentionArgs args;
  AttentionParams params;

  // The first output (a stored cache included) that differs from the call it was made from.
  std::string first_difference() const;

 private:
  struct Moved {
    const char* name;
    Span from;
    std::byte* to;
    bool output;
  };
  TensorView move(const char* name, const TensorView& view, bool output, GuardedMemory::Edge edge,
                  int filler);

  std::deque<GuardedMemory> memory_;
  std::vector<Moved> moved_;
};

// What stands on the last line of a program that faults within its scope.
class Fault {
 public:
  explicit Fault(const std::string& what);
  ~Fault();
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
};

}  // namespace attend::testing
