#include "gdn_call.h"

#include <nanobind/stl/string.h>

#include <algorithm>

namespace attend::python {
namespace {

constexpr Word<GdnCall> kWords[] = {
    {"q", [](GdnCall& c, const Value& v) { c.args.q = v.tensor(); }},
    {"k", [](GdnCall& c, const Value& v) { c.args.k = v.tensor(); }},
    {"v", [](GdnCall& c, const Value& v) { c.args.v = v.tensor(); }},
    {"g", [](GdnCall& c, const Value& v) { c.args.g = v.tensor(); }},
    {"beta", [](GdnCall& c, const Value& v) { c.args.beta = v.tensor(); }},
    {"alpha", [](GdnCall& c, const Value& v) { c.args.alpha = v.tensor(); }},
    {"state",
     [](GdnCall& c, const Value& v) {
       c.args.state = c.in_place ? v.output(c.final_state) : v.tensor();
     }},
    {"final_state",
     [](GdnCall& c, const Value& v) { c.args.final_state = v.output(c.final_state); }},
    {"in_place", [](GdnCall& c, const Value& v) { c.in_place = v.boolean(); }},
    {"state_indices", [](GdnCall& c, const Value& v) { c.args.state_indices = v.index(); }},
    {"cu_seqlens", [](GdnCall& c, const Value& v) { c.args.cu_seqlens = v.index(); }},
    {"softmax_scale",
     [](GdnCall& c, const Value& v) { c.params.softmax_scale = static_cast<float>(v.real()); }},
    {"chunk_size", [](GdnCall& c, const Value& v) { c.params.chunk_size = v.integer<int32_t>(); }},
    {"normalize_qk", [](GdnCall& c, const Value& v) { c.params.normalize_qk = v.boolean(); }},
    {"l2_eps", [](GdnCall& c, const Value& v) { c.params.l2_eps = static_cast<float>(v.real()); }},
    {"padding_slot",
     [](GdnCall& c, const Value& v) { c.params.padding_slot = v.integer<int32_t>(); }},
    {"mixed_qkv", [](GdnCall& c, const Value& v) { c.args.mixed_qkv = v.tensor(); }},
    {"conv_weight", [](GdnCall& c, const Value& v) { c.args.conv_weight = v.tensor(); }},
    {"conv_bias", [](GdnCall& c, const Value& v) { c.args.conv_bias = v.tensor(); }},
    {"conv_state",
     [](GdnCall& c, const Value& v) {
       c.args.conv_state = c.tensors.output("conv_state", v.object());
     }},
    {"k_heads", [](GdnCall& c, const Value& v) { c.params.k_heads = v.integer<int32_t>(); }},
    {"v_heads", [](GdnCall& c, const Value& v) { c.params.v_heads = v.integer<int32_t>(); }},
    {"conv_silu", [](GdnCall& c, const Value& v) { c.params.conv_silu = v.boolean(); }},
    {"a", [](GdnCall& c, const Value& v) { c.args.a = v.tensor(); }},
    {"b", [](GdnCall& c, const Value& v) { c.args.b = v.tensor(); }},
    {"a_log", [](GdnCall& c, const Value& v) { c.args.a_log = v.tensor(); }},
    {"dt_bias", [](GdnCall& c, const Value& v) { c.args.dt_bias = v.tensor(); }},
    {"z", [](GdnCall& c, const Value& v) { c.args.z = v.tensor(); }},
    {"norm_weight", [](GdnCall& c, const Value& v) { c.args.norm_weight = v.tensor(); }},
    {"norm_eps",
     [](GdnCall& c, const Value& v) { c.params.norm_eps = static_cast<float>(v.real()); }},
    {"out", [](GdnCall& c, const Value& v) { c.args.out = v.output(c.out); }},
    {"out_dtype", [](GdnCall& c, const Value& v) { c.out_dtype = v.dtype(); }},
};

std::vector<int64_t> shape_of(const TensorView& t) {
  return {t.shape.begin(), t.shape.begin() + t.rank};
}

// Heads that have a state.
int64_t heads_of(const GdnArgs& a) { return std::max(a.q.dim(-2), a.v.dim(-2)); }

// [batch, heads, v_dim, k_dim]; empty where the tensors do not say.
std::vector<int64_t> fresh_state(const GdnArgs& a) {
  if (a.mixed_qkv || a.q.rank < 3 || a.v.rank < 3) return {};
  if (a.cu_seqlens && (a.cu_seqlens.rank != 1 || a.cu_seqlens.dim(0) < 1)) return {};
  return {a.cu_seqlens ? a.cu_seqlens.dim(0) - 1 : a.v.dim(0), heads_of(a), a.v.dim(-1),
          a.q.dim(-1)};
}

// The rows of v or of mixed_qkv, with the heads and v_dim of a state; empty where no shape says.
std::vector<int64_t> out_shape(const GdnArgs& a) {
  const TensorView& lead = a.mixed_qkv ? a.mixed_qkv : a.v;
  const int inner = a.mixed_qkv ? 1 : 2;
  if (lead.rank < inner || (!a.mixed_qkv && a.q.rank < 2)) return {};
  std::vector<int64_t> shape(lead.shape.begin(), lead.shape.begin() + lead.rank - inner);
  const auto heads = [&](int64_t n, int64_t v_dim) {
    shape.push_back(n);
    shape.push_back(v_dim);
    return shape;
  };
  if (!a.mixed_qkv) return heads(heads_of(a), a.v.dim(-1));
  const TensorView& state = a.state ? a.state : a.final_state;
  if (state.rank == 4) return heads(state.dim(1), state.dim(2));
  if (a.z.rank >= 2) return heads(a.z.dim(-2), a.z.dim(-1));
  return {};
}

// The operator would speak of the out that is made here, not of the tensors that are amiss.
void check_tells_out(const GdnCall& call) {
  const GdnArgs& a = call.args;
  if (a.mixed_qkv) {
    if (out_shape(a).empty())
      invalid(call,
              "out is absent, expected it, state, final_state or z with mixed_qkv, to tell heads "
              "and v_dim");
    return;
  }
  const int rank = a.cu_seqlens ? 3 : 4;
  const auto check = [&](const char* arg, const TensorView& t, const char* inner) {
    if (t.rank != rank)
      invalid(call, std::string(arg) + " rank is " + std::to_string(t.rank) + ", expected " +
                        std::to_string(rank) + (rank == 3 ? " [total, " : " [batch, seqlen, ") +
                        inner + "]");
  };
  check("q", a.q, "k_heads, k_dim");
  check("v", a.v, "v_heads, v_dim");
}

}  // namespace

std::span<const Word<GdnCall>> GdnCall::words() { return kWords; }

void GdnCall::read(const nb::dict& said) {
  if (const nb::object word = said_with(said, "in_place"))  // first: how the state is taken
    in_place = Value(*this, "in_place", word).boolean();
  if (in_place && said_with(said, "final_state").is_valid())
    invalid(*this, "in_place is True and final_state is given, expected one of the two words");
  if (in_place && !said_with(said, "state").is_valid())
    invalid(*this, "in_place is True and state is absent, expected the state to write");
  read_into(*this, words(), said);
  if (!args.mixed_qkv)
    for (const char* word : {"q", "k", "v"}) {
      if (!said.contains(word)) missing_word(*this, word);
      if (nb::handle(said[word]).is_none()) tensors.input(word, nb::none());
    }
  like = said_with(said, args.mixed_qkv ? "mixed_qkv" : "v");
  if (!out.is_valid()) check_tells_out(*this);
  // A pool is never copied unasked.
  if (args.state_indices && !in_place && !final_state.is_valid())
    invalid(*this,
            "state_indices is given, expected in_place=True, which writes the pool where it lies, "
            "or final_state with it");
  if (out.is_valid() && out_dtype && *out_dtype != args.out.dtype)
    invalid(*this, std::string("out_dtype is ") + name(*out_dtype) + " and out is " +
                       name(args.out.dtype) + ", expected one of the two words or the same dtype");
}

std::vector<Wanted> GdnCall::wanted() {
  std::vector<Wanted> wanted;
  if (const auto shape = out_shape(args); !out.is_valid() && !shape.empty())
    wanted.push_back({"out", &args.out, &out, shape,
                      out_dtype.value_or(args.mixed_qkv ? args.mixed_qkv.dtype : args.v.dtype),
                      args.cu_seqlens ? std::optional(0.0f) : std::nullopt});
  if (final_state.is_valid()) return wanted;
  if (const auto shape = args.state ? shape_of(args.state) : fresh_state(args); !shape.empty())
    wanted.push_back(
        {"final_state", &args.final_state, &final_state, shape, DType::kF32, std::nullopt});
  return wanted;
}

nb::object GdnCall::result(const RunResult& ran) const {
  return nb::module_::import_("attend._results")
      .attr("GdnResult")(out, final_state.is_valid() ? final_state : nb::none(),
                         nb::str(ran.kernel));
}

}  // namespace attend::python
