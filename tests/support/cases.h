#pragma once
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attend/attention_params.h"

// The one list of attention calls that tests, support probes and benches share.
namespace attend::testing {

// Whose words a case uses, and so which operators take it.
enum class Family : uint8_t {
  kPlain,   // vanilla, flash, splash, sdpa and ring, each as far as its domain goes
  kSplash,  // plain words and a block mask
  kPaged,
  kDecode
};
enum class Layout : uint8_t { kDense, kRagged };
// How q, k, v and out lie in memory. Outputs of kBroadcast are contiguous.
enum class Strides : uint8_t {
  kContiguous,
  kHeadsFirst,  // memory [batch, heads, seqlen, dim]
  kLastStep2,   // every second element
  kNegative,    // positions and elements walk backwards
  kBroadcast,   // one k and v for all sequences and kv heads, one q for all sequences
  kOddBase      // rows padded by 5 elements, base one element off any alignment
};
enum class Scale : uint8_t { kDefault, kGiven, kZero, kNegative };
// Shape of keep and of bias, right-aligned to [batch, heads, seqlen_q, seqlen_k].
enum class Spread : uint8_t { kNone, kKeys, kRowsKeys, kHeadsRowsKeys, kFull, kBatchKeys, kRows };
enum class PerHead : uint8_t {
  kNone,
  k1D,
  k2D
};  // alibi: [heads], [batch, heads]; sinks: [heads], [heads, 3]
enum class Descale : uint8_t { kNone, kScalar, kOne, kHeads, kBatchHeads };  // rank 0, [1], ...
enum class PageTable : uint8_t { kBlockTable, kCsr };
enum class PageOrder : uint8_t {
  kShuffled,
  kInOrder,
  kReversed,
  kSharedPrefix  // shuffled; all requests have the first half of their pages in common
};
// What tells the keys in use of a paged call without rows of its own.
enum class KeysFrom : uint8_t { kSequsedK, kCuSeqlensK, kContextLens, kAllWords, kCsrAlone };
// Rows that a paged call brings along, behind the keys in its pages.
enum class OwnRows : uint8_t {
  kNone,
  kNotStored,   // no slot_mapping
  kStored,      // each in the page of its position
  kSomeStored,  // as kStored, some slots negative
  kBatched      // as kStored; k_new is [batch, seqlen_q, kv_heads, dim] where q is dense
};

struct AttentionCase {
  std::string label;  // first part of the name, may be empty
  Family family = Family::kPlain;
  int64_t batch = 1, seqlen_q = 1, seqlen_k = 1, heads = 1, kv_heads = 1, head_dim = 64;
  int64_t v_dim = 0;    // 0 = head_dim
  bool v_in_k = false;  // v is the first v_dim elements of k (MLA)
  DType dtype = DType::kF32;
  bool out_f32 = false;
  DType index = DType::kI32;
  Layout layout = Layout::kDense;  // ragged: sequences of up to seqlen, some of them empty
  Strides strides = Strides::kContiguous;
  // Lengths of the sequences in place of drawn ones; the label must tell such cases apart.
  std::vector<int64_t> q_lens, k_lens;
  bool max_seqlen = false;  // ragged: upper bounds above the true lengths are given
  bool seqused_q = false, seqused_k = false;
  bool full_lengths = false;  // paged: every request has seqlen_k keys, as the benches count them
  bool lse = false, weights = false, scores = false;
  bool weights_f32 = true;
  ScoresStage scores_stage = ScoresStage::kMasked;

  Scale scale = Scale::kDefault;
  float softcap = 0;
  Spread bias = Spread::kNone;
  DType bias_dtype = DType::kF32;
  PerHead alibi = PerHead::kNone;
  PerHead sinks = PerHead::kNone;

  bool causal = false;
  Diagonal diagonal = Diagonal::kOperatorDefault;
  int32_t block_size = 0;
  bool block_origin = false;
  int32_t window_left = -1, window_right = -1;
  bool q_start = false, prefix = false, hole = false, segments = false;
  Spread keep = Spread::kNone;
  MaskWithBias mask_with_bias = MaskWithBias::kUnset;
  float dropout_p = 0;

  // Caches, of paged and decode; unset = dtype.
  std::optional<DType> k_cache, v_cache;
  Descale descale = Descale::kNone;  // of those of k and v that are f8 or i8
  // Paged. Pages of no request lie between the others.
  int64_t page_size = 0;
  PageOrder page_order = PageOrder::kShuffled;
  PageTable table = PageTable::kBlockTable;
  KeysFrom keys_from = KeysFrom::kSequsedK;
  OwnRows own_rows = OwnRows::kNone;
  // Decode.
  bool start = false, end = false;
  // Splash.
  Spread block_mask = Spread::kNone;
  int32_t block_mask_q = 0, block_mask_k = 0;
  int32_t block_mask_quarters = 3;  // of its entries that are kept

  DType k_dtype() const { return k_cache.value_or(dtype); }
  DType v_dtype() const { return v_in_k ? k_dtype() : v_cache.value_or(dtype); }
  bool paged() const { return family == Family::kPaged; }
  bool stores() const { return own_rows >= OwnRows::kStored; }
  int64_t dim_v() const { return v_dim ? v_dim : head_dim; }
  // Outputs and words that vanilla alone has.
  bool vanilla_only() const { return weights || scores || dropout_p > 0; }
  friend bool operator==(const AttentionCase&, const AttentionCase&) = default;
};

// "b2_sq17_sk45_h4x2_d64_f16_causal_br_w9_cap5", also a legal name of a test.
std::string name(const AttentionCase& c);
std::ostream& operator<<(std::ostream& stream, const AttentionCase& c);

enum class Tier {
  kSmoke,  // seconds: every pair of flags, every tile edge once
  kFull,   // minutes: smoke and more pairs on larger sizes
  kBench   // the shapes of the benches, f32 and bf16
};
std::span<const AttentionCase> cases(Tier tier);
// ATTEND_TEST_TIER=smoke|full in the environment; smoke if unset.
Tier tier_from_environment();

// Parts of the list.
std::vector<AttentionCase> pair_cases(Family family, uint64_t seed, bool large);
// Any two words with nothing else set, so that neither hides behind the others. All: every level of
// every word.
std::vector<AttentionCase> two_word_cases(Family family, bool all);
// Sizes on the edges of tiles, of pages and of splits; nothing there; words that meet in threes.
std::vector<AttentionCase> edge_cases(bool full);
// Shapes of models, each in the words of the operators that serve it.
std::vector<AttentionCase> bench_cases();

// A flag of a case and the settings that it takes in the pair list; a test walks them to see that
// all pairs occur.
struct Flag {
  const char* name;
  std::vector<const char*> levels;
  std::function<void(AttentionCase&, size_t level)> set;
  bool vanilla_only = false;  // levels from 1 on are for vanilla
  bool own = false;           // words that no other family has
};
// Large: larger sizes, and levels of the words that other families have, which are thinned out in
// the small list.
const std::vector<Flag>& flags(Family family, bool large);
// A case of a family before any flag is set.
AttentionCase blank(Family family);
// Whether the contract allows two settings in one call.
bool compatible(const Flag& a, size_t level_a, const Flag& b, size_t level_b);
// Whether a case has a setting: setting it again changes nothing.
bool has(const AttentionCase& c, const Flag& flag, size_t level);

}  // namespace attend::testing
