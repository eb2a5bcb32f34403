#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/cases.h"
#include "tests/support/memory.h"
#include "tests/support/noise.h"
#include "tests/support/tensors.h"

namespace attend::testing {

// What a call writes: memory in guard bands, what it holds before the call, and which of its bytes
// the call may change.
struct OutputMemory {
  const char* name;
  std::unique_ptr<Block> block;
  TensorView view;
  std::vector<std::byte> before;  // empty: guard bytes, and NaN where writable
  std::vector<bool> writable;

  void mark_writable(const void* address, int64_t bytes);
  void reset();
  // The first byte changed that is not writable, counted from the start of the tensor's memory.
  std::optional<int64_t> damaged_byte() const;
};

// The memory of one case and where its values come from. Every tensor draws under a role of its
// own, so that a word more leaves the others' values as they are.
class CaseMemory {
 public:
  CaseMemory(const AttentionCase& the_case, Fill the_fill, uint64_t seed);

  const AttentionCase c;
  const Fill fill;
  std::vector<OutputMemory> outputs;

  bool guarded() const { return fill == Fill::kGuarded; }
  void next_role() { ++role_; }
  uint64_t draw(int64_t n) const { return hash(seed_ + role_, static_cast<uint64_t>(n)); }
  // A whole number in [0, n].
  int64_t upto(int64_t n, int64_t b) const {
    return static_cast<int64_t>(draw(b) % static_cast<uint64_t>(n + 1));
  }
  uint64_t seed() const { return seed_; }

  // A tensor of normal values times factor. position and head: its dimensions of rows and heads.
  TensorView floats(DType dtype, const std::vector<int64_t>& shape, Strides strides, int position,
                    int head, float factor = 1, bool may_broadcast = true);
  TensorView indices(const std::vector<int64_t>& values, const std::vector<int64_t>& shape);
  TensorView indices(const std::vector<int64_t>& values) {
    return indices(values, {static_cast<int64_t>(values.size())});
  }
  std::byte* input(int64_t bytes);
  const Block& last_input() const { return *inputs_.back(); }

  // Outputs start as NaN; a stored one keeps what it holds, in guard bands from now on.
  TensorView output(const char* name, DType dtype, const std::vector<int64_t>& shape, int position,
                    int head);
  TensorView stored(const char* name, const TensorView& view, const Block& block);

 private:
  uint64_t seed_, role_ = 0;
  std::vector<std::unique_ptr<Block>> inputs_;
};

}  // namespace attend::testing
