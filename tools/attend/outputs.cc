// What a call writes, and where.
#include <algorithm>
#include <cstring>
#include <limits>

#include "attend/error.h"
#include "ops/common/layout.h"
#include "tests/support/element.h"
#include "tools/attend/call.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

std::vector<int64_t> shape_of(const TensorView& t) {
  return {t.shape.begin(), t.shape.begin() + t.rank};
}

Tensor copied(const TensorView& view, Device device) {
  return Tensor::adopt(view, nullptr, [](void*) {}).to(device);
}

// Changed in place: what a call reads and writes under one name.
bool in_place(const Call& c, std::string_view word) {
  return c.args.seq.slot_mapping && (word == "k" || word == "v");
}
bool in_place(const GdnCall& c, std::string_view word) {
  return word == "conv_state" || (word == "state" && !c.args.final_state);
}
bool in_place(const MergeCall&, std::string_view) { return false; }

}  // namespace

void add_outputs(OpId op, Call& call, const Outputs& outputs) {
  AttentionArgs& a = call.args;
  if (op == OpId::kAppend) return;
  const bool ragged = static_cast<bool>(a.seq.cu_seqlens_q);
  const int rank = ragged ? 3 : 4;
  if (a.v.rank < 1 || a.q.rank < 1) return;
  std::vector<int64_t> shape = shape_of(a.q);
  shape.back() = a.v.dim(-1);
  a.out = call.own(Tensor::empty(outputs.out_dtype.value_or(a.q.dtype), shape));
  if (a.q.rank != rank || (a.k.rank != rank && !is_paged(a))) return;
  const int64_t heads = a.q.dim(-2);
  if (outputs.lse) {
    a.lse = call.own(ragged ? Tensor::empty(DType::kF32, {heads, a.q.dim(0)})
                            : Tensor::empty(DType::kF32, {a.q.dim(0), heads, a.q.dim(1)}));
  }
  if (outputs.weights || outputs.scores) {
    int64_t batch = a.q.dim(0), most_q = ragged ? a.seq.max_seqlen_q : a.q.dim(1),
            most_k = ragged ? a.seq.max_seqlen_k : a.k.dim(1);
    const TensorView &cu_q = a.seq.cu_seqlens_q, &cu_k = a.seq.cu_seqlens_k;
    if (ragged) {
      const auto integers = [](const TensorView& t) {
        return t.rank == 1 && (t.dtype == DType::kI32 || t.dtype == DType::kI64);
      };
      if (!integers(cu_q) || !integers(cu_k) || cu_q.dim(0) != cu_k.dim(0)) return;
      batch = cu_q.dim(0) - 1;
      for (int64_t b = 0; b < batch; ++b) {
        if (a.seq.max_seqlen_q == 0)
          most_q = std::max(most_q, index_at(cu_q, b + 1) - index_at(cu_q, b));
        if (a.seq.max_seqlen_k == 0)
          most_k = std::max(most_k, index_at(cu_k, b + 1) - index_at(cu_k, b));
      }
      if (most_q > a.q.dim(0) || most_k > a.k.dim(0)) return;  // lists that the library refuses
    }
    if (outputs.weights)
      a.weights = call.own(Tensor::empty(DType::kF32, {batch, heads, most_q, most_k}));
    if (outputs.scores)
      a.scores = call.own(Tensor::empty(DType::kF32, {batch, heads, most_q, most_k}));
  }
  poison_outputs(call);
}

void add_outputs(OpId, GdnCall& call, const Outputs& outputs) {
  GdnArgs& a = call.args;
  const TensorView& lead = a.mixed_qkv ? a.mixed_qkv : a.v;
  if (lead.rank < 1) return;
  std::vector<int64_t> shape = shape_of(lead);
  int64_t k_dim = 0;
  if (!a.mixed_qkv) {
    if (a.q.rank != a.v.rank || a.v.rank < 3) return;
    shape[shape.size() - 2] = std::max(a.q.dim(-2), a.v.dim(-2));
    k_dim = a.q.dim(-1);
  } else {
    // [.., channels]: heads stand in a gate of each token, v_dim where a tensor has it.
    const TensorView* const gates[] = {&a.beta, &a.b, &a.a, &a.z};
    int64_t heads = 0;
    for (const TensorView* t : gates)
      if (*t && t->rank >= 2) heads = t == &a.z ? t->dim(-2) : t->dim(-1);
    const int64_t v_dim = a.state && a.state.rank == 4 ? a.state.dim(-2)
                          : a.z && a.z.rank >= 2       ? a.z.dim(-1)
                                                       : 0;
    if (heads == 0 || v_dim == 0)
      throw Error(ErrorCode::kInvalidArgument,
                  "gdn: v_dim of out is unknown, expected state or z beside mixed_qkv");
    shape.back() = heads;
    shape.push_back(v_dim);
  }
  a.out = call.own(Tensor::empty(outputs.out_dtype.value_or(lead.dtype), shape));
  // Repeated calls start from the same state: it goes to a tensor of its own.
  if (a.state) {
    a.final_state = call.own(copied(a.state, {}));
  } else if (!a.mixed_qkv && (!a.state_indices || a.state_indices.rank == 0)) {
    const int64_t batch = a.cu_seqlens && a.cu_seqlens.rank == 1 ? a.cu_seqlens.dim(0) - 1
                          : a.v.rank == 4                        ? a.v.dim(0)
                                                                 : 1;
    a.final_state = call.own(Tensor::empty(
        DType::kF32, {std::max<int64_t>(batch, 0), shape[shape.size() - 2], shape.back(), k_dim}));
    std::fill_n(static_cast<float*>(a.final_state.data), a.final_state.num_elements(),
                std::numeric_limits<float>::quiet_NaN());
  }
  poison_outputs(call);
}

