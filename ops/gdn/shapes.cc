#include <string>

#include "ops/check/checker.h"
#include "ops/gdn/checks.h"
#include "ops/gdn/contents.h"

// Ranks, dimensions and dtypes of a gdn call.
namespace attend {
namespace {

constexpr const char* kWhere = "gdn";
constexpr std::initializer_list<DType> kFloats = {DType::kF32, DType::kF16, DType::kBF16};

// Checks of tensors with a row for each token, whose leading dimensions the layout decides.
class TokenChecker {
 public:
  TokenChecker(const Checker& c, const GdnArgs& a)
      : c_(c),
        ragged_(static_cast<bool>(a.cu_seqlens)),
        lead_(a.mixed_qkv ? a.mixed_qkv : a.q),
        lead_name_(a.mixed_qkv ? "mixed_qkv" : "q") {}

  // [batch, seqlen, <inner>] or [total, <inner>]
  void rank(const char* arg, const TensorView& t, int inner, const char* names) const {
    const std::string shape = (ragged_ ? "[total, " : "[batch, seqlen, ") + std::string(names) +
                              (ragged_ ? "], as cu_seqlens is given" : "]");
    c_.rank(arg, t, inner + (ragged_ ? 1 : 2), shape.c_str());
  }
  void rows(const char* arg, const TensorView& t) const {
    if (!ragged_) c_.dim(arg, t, 0, lead_.dim(0), ("batch of " + lead_name_).c_str());
    const int row = ragged_ ? 0 : 1;
    c_.dim(arg, t, row, lead_.dim(row),
           ((ragged_ ? "total of " : "seqlen of ") + lead_name_).c_str());
  }

