#pragma once
#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

#include "attend/kernel.h"

// What every attention call must satisfy before a byte is written (contract 6). Each throws
// attend::Error:
//   <where>: <argument> <property> is <got>, expected <want>[; what to do]
namespace attend {

// Whether an argument is read or written; the order of the list is the order of the messages.
enum class Role : uint8_t { kInput, kOutput };

// Every tensor of a call: f(argument name, view, role). Absent ones included.
template <class F>
void for_each_tensor(const AttentionArgs& a, const AttentionParams& p, F&& f) {
  const Role cache = a.seq.slot_mapping ? Role::kOutput : Role::kInput;
  f("q", a.q, Role::kInput);
  f("k", a.k, cache);
  f("v", a.v, cache);
  f("out", a.out, Role::kOutput);
  f("lse", a.lse, Role::kOutput);
  f("weights", a.weights, Role::kOutput);
  f("scores", a.scores, Role::kOutput);
  f("k_new", a.k_new, Role::kInput);
  f("v_new", a.v_new, Role::kInput);
  f("k_descale", a.k_descale, Role::kInput);
  f("v_descale", a.v_descale, Role::kInput);
  f("cu_seqlens_q", a.seq.cu_seqlens_q, Role::kInput);
  f("cu_seqlens_k", a.seq.cu_seqlens_k, Role::kInput);
  f("seqused_q", a.seq.seqused_q, Role::kInput);
  f("seqused_k", a.seq.seqused_k, Role::kInput);
  f("block_table", a.seq.block_table, Role::kInput);
  f("kv_indptr", a.seq.kv_indptr, Role::kInput);
  f("kv_indices", a.seq.kv_indices, Role::kInput);
  f("kv_last_page_len", a.seq.kv_last_page_len, Role::kInput);
  f("context_lens", a.seq.context_lens, Role::kInput);
  f("slot_mapping", a.seq.slot_mapping, Role::kInput);
  f("start", a.seq.start, Role::kInput);
  f("end", a.seq.end, Role::kInput);
  f("q_start", p.mask.q_start, Role::kInput);
  f("block_origin", p.mask.block_origin, Role::kInput);
  f("prefix_lens", p.mask.prefix_lens, Role::kInput);
  f("hole_starts", p.mask.hole_starts, Role::kInput);
  f("hole_ends", p.mask.hole_ends, Role::kInput);
  f("q_segment_ids", p.mask.q_segment_ids, Role::kInput);
  f("kv_segment_ids", p.mask.kv_segment_ids, Role::kInput);
  f("keep", p.mask.keep, Role::kInput);
  f("block_mask", p.mask.block_mask, Role::kInput);
  f("bias", p.bias, Role::kInput);
  f("alibi_slopes", p.alibi_slopes, Role::kInput);
  f("sinks", p.sinks, Role::kInput);
}

[[noreturn]] void throw_invalid(const char* where, const std::string& what);
[[noreturn]] void throw_unsupported(const char* where, const std::string& what);
[[noreturn]] void throw_out_of_range(const char* where, const std::string& what);

struct NamedTensor {
  const char* name;
  const TensorView* view;
  Role role;
};

// The tensors of one call that are there; collects what for_each_tensor shows, of any operator. It
// holds no more than it was given: short calls would feel a kilobyte of zeros.
class GivenTensors {
 public:
  static constexpr size_t kMost = 48;

  void operator()(const char* name, const TensorView& t, Role role) {
    if (t) list_[count_++] = {name, &t, role};
  }
  std::span<const NamedTensor> list() const { return {list_.data(), count_}; }

 private:
  std::array<NamedTensor, kMost> list_;
  size_t count_ = 0;
};

// Every tensor lies on `device` and can be addressed: sizes fit 64 bits, data is there and aligned.
void check_tensors(const char* where, Device device, const GivenTensors&);
// No output shares an element with an input, another output or itself. A tensor may be left out,
// for which another one stands.
void check_overlap(const char* where, const GivenTensors&, const TensorView* left_out = nullptr);
// Values may be the first elements of the keys (MLA), also where both are stored.
void check_overlap(const char* where, const AttentionArgs&, const GivenTensors&);
// Scalars and words that need or exclude one another.
void check_words(const char* where, const AttentionParams&);
// Words of contract 1 to 5 that other operators take; nothing that is given may be ignored.
void refuse_words_of_others(const char* where, const AttentionArgs&, const AttentionParams&,
                            std::initializer_list<const char*> taken);
// What k and v are: rows beside q's, a cache with an element type of its own, or pages of one.
enum class KeyForm : uint8_t { kRows, kCache, kPages };
// Ranks, dimensions and dtypes.
void check_shapes(const char* where, const AttentionArgs&, const AttentionParams&,
                  KeyForm = KeyForm::kRows);
class Checker;  // check/checker.h
void check_keys(const Checker&, const AttentionArgs&, KeyForm);
void check_descale(const Checker&, const char* arg, const TensorView& descale,
                   const TensorView& cache, int64_t batch);
// head_dim and v_dim up to 256; wide: to 512, and 576 with 512.
void check_dims(const char* where, const AttentionArgs&, bool wide);
// Weights, scores and dropout, which only operators that hold whole score rows have.
void refuse_materialised(const char* where, const AttentionArgs&, const AttentionParams&);
// diagonal = top_left, where rows stand at the end of a cache.
void refuse_top_left(const char* where, const AttentionParams&);
// Contents of index tensors; native only.
void check_indices(const char* where, const AttentionArgs&, const AttentionParams&);

// The largest sequence of a call, which full dimensions of ragged masks have.
struct MaxLengths {
  int64_t q = 0, k = 0;
};
MaxLengths max_lengths(const AttentionArgs&);

}  // namespace attend
