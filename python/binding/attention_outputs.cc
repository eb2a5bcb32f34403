#include <algorithm>
#include <cmath>
#include <utility>

#include <nanobind/stl/string.h>

#include "attention_call.h"

namespace attend::python {
namespace {

using Shape = std::vector<int64_t>;

// Element i of an index vector that the operator's checks have not seen yet; false where it cannot
// be read.
bool read_index(const TensorView& t, int64_t i, int64_t& value) {
  if (t.rank != 1 || i >= t.dim(0) || t.device.type != DeviceType::kNative) return false;
  if (t.dtype == DType::kI32)
    value = static_cast<const int32_t*>(t.data)[i * t.step(0)];
  else if (t.dtype == DType::kI64)
    value = static_cast<const int64_t*>(t.data)[i * t.step(0)];
  else
    return false;
  return true;
}

// The longest sequence: the bound that the caller gave, or what cu_seqlens says. -1 where that is
// not a list of lengths within `total`, which the operator refuses in its own words.
int64_t longest_of(const TensorView& cu, int64_t bound, int64_t total) {
  if (bound > 0) return bound;
  int64_t longest = 0, before = 0;
  for (int64_t b = 0, here = 0; read_index(cu, b, here); before = here, ++b) {
    if (here < before || here > total) return -1;
    longest = std::max(longest, here - before);
  }
  return longest;
}

// [batch, heads, seqlen_q, seqlen_k], empty where q and k have no such shape.
Shape weights_shape(const AttentionArgs& a) {
  const SeqLayout& s = a.seq;
  if (!s.cu_seqlens_q) {
    if (a.q.rank != 4 || a.k.rank != 4) return {};
    return {a.q.dim(0), a.q.dim(2), a.q.dim(1), a.k.dim(1)};
  }
  if (a.q.rank != 3 || a.k.rank != 3 || s.cu_seqlens_q.rank != 1 || s.cu_seqlens_q.dim(0) < 1)
    return {};
  const int64_t longest_q = longest_of(s.cu_seqlens_q, s.max_seqlen_q, a.q.dim(0));
  const int64_t longest_k = longest_of(s.cu_seqlens_k, s.max_seqlen_k, a.k.dim(0));
  if (longest_q < 0 || longest_k < 0) return {};
  return {s.cu_seqlens_q.dim(0) - 1, a.q.dim(1), longest_q, longest_k};
}

nb::object given(bool asked, const nb::object& object) { return asked ? object : nb::none(); }

}  // namespace

std::vector<Wanted> AttentionCall::wanted() {
  std::vector<Wanted> wanted;
  if (op_id == OpId::kAppend) return wanted;
  const AttentionArgs& a = args;
  const SeqLayout& s = a.seq;
  const bool rows_stay = s.cu_seqlens_q || s.seqused_q;
  const auto want = [&](const char* arg, TensorView& view, nb::object& object, Shape shape,
                        DType dtype, float fill) {
    wanted.push_back({arg, &view, &object, std::move(shape), dtype,
                      rows_stay ? std::optional<float>(fill) : std::nullopt});
  };
  if (!out.is_valid()) {
    Shape shape(a.q.shape.begin(), a.q.shape.begin() + a.q.rank);
    if (!shape.empty() && a.v.rank > 0) shape.back() = a.v.dim(-1);
    want("out", args.out, out, std::move(shape), out_dtype.value_or(a.q.dtype), 0.0f);
  }
  if (return_lse && a.q.rank == 4 && !s.cu_seqlens_q)
    want("lse", args.lse, lse, {a.q.dim(0), a.q.dim(2), a.q.dim(1)}, DType::kF32, -INFINITY);
  if (return_lse && a.q.rank == 3 && s.cu_seqlens_q)
    want("lse", args.lse, lse, {a.q.dim(1), a.q.dim(0)}, DType::kF32, -INFINITY);
  const Shape all = return_weights || return_scores ? weights_shape(a) : Shape{};
  if (return_weights && !all.empty())
    want("weights", args.weights, weights, all, weights_dtype.value_or(DType::kF32), 0.0f);
  if (return_scores && !all.empty())
    want("scores", args.scores, scores, all, DType::kF32, -INFINITY);
  return wanted;
}

nb::object AttentionCall::result(const RunResult& ran) const {
  if (op_id == OpId::kAppend) return return_kernel ? nb::object(nb::str(ran.kernel)) : nb::none();
  if (!return_lse && !return_weights && !return_scores && !return_kernel) return out;
  return nb::module_::import_("attend._results")
      .attr("Result")(out, given(return_lse, lse), given(return_weights, weights),
                      given(return_scores, scores), nb::str(ran.kernel), nb::str(ran.note));
}

}  // namespace attend::python
