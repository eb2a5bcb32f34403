#include "tests/support/tensors.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>

#include "tests/support/element.h"
#include "tests/support/memory.h"
#include "tests/support/noise.h"
#include "tests/support/oracle.h"

namespace attend::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr size_t kGuardBytes = 256;
constexpr std::byte kGuard{0xA5};

void store_fast(DType dtype, std::byte* address, float value) {
  if (dtype == DType::kF32)
    std::memcpy(address, &value, 4);
  else
    store(dtype, address, value);
}

}  // namespace

struct CaseTensors::State {
  struct Output {
    const char* name;
    std::unique_ptr<Block> block;
    TensorView view;
    std::vector<bool> writable;  // by byte of the block
  };

  State(const AttentionCase& the_case, Fill the_fill, uint64_t the_seed)
      : c(the_case), fill(the_fill), seed(hash_of(name(the_case), the_seed)) {}

  AttentionCase c;
  Fill fill;
  uint64_t seed, role = 0;
  std::vector<std::unique_ptr<Block>> inputs;
  std::vector<Output> outputs;

  uint64_t draw(int64_t n) const { return hash(seed + role, static_cast<uint64_t>(n)); }
  // A whole number in [0, n].
  int64_t upto(int64_t n, int64_t b) const {
    return static_cast<int64_t>(draw(b) % static_cast<uint64_t>(n + 1));
  }

  // A tensor of normal values times factor.
  TensorView floats(DType dtype, const std::vector<int64_t>& shape, Strides strides, int position,
                    int head, float factor = 1) {
    ++role;
    const Placement p = place(shape, strides, position, head, true);
    std::byte* data = input(p.elements * size_bytes(dtype));
    for (int64_t n = 0; n < p.elements; ++n)
      store_fast(dtype, data + n * size_bytes(dtype), factor * normal(draw(n)));
    return view_of(data, dtype, shape, p);
  }

  TensorView indices(const std::vector<int64_t>& values, std::vector<int64_t> shape) {
    const Strides strides =
        c.strides == Strides::kLastStep2 ? Strides::kLastStep2 : Strides::kContiguous;
    const Placement p = place(shape, strides, -1, -1, false);
    std::byte* data = input(p.elements * size_bytes(c.index));
    std::fill_n(data, p.elements * size_bytes(c.index), kGuard);
    const int64_t step = strides == Strides::kLastStep2 ? 2 : 1;
    for (size_t n = 0; n < values.size(); ++n) {
      store(c.index, data + static_cast<int64_t>(n) * step * size_bytes(c.index),
            static_cast<double>(values[n]));
    }
    return view_of(data, c.index, shape, p);
  }
  TensorView indices(const std::vector<int64_t>& values) {
    return indices(values, {static_cast<int64_t>(values.size())});
  }

  std::byte* input(int64_t bytes) {
    inputs.push_back(std::make_unique<Block>(static_cast<size_t>(bytes)));
    return inputs.back()->data();
  }

  TensorView output(const char* name, DType dtype, const std::vector<int64_t>& shape, int position,
                    int head) {
    const Placement p = place(shape, c.strides, position, head, false);
    const size_t bytes = static_cast<size_t>(p.elements * size_bytes(dtype));
    outputs.push_back({name, std::make_unique<Block>(bytes + 2 * kGuardBytes), {}, {}});
    outputs.back().view = view_of(outputs.back().block->data() + kGuardBytes, dtype, shape, p);
    return outputs.back().view;
  }

  // Shape of keep or bias; hides says how a dimension's full size is found.
  std::vector<int64_t> spread_shape(Spread spread, int64_t batch, int64_t max_q,
                                    int64_t max_k) const {
    switch (spread) {
      case Spread::kKeys: return {max_k};
      case Spread::kRowsKeys: return {max_q, max_k};
      case Spread::kHeadsRowsKeys: return {c.heads, max_q, max_k};
      case Spread::kFull: return {batch, c.heads, max_q, max_k};
      case Spread::kBatchKeys: return {batch, 1, 1, max_k};
      case Spread::kRows: return {batch, c.heads, max_q, 1};
      case Spread::kNone: break;
    }
    return {};
  }
};

namespace {

// Lengths of ragged sequences: the case's own, none, about half, one less; in a turn of their own.
std::vector<int64_t> ragged_lengths(int64_t batch, int64_t length, uint64_t turn) {
  const int64_t choices[] = {length, 0, (length + 1) / 2, std::max<int64_t>(length - 1, 0)};
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < batch; ++b)
    lengths.push_back(choices[(static_cast<uint64_t>(b) + turn) % (batch < 4 ? 1 : 4)]);
  return lengths;
}

std::vector<int64_t> cumulative(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> sums = {0};
  for (int64_t n : lengths) sums.push_back(sums.back() + n);
  return sums;
}

}  // namespace