 private:
  const Checker& c_;
  bool ragged_;
  const TensorView& lead_;
  std::string lead_name_;
};

void at_least_one(const char* arg, const TensorView& t, int i, const char* what) {
  if (t.dim(i) < 1)
    throw_invalid(kWhere, std::string(arg) + " " + what + " is 0, expected 1 or more");
}

void one_divides_the_other(int64_t k_heads, int64_t v_heads) {
  const int64_t more = std::max(k_heads, v_heads), less = std::min(k_heads, v_heads);
  if (more % less != 0)
    throw_invalid(kWhere, "v v_heads is " + str(v_heads) + ", expected a multiple of k_heads " +
                              str(k_heads) + ", or the reverse");
}

void check_qkv(const Checker& c, const TokenChecker& tokens, const GdnArgs& a, const GdnParams& p) {
  tokens.rank("q", a.q, 2, "k_heads, k_dim");
  tokens.rank("k", a.k, 2, "k_heads, k_dim");
  tokens.rank("v", a.v, 2, "v_heads, v_dim");
  c.dtype("q", a.q, kFloats);
  c.dtype("k", a.k, {a.q.dtype}, " like q");
  c.dtype("v", a.v, {a.q.dtype}, " like q");
  tokens.rows("k", a.k);
  tokens.rows("v", a.v);
  c.dim("k", a.k, -2, a.q.dim(-2), "k_heads of q");
  c.dim("k", a.k, -1, a.q.dim(-1), "k_dim of q");
  at_least_one("q", a.q, -2, "k_heads");
  at_least_one("q", a.q, -1, "k_dim");
  at_least_one("v", a.v, -2, "v_heads");
  at_least_one("v", a.v, -1, "v_dim");
  one_divides_the_other(a.q.dim(-2), a.v.dim(-2));
  const auto as_told = [](const char* word, int32_t told, int64_t heads, const char* of) {
    if (told > 0 && told != heads)
      throw_invalid(kWhere, std::string(word) + " is " + str(told) + ", expected " + str(heads) +
                                " (" + of + ") or 0");
  };
  as_told("k_heads", p.k_heads, a.q.dim(-2), "k_heads of q");
  as_told("v_heads", p.v_heads, a.v.dim(-2), "v_heads of v");
}

// What mixed_qkv holds, which out, a state and k_heads tell together.
void check_mixed(const Checker& c, const TokenChecker& tokens, const GdnArgs& a,
                 const GdnParams& p) {
  tokens.rank("mixed_qkv", a.mixed_qkv, 1, "channels");
  c.dtype("mixed_qkv", a.mixed_qkv, kFloats);
  at_least_one("out", a.out, -2, "heads");
  at_least_one("out", a.out, -1, "v_dim");
  const TensorView& state = a.state ? a.state : a.final_state;
  if (!state && p.k_heads == 0)
    throw_invalid(kWhere,
                  "k_heads is 0, expected the key heads of mixed_qkv, as without state and "
                  "final_state no shape tells k_dim");
  c.rank("conv_weight", a.conv_weight, 2, "[channels, taps]");
  at_least_one("conv_weight", a.conv_weight, -1, "taps");
  const GdnShape s = gdn_shape(a, p);
  if (s.k_heads < 1 || s.k_dim < 1 || s.channels != 2 * s.k_heads * s.k_dim + s.v_heads * s.v_dim)
    throw_invalid(kWhere,
                  "mixed_qkv channels is " + str(s.channels) +
                      ", expected 2 k_heads k_dim + v_heads v_dim with v_heads " + str(s.v_heads) +
                      ", v_dim " + str(s.v_dim) +
                      (p.k_heads > 0 ? ", k_heads " + str(p.k_heads) : std::string()) +
                      (state ? ", k_dim " + str(s.k_dim) + " of the state" : std::string()));
  one_divides_the_other(s.k_heads, s.v_heads);
  c.dtype("conv_weight", a.conv_weight, kFloats);
  c.dim("conv_weight", a.conv_weight, 0, s.channels, "channels of mixed_qkv");
  if (a.conv_bias) {
    c.dtype("conv_bias", a.conv_bias, kFloats);
    c.rank("conv_bias", a.conv_bias, 1, "[channels]");
    c.dim("conv_bias", a.conv_bias, 0, s.channels, "channels of mixed_qkv");
  }
}

void check_gates(const Checker& c, const TokenChecker& tokens, const GdnArgs& a,
                 const GdnShape& s) {
  const auto per_head = [&](const char* arg, const TensorView& t, int inner, const char* names) {
    tokens.rank(arg, t, inner, names);
    tokens.rows(arg, t);
    c.dim(arg, t, inner == 2 ? -2 : -1, s.heads, "heads of out");
  };
  const auto decay = [&](const char* arg, const TensorView& t) {
    if (!t) return;
    c.dtype(arg, t, {DType::kF32});
    if (t.rank != (s.ragged ? 3 : 4)) return per_head(arg, t, 1, "heads] or [.., heads, k_dim");
    per_head(arg, t, 2, "heads, k_dim");
    c.dim(arg, t, -1, s.k_dim, "k_dim");
  };
  decay("g", a.g);
  decay("alpha", a.alpha);
  if (a.beta) {
    c.dtype("beta", a.beta, {DType::kF32});
    per_head("beta", a.beta, 1, "heads");
  }
  for (const auto& [arg, t] : {std::pair{"a", &a.a}, {"b", &a.b}}) {
    if (!*t) continue;
    c.dtype(arg, *t, kFloats);
    per_head(arg, *t, 1, "heads");
  }
  for (const auto& [arg, t] : {std::pair{"a_log", &a.a_log}, {"dt_bias", &a.dt_bias}}) {
    if (!*t) continue;
    c.dtype(arg, *t, {DType::kF32});
    c.rank(arg, *t, 1, "[heads]");
    c.dim(arg, *t, 0, s.heads, "heads of out");
  }
}

// The pools share their slots; without state_indices they have one for each sequence.
void check_pools(const Checker& c, const GdnArgs& a, const GdnParams& p, const GdnShape& s) {
  c.index("state_indices", a.state_indices, s.batch, "batch");
  const TensorView& first = gdn_pool(a);
  const char* const first_name = a.state         ? "slots of state"
                                 : a.final_state ? "slots of final_state"
                                                 : "slots of conv_state";
  const auto slots = [&](const char* arg, const TensorView& t) {
    if (a.state_indices)
      c.dim(arg, t, 0, first.dim(0), first_name);
    else
      c.dim(arg, t, 0, s.batch, "batch");
  };
  for (const auto& [arg, t] : {std::pair{"state", &a.state}, {"final_state", &a.final_state}}) {
    if (!*t) continue;
    c.dtype(arg, *t, {DType::kF32});
    slots(arg, *t);
    c.dim(arg, *t, 1, s.heads, "heads of out");
    c.dim(arg, *t, 2, s.v_dim, "v_dim of out");
    c.dim(arg, *t, 3, s.k_dim, "k_dim");
  }
  if (a.state_indices && p.padding_slot >= first.dim(0))
    throw_out_of_range(kWhere, "padding_slot is " + str(p.padding_slot) + ", expected below " +
                                   str(first.dim(0)) + ", the slots there are");
  if (!a.conv_state) return;
  c.dtype("conv_state", a.conv_state, {a.mixed_qkv.dtype}, " like mixed_qkv");
  c.rank("conv_state", a.conv_state, 3, "[batch or slots, channels, taps - 1]");
  slots("conv_state", a.conv_state);
  c.dim("conv_state", a.conv_state, 1, s.channels, "channels of mixed_qkv");
  c.dim("conv_state", a.conv_state, 2, s.taps - 1, "taps of conv_weight less 1");
}

}  // namespace

void check_gdn_shapes(const GdnArgs& a, const GdnParams& p) {
  const Checker c(kWhere);
  if (a.cu_seqlens) {
    c.rank("cu_seqlens", a.cu_seqlens, 1, "[batch + 1]");
    c.dtype("cu_seqlens", a.cu_seqlens, {DType::kI32, DType::kI64});
    if (a.cu_seqlens.dim(0) < 1) throw_invalid(kWhere, "cu_seqlens dim 0 is 0, expected batch + 1");
  }
  const TokenChecker tokens(c, a);
  tokens.rank("out", a.out, 2, "heads, v_dim");
  for (const auto& [arg, t] : {std::pair{"state", &a.state}, {"final_state", &a.final_state}})
    if (*t) c.rank(arg, *t, 4, "[batch or slots, heads, v_dim, k_dim]");
  if (a.mixed_qkv)
    check_mixed(c, tokens, a, p);
  else
    check_qkv(c, tokens, a, p);
  const GdnShape s = gdn_shape(a, p);
  const TensorView& lead = a.mixed_qkv ? a.mixed_qkv : a.q;
  c.dtype("out", a.out, {lead.dtype, DType::kF32});
  tokens.rows("out", a.out);
  c.dim("out", a.out, -2, std::max(s.k_heads, s.v_heads), "the larger of k_heads and v_heads");
  if (a.v) c.dim("out", a.out, -1, a.v.dim(-1), "v_dim of v");
  check_gates(c, tokens, a, s);
  check_pools(c, a, p, s);
  if (!a.z) return;
  c.dtype("z", a.z, kFloats);
  tokens.rank("z", a.z, 2, "heads, v_dim");
  tokens.rows("z", a.z);
  c.dim("z", a.z, -2, s.heads, "heads of out");
  c.dim("z", a.z, -1, s.v_dim, "v_dim of out");
  c.dtype("norm_weight", a.norm_weight, kFloats);
  c.rank("norm_weight", a.norm_weight, 1, "[v_dim]");
  c.dim("norm_weight", a.norm_weight, 0, s.v_dim, "v_dim of out");
}

}  // namespace attend
