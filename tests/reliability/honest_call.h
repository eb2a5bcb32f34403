#pragma once
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "tests/support/noise.h"
#include "tests/support/worked.h"

// A small call of any operator, and for each word of the contract what makes it matter there.
namespace attend::testing {

// batch 2, 5 rows (decode: 1), 9 keys, 4 heads on 2, dims 8 and 6. paged: 5 pages of 2 a request,
// shuffled.
struct HonestCall {
  static constexpr int64_t kBatch = 2, kKeys = 9, kHeads = 4, kKvHeads = 2, kDim = 8, kVDim = 6,
                           kPages = 12, kPageSize = 2;

  // cache: of paged and decode.
  HonestCall(OpId op, DType dtype, DType cache);
  HonestCall(const HonestCall&) = delete;

  // Normal values times factor; equal seeds give equal values.
  TensorView noise(DType dtype, std::initializer_list<int64_t> shape, uint64_t seed,
                   double factor = 1);
  TensorView ints(std::initializer_list<int64_t> shape, const std::vector<double>& values);
  TensorView ints(const std::vector<double>& values) {
    return ints({static_cast<int64_t>(values.size())}, values);
  }
  // True where draw % 4 is not 0, or everywhere.
  TensorView bools(std::initializer_list<int64_t> shape, bool all = false);
  TensorView nothing(DType dtype, std::initializer_list<int64_t> shape);  // NaN

  void csr();
  void own_rows();
  bool paged() const { return op == OpId::kPaged; }
  bool decode() const { return op == OpId::kDecode; }
  // What the call has written, caches included.
  std::vector<std::byte> written() const;
  // The words as the oracle reads them: what only chooses a default is spelled out.
  AttentionParams as_read() const;

  OpId op;
  DType dtype, cache;
  int64_t rows;
  AttentionArgs args;
  AttentionParams params;
  ExecContext context;
  std::deque<Values> memory;
};

// How a word is made to matter.
struct WordTrial {
  const char* word;
  // What stands beside it, before and after.
  void (*beside)(HonestCall&);
  void (*set)(HonestCall&);
  // What a refusal says where it does not name the word: what stands beside it.
  const char* or_says = nullptr;
  // A permission that native does not use: the result stays.
  bool permission = false;
};
std::span<const WordTrial> word_trials();

}  // namespace attend::testing