CaseTensors::CaseTensors(const AttentionCase& c, Fill fill, uint64_t seed)
    : state_(std::make_unique<State>(c, fill, seed)) {
  State& s = *state_;
  const bool ragged = c.layout == Layout::kRagged, guarded = fill == Fill::kGuarded;
  const int64_t batch = c.batch;

  // Lengths, and the rows and keys of the tensors.
  std::vector<int64_t> len_q(static_cast<size_t>(batch), c.seqlen_q),
      len_k(static_cast<size_t>(batch), c.seqlen_k);
  int64_t total_q = 0, total_k = 0, max_q = c.seqlen_q, max_k = c.seqlen_k;
  const auto index_per_sequence = [&](auto&& value) {
    ++s.role;
    std::vector<int64_t> values;
    for (int64_t b = 0; b < batch; ++b) values.push_back(value(b));
    return values;
  };
  if (ragged) {
    len_q = ragged_lengths(batch, c.seqlen_q, s.draw(-1));
    len_k = ragged_lengths(batch, c.seqlen_k, s.draw(-2));
    args.seq.cu_seqlens_q = s.indices(cumulative(len_q));
    args.seq.cu_seqlens_k = s.indices(cumulative(len_k));
    total_q = cumulative(len_q).back() + (guarded ? 3 : 0);  // rows of no sequence
    total_k = cumulative(len_k).back() + (guarded ? 2 : 0);
    max_q = batch ? *std::max_element(len_q.begin(), len_q.end()) : 0;
    max_k = batch ? *std::max_element(len_k.begin(), len_k.end()) : 0;
    if (c.max_seqlen) {
      args.seq.max_seqlen_q = max_q += 3;
      args.seq.max_seqlen_k = max_k += 2;
    }
  }
  auto used_q = len_q, used_k = len_k;
  const auto use_less = [&](std::vector<int64_t>& lengths) {
    lengths = index_per_sequence([&](int64_t b) {
      const int64_t n = lengths[static_cast<size_t>(b)];
      const int64_t choices[] = {n, n / 2, n - n / 4, 0};
      return choices[(static_cast<uint64_t>(b) + s.draw(-3)) % 4];
    });
    return s.indices(lengths);
  };
  if (c.seqused_q) args.seq.seqused_q = use_less(used_q);
  if (c.seqused_k) args.seq.seqused_k = use_less(used_k);

  // Tensors of values.
  const auto rows_shape = [&](int64_t total, int64_t seqlen, int64_t heads, int64_t dim) {
    return ragged ? std::vector<int64_t>{total, heads, dim}
                  : std::vector<int64_t>{batch, seqlen, heads, dim};
  };
  const int position = ragged ? 0 : 1, head = ragged ? 1 : 2;
  args.q = s.floats(c.dtype, rows_shape(total_q, c.seqlen_q, c.heads, c.head_dim), c.strides,
                    position, head);
  const Block* q_block = s.inputs.back().get();
  args.k = s.floats(c.dtype, rows_shape(total_k, c.seqlen_k, c.kv_heads, c.head_dim), c.strides,
                    position, head);
  const Block* k_block = s.inputs.back().get();
  const Block* v_block = nullptr;
  if (c.v_in_k) {
    args.v = args.k;
    args.v.shape[static_cast<size_t>(args.v.rank - 1)] = c.dim_v();
  } else {
    args.v = s.floats(c.dtype, rows_shape(total_k, c.seqlen_k, c.kv_heads, c.dim_v()), c.strides,
                      position, head);
    v_block = s.inputs.back().get();
  }
  const Block* bias_block = nullptr;
  if (c.bias != Spread::kNone) {
    params.bias =
        s.floats(c.bias_dtype, s.spread_shape(c.bias, batch, max_q, max_k), c.strides, -1, -1);
    bias_block = s.inputs.back().get();
    const int64_t bytes = size_bytes(c.bias_dtype);
    for (size_t n = 0; n < bias_block->size() / static_cast<size_t>(bytes); ++n) {
      if (s.draw(static_cast<int64_t>(n)) % 11 == 0)
        store(c.bias_dtype, bias_block->data() + static_cast<int64_t>(n) * bytes, -kInf);
    }
  }
  if (c.keep != Spread::kNone) {
    ++s.role;
    const auto shape = s.spread_shape(c.keep, batch, max_q, max_k);
    const Placement p = place(shape, c.strides, -1, -1, true);
    std::byte* data = s.input(p.elements);
    const int64_t row = std::max<int64_t>(shape.back(), 1);
    for (int64_t n = 0; n < p.elements; ++n) {
      const bool empty_row = shape.size() > 1 && row > 1 && s.draw(-10 - n / row) % 7 == 0;
      data[n] = std::byte{!empty_row && s.draw(n) % 4 != 0};
    }
    params.mask.keep = view_of(data, DType::kBool, shape, p);
  }
  if (c.alibi != PerHead::kNone) {
    params.alibi_slopes = s.floats(DType::kF32,
                                   c.alibi == PerHead::k1D ? std::vector<int64_t>{c.heads}
                                                           : std::vector<int64_t>{batch, c.heads},
                                   Strides::kContiguous, -1, -1, 0.125f);
  }
  if (c.sinks != PerHead::kNone) {
    params.sinks = s.floats(
        DType::kF32,
        c.sinks == PerHead::k1D ? std::vector<int64_t>{c.heads} : std::vector<int64_t>{c.heads, 3},
        Strides::kContiguous, -1, -1);
  }

  // Words.
  if (c.scale != Scale::kDefault)
    params.softmax_scale = c.scale == Scale::kGiven ? 0.3f : c.scale == Scale::kZero ? 0.0f : -0.2f;
  params.softcap = c.softcap;
  params.mask_with_bias = c.mask_with_bias;
  params.scores_stage = c.scores_stage;
  if (c.dropout_p > 0) {
    params.deterministic = false;
    params.dropout_p = c.dropout_p;
    params.dropout_seed = hash(s.seed, 77);
    params.dropout_offset = 0x100000005;  // only the low 32 bits count
  }
  MaskSpec& mask = params.mask;
  mask.causal = c.causal;
  mask.diagonal = c.diagonal;
  mask.block_size = c.block_size;
  mask.window_left = c.window_left;
  mask.window_right = c.window_right;
  const auto keys_of = [&](int64_t b) { return used_k[static_cast<size_t>(b)]; };
  if (c.q_start)
    mask.q_start =
        s.indices(index_per_sequence([&](int64_t b) { return s.upto(keys_of(b) + 3, b) - 3; }));
  if (c.block_origin)
    mask.block_origin =
        s.indices(index_per_sequence([&](int64_t b) { return s.upto(keys_of(b) / 2, b); }));
  if (c.prefix)
    mask.prefix_lens =
        s.indices(index_per_sequence([&](int64_t b) { return s.upto(keys_of(b), b); }));
  if (c.hole) {
    const auto starts = index_per_sequence([&](int64_t b) { return s.upto(keys_of(b), b); });
    const auto ends = index_per_sequence([&](int64_t b) {
      const int64_t start = starts[static_cast<size_t>(b)];
      return start + s.upto((keys_of(b) - start) / 2, b);
    });
    mask.hole_starts = s.indices(starts);
    mask.hole_ends = s.indices(ends);
  }
  if (c.segments) {
    const auto ids = [&](const std::vector<int64_t>& lengths, int64_t total, int64_t seqlen) {
      ++s.role;
      std::vector<int64_t> values;
      for (int64_t n : lengths) {
        for (int64_t i = 0; i < n; ++i)
          values.push_back(i % 11 == 7 ? -1 : 3 * i / std::max<int64_t>(n, 1));
      }
      if (!ragged) return s.indices(values, {batch, seqlen});
      values.resize(static_cast<size_t>(total), -1);
      return s.indices(values);
    };
    mask.q_segment_ids = ids(len_q, total_q, c.seqlen_q);
    mask.kv_segment_ids = ids(len_k, total_k, c.seqlen_k);
  }

  // Outputs.
  args.out = s.output("out", c.out_f32 ? DType::kF32 : c.dtype,
                      rows_shape(total_q, c.seqlen_q, c.heads, c.dim_v()), position, head);
  if (c.lse) {
    args.lse = s.output("lse", DType::kF32,
                        ragged ? std::vector<int64_t>{c.heads, total_q}
                               : std::vector<int64_t>{batch, c.heads, c.seqlen_q},
                        -1, -1);
  }
  if (c.weights) {
    args.weights = s.output("weights", c.weights_f32 ? DType::kF32 : c.dtype,
                            {batch, c.heads, max_q, max_k}, 2, -1);
  }
  if (c.scores)
    args.scores = s.output("scores", DType::kF32, {batch, c.heads, max_q, max_k}, 2, -1);

  // Bytes that the call may write: rows in use.
  const Oracle oracle(args, params);
  for (State::Output& output : s.outputs) {
    output.writable.assign(output.block->size(), false);
    const auto mark = [&](const void* address) {
      const auto first =
          static_cast<size_t>(static_cast<const std::byte*>(address) - output.block->data());
      for (size_t n = 0; n < static_cast<size_t>(size_bytes(output.view.dtype)); ++n)
        output.writable[first + n] = true;
    };
    const std::string_view what = output.name;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t i = 0; i < oracle.seqlen_q(b); ++i) {
          if (what == "lse") mark(oracle.lse_at(output.view, b, h, i));
          for (int64_t e = 0; what == "out" && e < c.dim_v(); ++e)
            mark(oracle.out_at(output.view, b, i, h, e));
          for (int64_t j = 0; output.view.rank == 4 && what != "out" && j < max_k; ++j)
            mark(address_of(output.view, {b, h, i, j}));
        }
  }
  reset_outputs();
  if (!guarded) return;

  // NaN wherever nothing may be read into a result.
  std::vector<std::vector<bool>> seen_keys;  // [batch * kv_heads][key]
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < c.kv_heads; ++h)
      seen_keys.emplace_back(static_cast<size_t>(len_k[static_cast<size_t>(b)]), false);
  const int64_t group = c.heads / c.kv_heads;
  const auto each_pair = [&](const auto& visit) {
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t i = 0; i < oracle.seqlen_q(b); ++i)
          for (int64_t j = 0; j < oracle.seqlen_k(b); ++j)
            if (oracle.sees(b, h, i, j)) visit(b, h, i, j);
  };
  each_pair([&](int64_t b, int64_t h, int64_t i, int64_t j) {
    if (!oracle.bias_hides(b, h, i, j))
      seen_keys[static_cast<size_t>(b * c.kv_heads + h / group)][static_cast<size_t>(j)] = true;
  });

  // Sequence and place in it of row t of a ragged tensor.
  const auto locate = [&](const std::vector<int64_t>& lengths, int64_t t) {
    int64_t b = 0;
    while (b < batch && t >= lengths[static_cast<size_t>(b)])
      t -= lengths[static_cast<size_t>(b++)];
    return std::pair(b, t);
  };
  using Index = std::array<int64_t, kMaxRank>;
  const auto live_key = [&](const Index& at) {
    const auto [b, j] = ragged ? locate(len_k, at[0]) : std::pair(at[0], at[1]);
    const int64_t h = ragged ? at[1] : at[2];
    return b < batch && seen_keys[static_cast<size_t>(b * c.kv_heads + h)][static_cast<size_t>(j)];
  };
  poison(args.q, *q_block, [&](const Index& at) {
    const auto [b, i] = ragged ? locate(len_q, at[0]) : std::pair(at[0], at[1]);
    return b < batch && i < oracle.seqlen_q(b);
  });
  poison(args.k, *k_block, live_key);
  if (v_block) poison(args.v, *v_block, live_key);
  if (bias_block && bias_block->size() > 0) {
    const int64_t bytes = size_bytes(c.bias_dtype);
    std::vector<bool> used(bias_block->size() / static_cast<size_t>(bytes), false);
    each_pair([&](int64_t b, int64_t h, int64_t i, int64_t j) {
      const int64_t index[] = {b, h, i, j};
      int64_t offset = 0;
      for (int d = 0; d < params.bias.rank; ++d) {
        if (params.bias.dim(d) != 1)
          offset += index[4 - params.bias.rank + d] * params.bias.step(d);
      }
      const auto* address = static_cast<const std::byte*>(params.bias.data) + offset * bytes;
      used[static_cast<size_t>((address - bias_block->data()) / bytes)] = true;
    });
    for (size_t n = 0; n < used.size(); ++n) {
      if (!used[n]) store(c.bias_dtype, bias_block->data() + static_cast<int64_t>(n) * bytes, kNaN);
    }
  }
}

