#include "ops/check/index_words.h"

#include <bit>
#include <cstdio>

#include "attend/error.h"

namespace attend {
namespace {

const char* name(ErrorArgument argument) {
  switch (argument) {
    case ErrorArgument::kNone: return "an index";
    case ErrorArgument::kCuSeqlensQ: return "cu_seqlens_q";
    case ErrorArgument::kCuSeqlensK: return "cu_seqlens_k";
    case ErrorArgument::kSequsedQ: return "seqused_q";
    case ErrorArgument::kSequsedK: return "seqused_k";
    case ErrorArgument::kBlockTable: return "block_table";
    case ErrorArgument::kKvIndptr: return "kv_indptr";
    case ErrorArgument::kKvIndices: return "kv_indices";
    case ErrorArgument::kKvLastPageLen: return "kv_last_page_len";
    case ErrorArgument::kContextLens: return "context_lens";
    case ErrorArgument::kSlotMapping: return "slot_mapping";
    case ErrorArgument::kStart: return "start";
    case ErrorArgument::kEnd: return "end";
    case ErrorArgument::kStateIndices: return "state_indices";
    case ErrorArgument::kQStart: return "q_start";
    case ErrorArgument::kBlockOrigin: return "block_origin";
    case ErrorArgument::kPrefixLens: return "prefix_lens";
    case ErrorArgument::kHoleStarts: return "hole_starts";
    case ErrorArgument::kHoleEnds: return "hole_ends";
    case ErrorArgument::kCuSeqlens: return "cu_seqlens";
    case ErrorArgument::kG: return "g";
    case ErrorArgument::kAlpha: return "alpha";
    case ErrorArgument::kBeta: return "beta";
  }
  return "an index";
}

// The words about one error word.
class Words {
 public:
  explicit Words(const ErrorWord& w)
      : w_(w),
        argument_(static_cast<ErrorArgument>(w.argument)),
        rule_(static_cast<ErrorRule>(w.rule)) {}

  std::string all() const {
    const std::string bound = std::to_string(w_.bound), told = std::to_string(w_.told);
    const std::string sequence = "sequence " + std::to_string(request());
    switch (rule_) {
      case ErrorRule::kLength:
        return "length " + told + " of " + sequence + " in " + name(argument_) +
               " is over the bound, expected at most max_seqlen " + bound;
      case ErrorRule::kShapes:
        return "length " + told + " of " + sequence + " in " + name(argument_) +
               " is over the bound, expected at most " + bound +
               ", as keep, bias, kv_segment_ids, weights or scores have it";
      case ErrorRule::kCachedKeys:
        return "keys of " + sequence + " in the pages are " + told + ", expected at most " + bound +
               ", which its page table holds";
      case ErrorRule::kMaxSeqlenK:
        return "keys of " + sequence + " are " + told + ", expected at most max_seqlen_k " + bound;
      case ErrorRule::kSameKeys:
        return std::string(name(argument_)) + " gives " + sequence + " " + told +
               " keys, expected " + bound + " as the call's other words tell; give one of them";
      default: return at(w_.position) + " is " + value() + ", expected " + expected();
    }
  }

 private:
  // A length of a sequence stands behind the sequence's first row.
  int64_t request() const {
    const bool sum =
        argument_ == ErrorArgument::kCuSeqlensQ || argument_ == ErrorArgument::kCuSeqlensK ||
        argument_ == ErrorArgument::kKvIndptr || argument_ == ErrorArgument::kCuSeqlens;
    return w_.position - (sum ? 1 : 0);
  }
  bool of_gate() const {
    return rule_ == ErrorRule::kLogDecay || rule_ == ErrorRule::kLinearDecay ||
           rule_ == ErrorRule::kBetaRange;
  }
  // "block_table[3][7]", "g[0, 1, 2]".
  std::string at(int64_t position) const {
    std::string index;
    for (int d = 2; d >= 0; --d) {
      const int64_t size = w_.inner[d];
      if (size <= 0) continue;
      index = (of_gate() ? ", " : "][") + std::to_string(position % size) + index;
      position /= size;
    }
    return std::string(name(argument_)) + "[" + std::to_string(position) + index + "]";
  }
  std::string value() const {
    if (!of_gate()) return std::to_string(w_.value);
    char text[32];
    std::snprintf(text, sizeof text, "%g",
                  static_cast<double>(std::bit_cast<float>(static_cast<int32_t>(w_.value))));
    return text;
  }
  std::string expected() const {
    const std::string bound = std::to_string(w_.bound), last = std::to_string(w_.bound - 1);
    switch (rule_) {
      case ErrorRule::kZero: return "0";
      case ErrorRule::kRising: return "at least " + bound + ", the value before it";
      case ErrorRule::kWithinRows: return "at most " + bound + ", the rows there are";
      case ErrorRule::kSequenceRows: return "0 to " + bound + ", the rows of its sequence";
      case ErrorRule::kKeyRows: return "0 to " + bound + ", the rows of k";
      case ErrorRule::kPosition: return "a position within 2^48";
      case ErrorRule::kNoPage: return "0, as the request has no page";
      case ErrorRule::kPageSize: return "1 to " + bound + ", page_size of k";
      case ErrorRule::kTable: return "0 to " + bound + ", which the page table holds";
      case ErrorRule::kTableAndRows:
        return "0 to " + bound + ", which the page table and the new rows hold";
      case ErrorRule::kPage: return "0 <= page < " + bound + " (pages in k)";
      case ErrorRule::kSlot: return "below " + bound + " (pages x page_size of k), or negative";
      case ErrorRule::kOwnSlot: return "a slot of its own; " + at(w_.told) + " has it";
      case ErrorRule::kStateSlot: return "0 to " + last + ", the slots there are";
      case ErrorRule::kLogDecay: return "0 or less, the natural logarithm of a decay";
      case ErrorRule::kLinearDecay: return "a decay above 0 and at most 1";
      case ErrorRule::kBetaRange: return "0 to 2";
      default: return "an index within its tensor";
    }
  }

  const ErrorWord& w_;
  ErrorArgument argument_;
  ErrorRule rule_;
};

}  // namespace

std::string index_words(const ErrorWord& word) { return Words(word).all(); }

void throw_index(const char* where, const ErrorWord& word) {
  throw Error(static_cast<ErrorCode>(word.code), std::string(where) + ": " + index_words(word));
}

}  // namespace attend
