#include "tests/support/run_row.h"

#include <string_view>

#include "attend/error.h"
#include "attend/registry.h"
#include "ops/words.h"

namespace attend::testing {
namespace {

// What a call may write: outputs, and caches and states, which it stores in.
template <class Args, class Params>
bool may_write(const Word<Args, Params>& word, bool stores) {
  const std::string_view name = word.name;
  if (name == "k" || name == "v") return stores;
  return word.output || name.ends_with("state");
}

bool stores(const AttentionArgs& a) { return bool(a.seq.slot_mapping); }
bool stores(const GdnArgs&) { return false; }
bool stores(const MergeArgs&) { return false; }

void resolve_bias(AttentionParams& p) {  // the caller's function speaks of host memory
  if (p.init_bias.make != nullptr && !p.bias && !p.mask.keep)
    p.bias = p.init_bias.make(p.init_bias.user);
  p.init_bias = {};
}
template <class Params>
void resolve_bias(Params&) {}

}  // namespace

template <class Args, class Params>
DeviceCall<Args, Params>::DeviceCall(Device device, const Args& a, const Params& p)
    : args(a), params(p), device_(device), memory_(device) {
  resolve_bias(params);
  for (const auto& word : words<Args, Params>())
    if (word.tensor != nullptr)
      memory_.add(word.name, word.tensor(args, params), may_write(word, stores(args)));
  static_assert(sizeof(ErrorWord) % sizeof(int64_t) == 0);
  const TensorView word =
      contiguous(&word_, DType::kI64, {static_cast<int64_t>(sizeof word_ / sizeof(int64_t))});
  memory_.add("error word", word, true);
  memory_.upload();
  word_there_ = memory_.mirrored(word);
  for (const auto& w : words<Args, Params>())
    if (w.tensor != nullptr)
      if (TensorView& view = w.tensor(args, params); view) view = memory_.mirrored(view);
}

template <class Args, class Params>
DeviceCall<Args, Params>::~DeviceCall() = default;

template <class Args, class Params>
ExecContext DeviceCall<Args, Params>::context(const ExecContext& of_caller) const {
  ExecContext context = of_caller;
  context.device = device_;
  if (context.error_word == nullptr) context.error_word = static_cast<ErrorWord*>(word_there_.data);
  if (context.check_indices == CheckIndices::kDefault) context.check_indices = CheckIndices::kOn;
  return context;
}

template <class Args, class Params>
void DeviceCall<Args, Params>::finish() {
  if (const std::string damage = memory_.download(); !damage.empty())
    throw Error(ErrorCode::kDeviceError,
                "the call on " + to_string(device_) + " did damage: " + damage);
  context({}).check();
}

template <class Args, class Params>
void relabel(Args& a, Params& p, Device device) {
  for (const auto& word : words<Args, Params>())
    if (word.tensor != nullptr)
      if (TensorView& view = word.tensor(a, p); view) view.device = device;
}

#define ATTEND_CALLS_OF(Args, Params)      \
  template class DeviceCall<Args, Params>; \
  template void relabel(Args&, Params&, Device);
ATTEND_CALLS_OF(AttentionArgs, AttentionParams)
ATTEND_CALLS_OF(GdnArgs, GdnParams)
ATTEND_CALLS_OF(MergeArgs, MergeParams)
#undef ATTEND_CALLS_OF

}  // namespace attend::testing