CaseTensors::~CaseTensors() = default;
CaseTensors::CaseTensors(CaseTensors&&) noexcept = default;
CaseTensors& CaseTensors::operator=(CaseTensors&&) noexcept = default;

void CaseTensors::reset_outputs() {
  for (const State::Output& output : state_->outputs) {
    std::byte* data = output.block->data();
    std::fill_n(data, output.block->size(), kGuard);
    const auto bytes = static_cast<size_t>(size_bytes(output.view.dtype));
    const size_t band = kGuardBytes;  // elements start on a multiple of their size behind it
    for (size_t n = band; n + bytes <= output.block->size(); n += bytes) {
      if (output.writable[n]) store(output.view.dtype, data + n, kNaN);
    }
  }
}

std::string CaseTensors::damaged_guard() const {
  for (const State::Output& output : state_->outputs) {
    for (size_t n = 0; n < output.block->size(); ++n) {
      if (!output.writable[n] && output.block->data()[n] != kGuard) {
        return std::string(output.name) + ": byte " + std::to_string(n - kGuardBytes) +
               " from the start of its memory was written";
      }
    }
  }
  return "";
}

std::vector<std::byte> CaseTensors::output_bytes() const {
  std::vector<std::byte> bytes;
  for (const State::Output& output : state_->outputs) {
    bytes.insert(bytes.end(), output.block->data(), output.block->data() + output.block->size());
  }
  return bytes;
}

}  // namespace attend::testing
