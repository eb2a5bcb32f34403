#pragma once
// gdn's gated RMSNorm: out = x / sqrt(mean(x^2) + eps) * weight * silu(z) of the rule's rows.
//
//   block    kGdnNormRows heads of rows, each of a team of 32 threads
//   traffic  the rule's row is read twice, from cache the second time; z once
//   in place the rule's rows may be out: the thread that reads an element writes it
#include "backends/gpu/body/gdn_conv.h"
#include "backends/gpu/body/gdn_team.h"

namespace attend::gpu {

struct GdnNorm {
  using Args = GdnCall;
  static constexpr int kThreads = kGdnNorm.threads;

  static ATTEND_DEVICE void run(Thread& x, const GdnCall& call) {
    const GdnShape& shape = call.shape;
    const GdnArgs& a = call.args;
    const int64_t rows = gdn_all_rows(shape),
                  at = int64_t{x.block().x} * kGdnNormRows + x.tid() / kGdnNormTeam,
                  h = at % shape.heads, last = rows - 1;
    // Teams without a row look at the last and write nothing.
    const GdnPlace place(call, at / shape.heads < rows ? at / shape.heads : last);
    const bool live = place.live && at / shape.heads < rows, computed = live && !place.s.padding;
    const GdnRows& from = call.rows[GdnCall::kRule];
    const float* const rule = reinterpret_cast<const float*>(
        gdn_rows(from, place.s, static_cast<int>(h), 0).at(place.i, 0));
    const int lane = x.tid() % kGdnNormTeam;
    const int64_t v_dim = computed ? shape.v_dim : 0;
    const float length = team_length(x, [&](float scale) {
      float sum = 0.0f;
      for (int64_t d = lane; d < v_dim; d += kGdnNormTeam)
        sum += (rule[d * from.dim] * scale) * (rule[d * from.dim] * scale);
      return sum;
    });
    if (!live) return;
    const float factor = inverse(hypotenuse(length / math::sqrt(static_cast<float>(shape.v_dim)),
                                            math::sqrt(call.params.norm_eps)));
    const RowsView out = token_rows(a.out, shape, place.s), z = token_rows(a.z, shape, place.s);
    for (int64_t d = lane; d < shape.v_dim; d += kGdnNormTeam) {
      float value = 0.0f;
      if (computed) {
        const float gate =
            load_activation(z.at(place.i, h) + d * z.dim * size_bytes(z.dtype), z.dtype);
        const std::byte* const weight = element(a.norm_weight, d * a.norm_weight.stride[0]);
        value = rule[d * from.dim] * factor * load_activation(weight, a.norm_weight.dtype) *
                (gate * gdn_sigmoid(gate));
      }
      store_activation(out.at(place.i, h) + d * out.dim * size_bytes(out.dtype), out.dtype, value);
    }
  }

 private:
  static ATTEND_DEVICE float inverse(float x) { return x == 0.0f ? 0.0f : 1.0f / x; }
  // sqrt(a^2 + b^2), also where squares do not fit.
  static ATTEND_DEVICE float hypotenuse(float a, float b) {
    const float large = a > b ? a : b, small = a > b ? b : a;
    if (large == 0.0f) return small;
    return large * math::sqrt(1.0f + (small / large) * (small / large));
  }
};

}  // namespace attend::gpu
