#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/attention_params.h"
#include "tests/support/cases.h"

// The tensors of a case, on native.
namespace attend::testing {

enum class Fill : uint8_t {
  kGuarded,  // outputs in guard bands; NaN wherever the contract says that nothing is read into a
             // result: unseen keys and values, rows and keys beyond a length, gaps between strides,
             // bias of hidden pairs
  kPlain     // values everywhere, for benches
};

// Owns the memory; args and params point into it. Equal cases and seeds give equal bits.
class CaseTensors {
 public:
  CaseTensors(const AttentionCase& c, Fill fill, uint64_t seed = 1);
  ~CaseTensors();
  CaseTensors(CaseTensors&&) noexcept;
  CaseTensors& operator=(CaseTensors&&) noexcept;

  AttentionArgs args;
  AttentionParams params;

  // Outputs back to NaN, guard bands too, so that an untouched output fails.
  void reset_outputs();
  // Empty, or the first output with a byte changed outside the rows that the call may write.
  std::string damaged_guard() const;
  // The bytes of all outputs, to compare two runs bit for bit; without the pages that a call
  // stores rows in, to compare it with calls that store none.
  std::vector<std::byte> output_bytes(bool pages = true) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline CaseTensors make_tensors(const AttentionCase& c, Fill fill = Fill::kGuarded,
                                uint64_t seed = 1) {
  return CaseTensors(c, fill, seed);
}

}  // namespace attend::testing
