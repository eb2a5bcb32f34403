#include "tests/gdn/tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "attend/error.h"
#include "tests/support/devices.h"
#include "tests/support/element.h"
#include "tests/support/noise.h"
#include "tests/support/run_row.h"

namespace attend::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Calls f(index) for every place of a shape, in row-major order.
template <class F>
void for_places(const std::vector<int64_t>& shape, F&& f) {
  std::vector<int64_t> at(shape.size(), 0);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
  for (;;) {
    f(at);
    size_t d = shape.size();
    while (d > 0 && ++at[d - 1] == shape[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

int64_t offset_of(const TensorView& t, const std::vector<int64_t>& at) {
  int64_t offset = 0;
  for (size_t d = 0; d < at.size(); ++d) offset += at[d] * t.stride[d];
  return offset * size_bytes(t.dtype);
}

double uniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

GdnTensors::GdnTensors(const GdnCase& c, uint64_t seed) : sizes(c.sizes), c_(c), seed_(seed) {
  const GdnSizes& z = c.sizes;
  for (int64_t b = 0; b < c.batch; ++b)  // in another order than the sequences, some left free
    slots_.push_back(c.slots == GdnSlots::kNone ? b : 2 * (c.batch - 1 - b) + 1);
  if (c.slots == GdnSlots::kPadding) {
    params.padding_slot = 2;
    slots_.front() = 2;
    if (c.batch > 2) slots_.back() = 2;
  }
  // Rows of k of length below 1, so that the rule stays bounded.
  const double k_spread = c.normalize ? 1.0 : 0.7 / std::sqrt(static_cast<double>(z.k_dim));
  if (c.conv == GdnConv::kNone) {
    args.q = tokens("q", c.dtype, {z.k_heads, z.k_dim}, 0, 1, false);
    args.k = tokens("k", c.dtype, {z.k_heads, z.k_dim}, 0, k_spread, false);
    args.v = tokens("v", c.dtype, {z.v_heads, z.v_dim}, 0, 1, false);
  } else {
    add_layer();
  }
  args.out = output(c.out_f32 ? DType::kF32 : c.dtype);
  add_gates();
  add_states();
  if (c.layout != GdnLayout::kDense) {
    std::vector<int64_t> cu{0};
    for (int64_t n : c.lengths()) cu.push_back(cu.back() + n);
    args.cu_seqlens = integers(c.layout == GdnLayout::kRaggedI64, cu);
  }
  if (c.slots != GdnSlots::kNone) args.state_indices = integers(c.slots == GdnSlots::kI64, slots_);
  if (c.norm != GdnNorm::kNone) {
    args.z = tokens("z", c.dtype, {z.heads(), z.v_dim}, 0, 1, false);
    args.norm_weight = plain("norm_weight", c.norm == GdnNorm::kF32Weight ? DType::kF32 : c.dtype,
                             {z.v_dim}, 1, 0.3);
    params.norm_eps = 1e-5f;
  }
  params.chunk_size = c.chunk;
  params.normalize_qk = c.normalize;
  if (c.normalize) params.l2_eps = 1e-4f;
  if (c.scale == Scale::kGiven) params.softmax_scale = 0.7f;
  if (c.scale == Scale::kZero) params.softmax_scale = 0.0f;
  if (c.scale == Scale::kNegative) params.softmax_scale = -1.5f;
}

void GdnTensors::add_gates() {
  const GdnSizes& z = c_.sizes;
  const std::vector<int64_t> channel{z.heads(), z.k_dim}, head{z.heads()};
  switch (c_.decay) {
    case GdnDecay::kG: args.g = tokens("g", DType::kF32, head, 0, 1, true); break;
    case GdnDecay::kChannelG: args.g = tokens("g", DType::kF32, channel, 0, 1, true); break;
    case GdnDecay::kAlpha: args.alpha = tokens("alpha", DType::kF32, head, 0, 1, true); break;
    case GdnDecay::kChannelAlpha:
      args.alpha = tokens("alpha", DType::kF32, channel, 0, 1, true);
      break;
    case GdnDecay::kGates: {
      const double rate = c_.range == GdnRange::kNearOne  ? -8
                          : c_.range == GdnRange::kMixed  ? -2
                          : c_.range == GdnRange::kStrong ? 0.5
                                                          : 3.5;
      // A bias of 19 puts some sums beyond 20, where softplus becomes linear.
      const bool linear = c_.range == GdnRange::kNearOne;
      args.a = tokens("a", c_.dtype, head, linear ? 19 : 0, 2, false);
      args.a_log = plain("a_log", DType::kF32, head, linear ? rate - 3 : rate, 0.2);
      args.dt_bias = plain("dt_bias", DType::kF32, head, 0.2, 1);
      break;
    }
  }
  if (c_.gated_beta)
    args.b = tokens("b", c_.dtype, head, 0, 2, false);
  else
    args.beta = tokens("beta", DType::kF32, head, 0, 1, true);
}

void GdnTensors::add_layer() {
  const int64_t channels = c_.channels(), taps = c_.taps();
  const double spread = (c_.normalize ? 1.0 : 0.4 / std::sqrt(double(c_.sizes.k_dim)));
  args.mixed_qkv = tokens("mixed_qkv", c_.dtype, {channels}, 0, 1, false);
  args.conv_weight = plain("conv_weight", c_.dtype, {channels, taps}, 0, spread);
  if (c_.conv == GdnConv::kFourBias)
    args.conv_bias = plain("conv_bias", DType::kF32, {channels}, 0, 0.3 * spread);
  params.conv_silu = c_.conv != GdnConv::kFourPlain;
  params.k_heads = static_cast<int32_t>(c_.sizes.k_heads);
  params.v_heads = static_cast<int32_t>(c_.sizes.v_heads);
  if (c_.conv_state)
    args.conv_state = pool("conv_state", c_.dtype, {channels, taps - 1}, true, true);
}

void GdnTensors::add_states() {
  const GdnSizes& z = c_.sizes;
  const std::vector<int64_t> inner{z.heads(), z.v_dim, z.k_dim};
  switch (c_.states) {
    case GdnStates::kNone: return;
    case GdnStates::kInPlace: args.state = pool("state", DType::kF32, inner, true, true); return;
    case GdnStates::kApart:
      args.state = pool("state", DType::kF32, inner, true, false);
      args.final_state = pool("final_state", DType::kF32, inner, false, true);
      return;
    case GdnStates::kFinalOnly:
      args.final_state = pool("final_state", DType::kF32, inner, false, true);
      return;
    case GdnStates::kSameView:
      args.state = args.final_state = pool("state", DType::kF32, inner, true, true);
      return;
  }
}

// Memory of NaN, then value(index) where it is not NaN.
template <class Value>
TensorView GdnTensors::add(DType dtype, const std::vector<int64_t>& shape, const Placement& place,
                           Value&& value, bool written) {
  const int64_t size = size_bytes(dtype);
  Placed p;
  p.block = std::make_shared<Block>(static_cast<size_t>(place.elements * size));
  p.written = written;
  for (int64_t n = 0; n < place.elements; ++n)
    if (dtype != DType::kI32 && dtype != DType::kI64)
      store(dtype, p.block->data() + n * size, kNaN);
  const TensorView view = view_of(p.block->data(), dtype, shape, place);
  for_places(shape, [&](const std::vector<int64_t>& at) {
    auto* const there = static_cast<std::byte*>(view.data) + offset_of(view, at);
    if (dtype == DType::kI32) {
      *reinterpret_cast<int32_t*>(there) = static_cast<int32_t>(value(at));
    } else if (dtype == DType::kI64) {
      *reinterpret_cast<int64_t*>(there) = static_cast<int64_t>(value(at));
    } else if (const double x = value(at); !std::isnan(x)) {
      store(dtype, there, x);
    }
  });
  p.before.assign(p.block->data(), p.block->data() + p.block->size());
  placed_.push_back(std::move(p));
  return view;
}

double GdnTensors::noise(const char* what, const std::vector<int64_t>& index) const {
  uint64_t h = hash_of(what, seed_);
  for (int64_t x : index) h = hash(h, static_cast<uint64_t>(x));
  return static_cast<double>(normal(h));
}

// Whether a row of a token tensor belongs to a sequence that is not padding.
bool GdnTensors::live_token(const std::vector<int64_t>& index) const {
  const auto padding = [&](size_t b) {
    return params.padding_slot >= 0 && slots_[b] == params.padding_slot;
  };
  if (c_.layout == GdnLayout::kDense) return !padding(static_cast<size_t>(index[0]));
  int64_t row = index[0];
  const auto lengths = c_.lengths();
  for (size_t b = 0; b < lengths.size(); ++b) {
    if (row < lengths[b]) return !padding(b);
    row -= lengths[b];
  }
  return false;
}

TensorView GdnTensors::tokens(const char* what, DType dtype, std::vector<int64_t> inner,
                              double mean, double spread, bool gate) {
  std::vector<int64_t> shape;
  if (c_.layout == GdnLayout::kDense) {
    shape = {c_.batch, c_.seqlen};
  } else {
    int64_t total = 3;  // rows of nobody
    for (int64_t n : c_.lengths()) total += n;
    shape = {total};
  }
  const int position = static_cast<int>(shape.size()) - 1;
  shape.insert(shape.end(), inner.begin(), inner.end());
  const bool has_heads = inner.size() == 2;
  // A broadcast tensor has one value for all heads; its rows belong to live sequences and others.
  const bool broadcast = c_.strides == Strides::kBroadcast && has_heads && !gate &&
                         c_.slots != GdnSlots::kPadding && c_.layout == GdnLayout::kDense;
  const Placement place =
      testing::place(shape, c_.strides, position, has_heads ? position + 1 : -1, broadcast);
  const auto value = [&](std::vector<int64_t> at) {
    if (!live_token(at)) return kNaN;
    if (broadcast) at[0] = at[2] = 0;
    if (!gate) return mean + spread * noise(what, at);
    uint64_t h = hash_of(what, seed_);
    for (int64_t x : at) h = hash(h, static_cast<uint64_t>(x));
    const double u = uniform(h);
    if (what[0] == 'b') return u < 0.1 ? 0.0 : u > 0.9 ? 2.0 : 2 * u;
    double log_decay = 0;
    switch (c_.range) {
      case GdnRange::kNearOne: log_decay = u < 0.1 ? 0 : -1e-4 - 1e-3 * u; break;
      case GdnRange::kMixed: log_decay = -0.0001 + u * (std::log(0.5) + 0.0001); break;
      case GdnRange::kStrong: log_decay = std::log(0.05) * u; break;
      case GdnRange::kSteep: log_decay = u < 0.5 ? -30 : -0.01 * u; break;
    }
    return what[0] == 'g' ? log_decay : std::exp(log_decay);
  };
  return add(dtype, shape, place, value, false);
}

TensorView GdnTensors::plain(const char* what, DType dtype, const std::vector<int64_t>& shape,
                             double mean, double spread) {
  const Strides strides = c_.strides == Strides::kBroadcast || c_.strides == Strides::kHeadsFirst
                              ? Strides::kContiguous
                              : c_.strides;
  return add(
      dtype, shape, place(shape, strides, -1, -1, false),
      [&](const std::vector<int64_t>& at) { return mean + spread * noise(what, at); }, false);
}

TensorView GdnTensors::output(DType dtype) {
  std::vector<int64_t> shape{c_.batch, c_.seqlen};
  if (c_.layout != GdnLayout::kDense) {
    shape = {3};
    for (int64_t n : c_.lengths()) shape[0] += n;
  }
  const int position = static_cast<int>(shape.size()) - 1;
  shape.push_back(c_.sizes.heads());
  shape.push_back(c_.sizes.v_dim);
  return add(
      dtype, shape, place(shape, c_.strides, position, position + 1, false),
      [](const std::vector<int64_t>&) { return kNaN; }, true);
}

TensorView GdnTensors::pool(const char* what, DType dtype, std::vector<int64_t> inner, bool filled,
                            bool written) {
  const int64_t slots = c_.slots == GdnSlots::kNone ? c_.batch : 2 * c_.batch + 1;
  std::vector<int64_t> shape = inner;
  shape.insert(shape.begin(), slots);
  Placement p = place(shape,
                      c_.state_strides == GdnStateStrides::kLastStep2  ? Strides::kLastStep2
                      : c_.state_strides == GdnStateStrides::kNegative ? Strides::kNegative
                                                                       : Strides::kContiguous,
                      -1, -1, false);
  if (c_.state_strides == GdnStateStrides::kKeysFirst) {  // the [k, v] order of other systems
    const size_t last = shape.size() - 1;
    p.stride[last - 1] = 1;
    p.stride[last] = shape[last - 1];
  }
  const auto value = [&](const std::vector<int64_t>& at) {
    if (at[0] == params.padding_slot) return 77.0;  // NaN would not show a NaN that is written
    const bool live = std::find(slots_.begin(), slots_.end(), at[0]) != slots_.end();
    return filled && live ? 0.5 * noise(what, at) : kNaN;
  };
  return add(dtype, shape, p, value, written);
}

TensorView GdnTensors::integers(bool wide, const std::vector<int64_t>& values) {
  const std::vector<int64_t> shape{static_cast<int64_t>(values.size())};
  return add(
      wide ? DType::kI64 : DType::kI32, shape, place(shape, Strides::kContiguous, -1, -1, false),
      [&](const std::vector<int64_t>& at) {
        return static_cast<double>(values[static_cast<size_t>(at[0])]);
      },
      false);
}

void GdnTensors::reset() {
  for (const Placed& p : placed_)
    if (p.written && !p.before.empty())
      std::memcpy(p.block->data(), p.before.data(), p.before.size());
}

std::vector<std::byte> GdnTensors::written_bytes() const {
  std::vector<std::byte> all;
  for (const Placed& p : placed_)
    if (p.written) all.insert(all.end(), p.block->data(), p.block->data() + p.block->size());
  return all;
}

std::string GdnTensors::damage(const GdnGold& gold) const {
  const auto look = [&](const char* what, const TensorView& t, const std::vector<double>& values,
                        bool written) -> std::string {
    if (!t || t.num_elements() == 0) return "";
    const Placed* memory = nullptr;
    for (const Placed& p : placed_) {
      const auto* data = static_cast<const std::byte*>(t.data);
      if (data >= p.block->data() && data < p.block->data() + p.block->size()) memory = &p;
    }
    std::vector<bool> may(memory->before.size(), false);
    std::vector<int64_t> shape(t.shape.begin(), t.shape.begin() + t.rank);
    size_t n = 0;
    for_places(shape, [&](const std::vector<int64_t>& at) {
      if (written && !std::isnan(values[n++]))
        std::fill_n(may.begin() + (static_cast<const std::byte*>(t.data) + offset_of(t, at) -
                                   memory->block->data()),
                    size_bytes(t.dtype), true);
    });
    for (size_t i = 0; i < may.size(); ++i)
      if (!may[i] && memory->block->data()[i] != memory->before[i])
        return std::string(what) + ": byte " + std::to_string(i) + " is changed";
    return "";
  };
  std::string found = look("out", args.out, gold.out, true);
  if (found.empty()) found = look("kept state", kept_state(), gold.state, true);
  if (found.empty()) found = look("conv_state", args.conv_state, gold.conv_state, true);
  if (found.empty() && args.final_state && c_.states == GdnStates::kApart)
    found = look("state", args.state, {}, false);
  return found;
}

void run_gdn(const std::string& row, const GdnArgs& args, const GdnParams& params,
             const ExecContext& context) {
  for (const GdnKernel& known : test_gdn_rows())
    if (row == known.name) return static_cast<void>(run_row(known, args, params, context));
  throw Error(ErrorCode::kInvalidArgument, "run_gdn: no row is called " + row);
}

const std::vector<std::string>& gdn_rows() {
  static const std::vector<std::string> rows = [] {
    std::vector<std::string> names;
    for (const GdnKernel& row : test_gdn_rows())
      if (row.available(Device{row.device, 0})) names.emplace_back(row.name);
    return names;
  }();
  return rows;
}

GdnAllowed gdn_allowed(DType dtype) {
  switch (dtype) {
    case DType::kF16: return {2e-3, 2e-3};
    case DType::kBF16: return {8e-3, 5e-3};
    default: return {1e-5, 1e-5};
  }
}

}  // namespace attend::testing