void add_outputs(OpId, MergeCall& call, const Outputs& outputs) {
  MergeArgs& a = call.args;
  a.out = call.own(Tensor::empty(outputs.out_dtype.value_or(a.out_a.dtype), shape_of(a.out_a)));
  if (outputs.lse) a.lse = call.own(Tensor::empty(DType::kF32, shape_of(a.lse_a)));
  poison_outputs(call);
}

template <class C>
void poison_outputs(C call) {
  each_tensor(call, [](const auto& word, TensorView& view) {
    // Slots that a call does not address keep their states.
    if (!word.output || !view || std::string_view(word.name) == "final_state") return;
    const int64_t size = size_bytes(view.dtype);
    char nan[8];
    testing::store(view.dtype, nan, std::numeric_limits<double>::quiet_NaN());
    for (int64_t n = 0; n < view.num_elements(); ++n)
      std::memcpy(static_cast<char*>(view.data) + n * size, nan, static_cast<size_t>(size));
  });
}

template <class C>
NamedTensors written_by(C call) {
  NamedTensors list;
  each_tensor(call, [&](const auto& word, TensorView& view) {
    if (word.output && view) list.emplace_back(word.name, view);
  });
  each_tensor(call, [&](const auto& word, TensorView& view) {
    if (!word.output && view && in_place(call, word.name)) list.emplace_back(word.name, view);
  });
  return list;
}

template <class C>
C on_device(const C& call, Device device) {
  C there = call;
  if (device == Device{}) return there;
  each_tensor(there, [&](const auto&, TensorView& view) {
    if (view) view = there.own(copied(view, device));
  });
  return there;
}

template <class C>
void bring_back(C there, C here) {
  const NamedTensors from = written_by(there), to = written_by(here);
  for (size_t n = 0; n < to.size() && n < from.size(); ++n) {
    const TensorView &source = from[n].second, &view = to[n].second;
    if (source.data == view.data || source.device == Device{}) continue;
    const Tensor result = copied(source, {});
    if (view.data != nullptr && result.view().data != nullptr)
      std::memcpy(view.data, result.view().data,
                  static_cast<size_t>(view.num_elements() * size_bytes(view.dtype)));
  }
}

AttentionParams resolved(OpId op, const AttentionParams& params) {
  AttentionParams p = params;
  if (p.mask.diagonal == Diagonal::kOperatorDefault)
    p.mask.diagonal = op == OpId::kSdpa ? Diagonal::kTopLeft : Diagonal::kBottomRight;
  if (p.mask_with_bias == MaskWithBias::kUnset && op == OpId::kSdpa)
    p.mask_with_bias = MaskWithBias::kBoth;
  return p;
}

template <class C>
std::vector<std::string> describe(C call) {
  std::vector<std::string> lines;
  each_tensor(call, [&](const auto& word, TensorView& view) {
    if (!view || word.output) return;
    std::string label = word.name;
    label.resize(std::max<size_t>(label.size() + 2, 7), ' ');
    lines.push_back(label + shape_text(view));
  });
  return lines;
}

#define ATTEND_INSTANTIATE(C)                \
  template void poison_outputs<C>(C);        \
  template NamedTensors written_by<C>(C);    \
  template C on_device<C>(const C&, Device); \
  template void bring_back<C>(C, C);         \
  template std::vector<std::string> describe<C>(C)
ATTEND_INSTANTIATE(Call);
ATTEND_INSTANTIATE(GdnCall);
ATTEND_INSTANTIATE(MergeCall);
#undef ATTEND_INSTANTIATE

}  // namespace attend::cli
