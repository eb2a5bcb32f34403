#pragma once
#include <cstdint>
#include <functional>
#include <string_view>
#include <typeinfo>

#include "attend/attention_params.h"

namespace attend {

// What an engine knows about one step's batch. Strategies derive from it; kernels never see it.
// Prefill, decode or mixed follows per request from cu_seqlens_q and context_lens.
struct ATTEND_API AttnMetadata {
  TensorView cu_seqlens_q;  // i32 [num_reqs + 1]
  TensorView cu_seqlens_k;  // i32 [num_reqs + 1]
  TensorView context_lens;  // i32 [num_reqs]: keys already in the cache
  TensorView slot_mapping;  // i32 [total_q]: cache slot of each new key, negative = do not store
  TensorView block_table;   // i32 [num_reqs, max_pages], -1 padded
  TensorView state_slots;   // i32 [num_reqs]: of the pools of gated delta layers; absent = no such
  int64_t max_seqlen_q = 0;
  int64_t max_seqlen_k = 0;
  int32_t page_size = 0;

  virtual ~AttnMetadata() = default;
  virtual std::string_view strategy() const noexcept { return "auto_regressive"; }
  // Throws kInvalidArgument naming the field.
  virtual void validate() const;
  // What this step means to a kernel.
  virtual void apply_to(SeqLayout& layout, MaskSpec& mask) const;
};

// The fetch hook: the metadata of this thread's current step.
//   errors   kNoMetadata outside any scope
ATTEND_API const AttnMetadata& fetch_attn_metadata();

// The same, as a strategy's own type.
//   errors   kNoMetadata; kInvalidArgument naming both types
template <class T>
const T& fetch_attn_metadata_as();

// A function asked in place of this thread's scope, until it is replaced (empty = the scope again)
// or the scope in which it was installed ends.
using FetchFn = std::function<const AttnMetadata&()>;
ATTEND_API void set_fetch_fn_for_attn_metadata(FetchFn fetch);

// Makes metadata current on this thread until the scope ends, exceptions included. Scopes nest.
//   errors   kInvalidArgument from validate(); the previous metadata then stays current
class ATTEND_API MetadataScope {
 public:
  explicit MetadataScope(const AttnMetadata& metadata);
  ~MetadataScope();
  MetadataScope(const MetadataScope&) = delete;
  MetadataScope& operator=(const MetadataScope&) = delete;

 private:
  const AttnMetadata* previous_;
  FetchFn previous_fetch_;
};

// Marks this thread's steps as graph warm-up, which engines may treat apart.
ATTEND_API void set_warming_up(bool warming_up = true) noexcept;
ATTEND_API bool is_warming_up() noexcept;
ATTEND_API void reset_warming_up() noexcept;

namespace detail {
[[noreturn]] ATTEND_API void throw_metadata_type(std::string_view current,
                                                 const std::type_info& wanted);
}

template <class T>
const T& fetch_attn_metadata_as() {
  const AttnMetadata& metadata = fetch_attn_metadata();
  if (const T* typed = dynamic_cast<const T*>(&metadata)) return *typed;
  detail::throw_metadata_type(metadata.strategy(), typeid(T));
}

}  // namespace attend
