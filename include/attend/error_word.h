#pragma once
#include <cstdint>

namespace attend {

// Where a device kernel records the first bad value that it met (ExecContext::check_indices), and
// all that the message about it needs. Part of the plugin ABI, its enumerations, too: append, never
// renumber.
struct ErrorWord {
  int32_t code = 0;      // an ErrorCode; 0 = nothing happened
  int32_t argument = 0;  // an ErrorArgument
  int64_t position = 0;  // flat position of the value in its tensor, as if that were row-major
  int64_t value = 0;     // what stood there; of f32 the bits
  int32_t rule = 0;      // an ErrorRule
  int32_t reserved = 0;
  int64_t told = 0, bound = 0;  // as the rule says
  int64_t inner[3] =
      {};  // sizes of the tensor's dimensions behind the first; 0 = no such dimension
};

// The tensors whose contents are checked.
enum class ErrorArgument : int32_t {
  kNone,
  kCuSeqlensQ,
  kCuSeqlensK,
  kSequsedQ,
  kSequsedK,
  kBlockTable,
  kKvIndptr,
  kKvIndices,
  kKvLastPageLen,
  kContextLens,
  kSlotMapping,
  kStart,
  kEnd,
  kStateIndices,
  kQStart,
  kBlockOrigin,
  kPrefixLens,
  kHoleStarts,
  kHoleEnds,
  kCuSeqlens,  // of gdn
  kG,
  kAlpha,
  kBeta
};

// What a value should have been.
enum class ErrorRule : int32_t {
  kNone,          // not told: an index within its tensor
  kZero,          // 0
  kRising,        // at least `bound`, the value before it
  kWithinRows,    // at most `bound`, the rows there are
  kLength,        // its sequence has `told` rows, at most `bound`, a max_seqlen
  kSequenceRows,  // 0 to `bound`, the rows of its sequence
  kKeyRows,       // 0 to `bound`, the rows of k
  kPosition,      // within 2^48
  kNoPage,        // 0, as the request has no page
  kPageSize,      // 1 to `bound`, page_size of k
  kTable,         // 0 to `bound`, which the page table holds
  kTableAndRows,  // 0 to `bound`, which the page table and the new rows hold
  kCachedKeys,    // its sequence has `told` keys in pages, at most `bound`, which the table holds
  kMaxSeqlenK,    // its sequence has `told` keys, at most `bound`, max_seqlen_k
  kSameKeys,      // it gives its sequence `told` keys, other words `bound`
  kPage,          // 0 to `bound` - 1, pages in k
  kSlot,          // below `bound`, pages x page_size of k
  kOwnSlot,       // a slot of its own; the one at `told` has it
  kStateSlot,     // 0 to `bound` - 1, slots of the states
  kLogDecay,      // 0 or less
  kLinearDecay,   // above 0 and at most 1
  kBetaRange,     // 0 to 2
  kShapes         // its sequence has `told` rows or keys, keep, bias, weights or scores `bound`
};

}  // namespace attend
