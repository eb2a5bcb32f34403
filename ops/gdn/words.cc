#include <cmath>
#include <string>

#include "ops/gdn/checks.h"

// Words and tensors of a gdn call that need or exclude one another.
namespace attend {
namespace {

constexpr const char* kWhere = "gdn";

void only_with(bool given, const char* arg, bool other, const char* name) {
  if (given && !other)
    throw_invalid(kWhere, std::string(arg) + " is given, expected it only with " + name);
}
void needed_with(const TensorView& t, const char* arg, bool other, const char* name) {
  if (!t && other) throw_invalid(kWhere, std::string(arg) + " is absent, expected it with " + name);
}
void one_of(const TensorView& t, const char* arg, const TensorView& u, const char* other) {
  if (t && u)
    throw_invalid(kWhere,
                  std::string(arg) + " and " + other + " are both given, expected one of the two");
}

void check_inputs(const GdnArgs& a, const GdnParams& p) {
  const bool layer = static_cast<bool>(a.mixed_qkv);
  one_of(a.q, "q", a.mixed_qkv, "mixed_qkv");
  one_of(a.k, "k", a.mixed_qkv, "mixed_qkv");
  one_of(a.v, "v", a.mixed_qkv, "mixed_qkv");
  for (const auto& [arg, t] : {std::pair{"q", &a.q}, {"k", &a.k}, {"v", &a.v}})
    if (!layer && !*t)
      throw_invalid(kWhere, std::string(arg) + " is absent, expected q, k and v, or mixed_qkv");
  if (!a.out) throw_invalid(kWhere, "out is absent, expected a tensor");
  needed_with(a.conv_weight, "conv_weight", layer, "mixed_qkv");
  only_with(static_cast<bool>(a.conv_weight), "conv_weight", layer, "mixed_qkv");
  only_with(static_cast<bool>(a.conv_bias), "conv_bias", layer, "mixed_qkv");
  only_with(static_cast<bool>(a.conv_state), "conv_state", layer, "mixed_qkv");
  if (!p.conv_silu && !layer)
    throw_invalid(kWhere, "conv_silu is off, expected it only with mixed_qkv");
  for (const auto& [word, heads] : {std::pair{"k_heads", p.k_heads}, {"v_heads", p.v_heads}})
    if (heads < 0)
      throw_invalid(kWhere, std::string(word) + " is " + std::to_string(heads) +
                                ", expected 0 (not told) or more");
}

void check_gates(const GdnArgs& a) {
  one_of(a.g, "g", a.alpha, "alpha");
  one_of(a.g, "g", a.a, "a");
  one_of(a.alpha, "alpha", a.a, "a");
  needed_with(a.a_log, "a_log", static_cast<bool>(a.a), "a");
  needed_with(a.dt_bias, "dt_bias", static_cast<bool>(a.a), "a");
  only_with(static_cast<bool>(a.a_log), "a_log", static_cast<bool>(a.a), "a");
  only_with(static_cast<bool>(a.dt_bias), "dt_bias", static_cast<bool>(a.a), "a");
  if (!a.g && !a.alpha && !a.a)
    throw_invalid(kWhere, "g is absent, expected one of g, alpha, or a with a_log and dt_bias");
  one_of(a.beta, "beta", a.b, "b");
  if (!a.beta && !a.b) throw_invalid(kWhere, "beta is absent, expected one of beta and b");
}

// An eps that would not be used may not be set.
void check_eps(const char* word, float eps, float unset, bool used, const char* user) {
  if (!(eps >= 0.0f) || !std::isfinite(eps))
    throw_invalid(kWhere, std::string(word) + " is " + gdn_text(eps) +
                              ", expected 0 or a positive finite number");
  if (eps != unset && !used)
    throw_invalid(kWhere,
                  std::string(word) + " is " + gdn_text(eps) + ", expected it only with " + user);
}

}  // namespace

void check_gdn_words(const GdnArgs& a, const GdnParams& p) {
  if (p.softmax_scale && !std::isfinite(*p.softmax_scale))
    throw_invalid(kWhere,
                  "softmax_scale is " + gdn_text(*p.softmax_scale) + ", expected a finite number");
  if (p.chunk_size < 1 || p.chunk_size > 1024)
    throw_invalid(kWhere,
                  "chunk_size is " + std::to_string(p.chunk_size) + ", expected 1 to 1024 tokens");
  check_inputs(a, p);
  check_gates(a);
  needed_with(a.norm_weight, "norm_weight", static_cast<bool>(a.z), "z");
  needed_with(a.z, "z", static_cast<bool>(a.norm_weight), "norm_weight");
  const GdnParams unset;
  check_eps("l2_eps", p.l2_eps, unset.l2_eps, p.normalize_qk, "normalize_qk");
  check_eps("norm_eps", p.norm_eps, unset.norm_eps, static_cast<bool>(a.z), "z and norm_weight");
  const bool pools = a.state || a.final_state || a.conv_state;
  only_with(static_cast<bool>(a.state_indices), "state_indices", pools,
            "state, final_state or conv_state");
  if (p.padding_slot < -1)
    throw_invalid(kWhere, "padding_slot is " + std::to_string(p.padding_slot) +
                              ", expected -1 (none) or a slot");
  if (p.padding_slot >= 0 && !a.state_indices)
    throw_invalid(kWhere, "padding_slot is " + std::to_string(p.padding_slot) +
                              ", expected it only with state_indices");
}

}  // namespace attend
