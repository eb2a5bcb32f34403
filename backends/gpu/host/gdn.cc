// gdn on a device, up to four launches: the convolution of mixed_qkv (body/gdn_conv.h), the rule
// (body/gdn_rule.h), the gated norm (body/gdn_norm.h), and the past of the next call's convolution.
// Between them rows are f32, in scratch memory.
#include "backends/gpu/call/gdn.h"

#include "backends/gpu/host/index_check.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"

namespace attend::gpu {
namespace {

int blocks_for(int64_t count, int64_t each) { return static_cast<int>((count + each - 1) / each); }

GdnRows rows_of(const TensorView& t, const GdnShape& shape, int64_t heads) {
  const int token = shape.ragged ? 0 : 1;
  GdnRows rows;
  rows.data = static_cast<std::byte*>(t.data);
  rows.sequence = shape.ragged ? 0 : t.step(0);
  rows.token = t.step(token);
  rows.head = t.step(token + 1);
  rows.dim = t.rank > token + 2 ? t.step(-1) : 0;
  rows.group = static_cast<int32_t>(shape.heads / heads);
  rows.dtype = t.dtype;
  return rows;
}

// Rows that one part of the layer leaves to the next: f32, row-major.
GdnRows scratch_rows(float* data, const GdnShape& shape, int64_t width, int64_t heads,
                     int64_t dim) {
  GdnRows rows;
  rows.data = reinterpret_cast<std::byte*>(data);
  rows.sequence = shape.ragged ? 0 : shape.rows * width;
  rows.token = width;
  rows.head = dim;
  rows.dim = 1;
  rows.group = static_cast<int32_t>(shape.heads / heads);
  return rows;
}

GdnDecayFrom decay_from(const GdnArgs& a, bool ragged) {
  if (a.a) return GdnDecayFrom::kGate;
  const bool channels = (a.g ? a.g : a.alpha).rank == (ragged ? 3 : 4);
  if (a.g) return channels ? GdnDecayFrom::kChannelLogarithm : GdnDecayFrom::kLogarithm;
  return channels ? GdnDecayFrom::kChannelLinear : GdnDecayFrom::kLinear;
}

// One call and the scratch that it wants, in floats.
class Plan {
 public:
  Plan(const GdnArgs& a, const GdnParams& p) {
    const GdnShape s = gdn_shape(a, p);
    call_.args = a;
    call_.params = p;
    call_.shape = s;
    all_rows_ = s.ragged ? s.rows : s.batch * s.rows;
    if (a.mixed_qkv) convolved_ = all_rows_ * s.channels;
    if (a.z && a.out.dtype != DType::kF32) before_norm_ = all_rows_ * s.heads * s.v_dim;
    call_.decay_from = decay_from(a, s.ragged);
  }
  uint64_t scratch_bytes() const {
    return static_cast<uint64_t>(convolved_ + before_norm_) * sizeof(float);
  }

  Status run(float* scratch, const uint8_t* skip, const ExecContext& context) {
    call_.skip = skip;
    make_rows(scratch);
    const GdnArgs& a = call_.args;
    Status status;
    if (a.mixed_qkv) status = convolve(kGdnConv, blocks_for(all_rows_, kGdnConvTokens), context);
    if (status) status = apply_rule(context);
    if (status && a.z) {
      const int blocks = blocks_for(all_rows_ * call_.shape.heads, kGdnNormRows);
      if (blocks > 0) status = launch(kGdnNorm, {blocks, 1, 1}, 0, call_, context);
    }
    if (status && a.conv_state && call_.shape.taps > 1)
      status = convolve(kGdnPast, static_cast<int>(call_.shape.batch), context);
    return status;
  }

 private:
  void make_rows(float* scratch) {
    const GdnArgs& a = call_.args;
    const GdnShape& s = call_.shape;
    GdnRows* const rows = call_.rows;
    if (a.mixed_qkv) {
      const int64_t keys = s.k_heads * s.k_dim;
      rows[GdnCall::kQ] = scratch_rows(scratch, s, s.channels, s.k_heads, s.k_dim);
      rows[GdnCall::kK] = scratch_rows(scratch + keys, s, s.channels, s.k_heads, s.k_dim);
      rows[GdnCall::kV] = scratch_rows(scratch + 2 * keys, s, s.channels, s.v_heads, s.v_dim);
    } else {
      rows[GdnCall::kQ] = rows_of(a.q, s, s.k_heads);
      rows[GdnCall::kK] = rows_of(a.k, s, s.k_heads);
      rows[GdnCall::kV] = rows_of(a.v, s, s.v_heads);
    }
    rows[GdnCall::kRule] = before_norm_ > 0 ? scratch_rows(scratch + convolved_, s,
                                                           s.heads * s.v_dim, s.heads, s.v_dim)
                                            : rows_of(a.out, s, s.heads);
    rows[GdnCall::kDecay] = rows_of(a.a ? a.a : a.g ? a.g : a.alpha, s, s.heads);
    rows[GdnCall::kBeta] = rows_of(a.b ? a.b : a.beta, s, s.heads);
    rows[GdnCall::kV].of_values = rows[GdnCall::kRule].of_values = true;
  }

  Status convolve(const Kernel& kernel, int blocks, const ExecContext& context) const {
    if (blocks == 0) return {};
    const int channels = blocks_for(call_.shape.channels, kGdnChannels);
    return launch(kernel, {blocks, channels, 1}, 0, call_, context);
  }

  Status apply_rule(const ExecContext& context) const {
    const GdnShape& s = call_.shape;
    const bool wide = s.k_dim > kGdnNarrow.most_k;
    const GdnRuleShape& rule = wide ? kGdnWide : kGdnNarrow;
    const int blocks = static_cast<int>(s.batch * s.heads) * blocks_for(s.v_dim, rule.slice);
    if (blocks == 0) return {};
    return launch(wide ? kGdnRuleWide : kGdnRuleNarrow, {blocks, 1, 1}, rule.shared_bytes, call_,
                  context);
  }

  GdnCall call_;
  int64_t all_rows_ = 0, convolved_ = 0, before_norm_ = 0;
};

Status supports(const GdnArgs& a, const GdnParams& p, const Device& device) {
  const int64_t k_dim = gdn_shape(a, p).k_dim;
  if (k_dim > kGdnWide.most_k)
    return {ErrorCode::kUnsupported, "k_dim is {}, supported 1 to 256", k_dim};
  return device_available(device);
}

uint64_t workspace_bytes(const GdnArgs& a, const GdnParams& p, int32_t) {
  return Plan(a, p).scratch_bytes();
}

Status run(const GdnArgs& a, const GdnParams& p, const ExecContext& context) {
  const IndexCheck check(a, p, context);
  if (!check.status()) return check.status();
  Plan plan(a, p);
  const Scratch scratch(context, plan.scratch_bytes());
  if (!scratch) return {ErrorCode::kOutOfMemory, "scratch memory is not to be had", 0};
  return plan.run(static_cast<float*>(scratch.data()), check.skip(), context);
}

}  // namespace

void add_gdn(Rows& rows) {
  rows.gdn.push_back({OpId::kGdn, kPluginDevice, row_name(OpId::kGdn, "portable"),
                      "f32 f16 bf16; dense, ragged; chunks and steps; the rule and the layer; "
                      "k_dim to 256",
                      0, device_available, supports, workspace_bytes, run});
}

}  // namespace attend::gpu
