#include "tests/ring/ranks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "attend/error.h"
#include "tests/support/element.h"
#include "tests/support/run_row.h"

namespace attend::testing {
namespace {

constexpr std::byte kUntouched{0xC7};  // in every byte of an output before the call

using Rows = std::vector<int64_t>;  // original positions, in a rank's order

Rows range(int64_t begin, int64_t end) {
  Rows rows;
  for (int64_t i = begin; i < end; ++i) rows.push_back(i);
  return rows;
}

// The rows of a sequence that a rank holds.
Rows rows_of(const Placing& p, const std::vector<int>& shares, int64_t length, int32_t rank) {
  if (p.placement == RingPlacement::kZigzag) {
    const int64_t n = 2 * p.ranks;
    Rows rows = range(rank * length / n, (rank + 1) * length / n);
    for (int64_t i : range((n - 1 - rank) * length / n, (n - rank) * length / n)) rows.push_back(i);
    return rows;
  }
  if (shares.empty()) return range(rank * length / p.ranks, (rank + 1) * length / p.ranks);
  int64_t before = 0;
  for (int32_t r = 0; r < rank; ++r) before += shares[static_cast<size_t>(r)];
  const int64_t after = before + shares[static_cast<size_t>(rank)];
  return range(before * length / 16, after * length / 16);
}

std::vector<int64_t> lengths_of(const TensorView& t, const TensorView& cu, int64_t batch) {
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < batch; ++b)
    lengths.push_back(cu ? load_int(cu, b + 1) - load_int(cu, b) : t.dim(1));
  return lengths;
}

}  // namespace

std::string name(const Placing& p) {
  std::string text = std::to_string(p.ranks) +
                     (p.placement == RingPlacement::kZigzag ? " ranks, zigzag" : " ranks");
  for (int share : p.shares) text += " " + std::to_string(share);
  return text + ", " + name(p.device);
}

struct Ranks::State {
  struct Memory {
    std::vector<std::vector<std::byte>> blocks;
    // Row-major memory for a shape; elements are filled by whoever asked.
    TensorView tensor(DType dtype, const std::vector<int64_t>& shape, std::byte fill) {
      TensorView view = contiguous(nullptr, dtype, shape);
      blocks.emplace_back(static_cast<size_t>(view.num_elements() * size_bytes(dtype)), fill);
      view.data = blocks.back().data();
      return view;
    }
    TensorView indices(const std::vector<int64_t>& values) {
      TensorView view = tensor(DType::kI64, {static_cast<int64_t>(values.size())}, std::byte{0});
      for (size_t n = 0; n < values.size(); ++n) static_cast<int64_t*>(view.data)[n] = values[n];
      return view;
    }
  };
  struct Rank {
    Memory memory;
    AttentionArgs args;
    AttentionParams params;
    ExecContext context;
    std::vector<Rows> q, k;  // by sequence
  };

  AttentionArgs whole;
  AttentionParams params;
  int64_t batch, heads;
  std::vector<int64_t> used_q, used_k;
  DeviceType device;
  InProcessRing ring;
  std::vector<Rank> ranks;

  State(const AttentionArgs& a, const AttentionParams& p, const Placing& placing,
        const std::vector<int>& keys_shares)
      : whole(a),
        params(p),
        batch(a.seq.cu_seqlens_q ? a.seq.cu_seqlens_q.dim(0) - 1 : a.q.dim(0)),
        heads(a.q.dim(-2)),
        device(placing.device),
        ring(placing.ranks),
        ranks(static_cast<size_t>(placing.ranks)) {
    const auto q_lengths = lengths_of(a.q, a.seq.cu_seqlens_q, batch),
               k_lengths = lengths_of(a.k, a.seq.cu_seqlens_k, batch);
    used_q = q_lengths;
    used_k = k_lengths;
    for (int64_t b = 0; b < batch; ++b) {
      if (a.seq.seqused_q) used_q[static_cast<size_t>(b)] = load_int(a.seq.seqused_q, b);
      if (a.seq.seqused_k) used_k[static_cast<size_t>(b)] = load_int(a.seq.seqused_k, b);
    }
    for (int32_t r = 0; r < placing.ranks; ++r) {
      Rank& rank = ranks[static_cast<size_t>(r)];
      for (int64_t b = 0; b < batch; ++b) {
        rank.q.push_back(rows_of(placing, placing.shares, q_lengths[static_cast<size_t>(b)], r));
        rank.k.push_back(rows_of(placing, keys_shares.empty() ? placing.shares : keys_shares,
                                 k_lengths[static_cast<size_t>(b)], r));
      }
      fill(rank);
      rank.params.ring_transport = ring.transport(r);
      rank.params.ring_placement = placing.placement;
    }
  }

  bool ragged() const { return static_cast<bool>(whole.seq.cu_seqlens_q); }

  // Byte offset of row i of sequence b in a tensor of rows.
  static std::byte* row_at(const TensorView& t, const TensorView& cu, int64_t b, int64_t i) {
    if (cu) return static_cast<std::byte*>(address_of(t, {load_int(cu, b) + i}));
    return static_cast<std::byte*>(address_of(t, {b, i}));
  }

  // A rank's rows of q, k, v or ids, `inner` being the dimensions behind the rows.
  TensorView cut(Rank& rank, const TensorView& t, const TensorView& cu, const TensorView& own_cu,
                 const std::vector<Rows>& rows, int inner) {
    if (!t) return {};
    int64_t total = 0;
    for (const Rows& r : rows) total += static_cast<int64_t>(r.size());
    std::vector<int64_t> shape = {total};
    if (!cu) shape = {batch, batch > 0 ? static_cast<int64_t>(rows[0].size()) : t.dim(1)};
    for (int d = t.rank - inner; d < t.rank; ++d) shape.push_back(t.dim(d));
    const TensorView own = rank.memory.tensor(t.dtype, shape, std::byte{0});
    const auto size = static_cast<size_t>(size_bytes(t.dtype));
    for (int64_t b = 0; b < batch; ++b)
      for (size_t n = 0; n < rows[static_cast<size_t>(b)].size(); ++n) {
        const std::byte* from = row_at(t, cu, b, rows[static_cast<size_t>(b)][n]);
        std::byte* to = row_at(own, own_cu, b, static_cast<int64_t>(n));
        const int64_t columns = inner == 2 ? t.dim(-2) : 1, elements = inner > 0 ? t.dim(-1) : 1;
        for (int64_t c = 0; c < columns; ++c)
          for (int64_t e = 0; e < elements; ++e) {
            const int64_t offset = inner == 2 ? c * t.step(-2) + e * t.step(-1) : 0;
            std::memcpy(to, from + offset * static_cast<int64_t>(size), size);
            to += size;
          }
      }
    return own;
  }

  // keep or bias: own rows, all keys. Ragged sequences are cut in different places, so that what
  // they shared each has for itself.
  TensorView cut_words(Rank& rank, const TensorView& t, int64_t longest_q, int64_t longest_k) {
    if (!t) return {};
    std::array<int64_t, 4> full = {1, 1, 1, 1}, step = {0, 0, 0, 0};
    for (int d = 0; d < t.rank; ++d)
      if (t.dim(d) != 1) {
        full[static_cast<size_t>(4 - t.rank + d)] = t.dim(d);
        step[static_cast<size_t>(4 - t.rank + d)] = t.step(d);
      }
    const bool rows = full[2] != 1;
    if (rows && ragged()) full[0] = batch;
    if (rows) full[2] = longest_q;
    if (full[3] != 1) full[3] = longest_k;
    const TensorView own =
        rank.memory.tensor(t.dtype, {full[0], full[1], full[2], full[3]}, std::byte{0});
    const int64_t size = size_bytes(t.dtype);
    auto* to = static_cast<std::byte*>(own.data);
    for (int64_t b = 0; b < full[0]; ++b)
      for (int64_t h = 0; h < full[1]; ++h)
        for (int64_t n = 0; n < full[2]; ++n)
          for (int64_t j = 0; j < full[3]; ++j, to += size) {
            int64_t i = n;
            if (rows) {
              const Rows& list = rank.q[static_cast<size_t>(b)];
              if (n >= static_cast<int64_t>(list.size())) continue;
              i = list[static_cast<size_t>(n)];
            }
            std::memcpy(to,
                        static_cast<const std::byte*>(t.data) +
                            (b * step[0] + h * step[1] + i * step[2] + j * step[3]) * size,
                        static_cast<size_t>(size));
          }
    return own;
  }

  void fill(Rank& rank) {
    AttentionArgs& a = rank.args;
    rank.params = params;
    if (ragged()) {
      std::vector<int64_t> cu_q = {0}, cu_k = {0};
      for (int64_t b = 0; b < batch; ++b) {
        cu_q.push_back(cu_q.back() + static_cast<int64_t>(rank.q[static_cast<size_t>(b)].size()));
        cu_k.push_back(cu_k.back() + static_cast<int64_t>(rank.k[static_cast<size_t>(b)].size()));
      }
      a.seq.cu_seqlens_q = rank.memory.indices(cu_q);
      a.seq.cu_seqlens_k = rank.memory.indices(cu_k);
    }
    const auto in_use = [&](const std::vector<Rows>& rows, const std::vector<int64_t>& used) {
      std::vector<int64_t> counts;
      for (size_t b = 0; b < rows.size(); ++b)
        counts.push_back(
            std::count_if(rows[b].begin(), rows[b].end(), [&](int64_t i) { return i < used[b]; }));
      return rank.memory.indices(counts);
    };
    if (whole.seq.seqused_q) a.seq.seqused_q = in_use(rank.q, used_q);
    if (whole.seq.seqused_k) a.seq.seqused_k = in_use(rank.k, used_k);
    const TensorView &cu_q = whole.seq.cu_seqlens_q, &cu_k = whole.seq.cu_seqlens_k;
    a.q = cut(rank, whole.q, cu_q, a.seq.cu_seqlens_q, rank.q, 2);
    a.k = cut(rank, whole.k, cu_k, a.seq.cu_seqlens_k, rank.k, 2);
    a.v = whole.v.data == whole.k.data ? a.k
                                       : cut(rank, whole.v, cu_k, a.seq.cu_seqlens_k, rank.k, 2);
    a.v.shape[static_cast<size_t>(a.v.rank - 1)] = whole.v.dim(-1);
    MaskSpec& m = rank.params.mask;
    m.q_segment_ids = cut(rank, m.q_segment_ids, cu_q, a.seq.cu_seqlens_q, rank.q, 0);
    m.kv_segment_ids = cut(rank, m.kv_segment_ids, cu_k, a.seq.cu_seqlens_k, rank.k, 0);
    int64_t longest_q = ragged() ? 0 : a.q.dim(1), longest_k = ragged() ? 0 : whole.k.dim(1);
    for (int64_t b = 0; b < batch && ragged(); ++b) {
      longest_q = std::max(longest_q, static_cast<int64_t>(rank.q[static_cast<size_t>(b)].size()));
      longest_k = std::max(longest_k, load_int(cu_k, b + 1) - load_int(cu_k, b));
    }
    if (whole.seq.max_seqlen_q > 0) {
      a.seq.max_seqlen_q = longest_q += 2;
      a.seq.max_seqlen_k = longest_k + 1;
    }
    m.keep = cut_words(rank, m.keep, longest_q, longest_k);
    rank.params.bias = cut_words(rank, params.bias, longest_q, longest_k);

    std::vector<int64_t> shape(a.q.shape.begin(), a.q.shape.begin() + a.q.rank);
    shape.back() = whole.out.dim(-1);
    a.out = rank.memory.tensor(whole.out.dtype, shape, kUntouched);
    if (whole.lse)
      a.lse = ragged() ? rank.memory.tensor(DType::kF32, {heads, a.q.dim(0)}, kUntouched)
                       : rank.memory.tensor(DType::kF32, {batch, heads, a.q.dim(1)}, kUntouched);
  }

  // Copies one element of an output home, or, of a row not in use, says if it was written.
  static bool home(const TensorView& own, std::initializer_list<int64_t> from,
                   const TensorView& all, std::initializer_list<int64_t> to, bool in_use) {
    const auto* value = static_cast<const std::byte*>(address_of(own, from));
    const auto size = static_cast<size_t>(size_bytes(own.dtype));
    if (in_use) std::memcpy(address_of(all, to), value, size);
    return in_use || std::all_of(value, value + size, [](std::byte x) { return x == kUntouched; });
  }
};

Ranks::Ranks(const AttentionArgs& whole, const AttentionParams& params, const Placing& placing,
             const std::vector<int>& keys_shares)
    : state_(std::make_unique<State>(whole, params, placing, keys_shares)) {}
Ranks::~Ranks() = default;

InProcessRing& Ranks::ring() { return state_->ring; }
AttentionArgs& Ranks::args(int32_t rank) { return state_->ranks[static_cast<size_t>(rank)].args; }
AttentionParams& Ranks::params(int32_t rank) {
  return state_->ranks[static_cast<size_t>(rank)].params;
}
ExecContext& Ranks::context(int32_t rank) {
  return state_->ranks[static_cast<size_t>(rank)].context;
}

std::vector<RankResult> Ranks::run(const std::function<bool(int32_t rank)>& instead,
                                   const std::string& kernel) {
  std::vector<RankResult> results(state_->ranks.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < results.size(); ++r) {
    threads.emplace_back([&, r] {
      if (instead && instead(static_cast<int32_t>(r))) return;
      const State::Rank& rank = state_->ranks[r];
      const auto call = [&](const AttentionArgs& a, const AttentionParams& p,
                            const ExecContext& context) {
        return kernel.empty() ? RingAttention().forward(a, p, context)
                              : RingAttention().run_kernel(kernel, a, p, context);
      };
      try {
        results[r].kernel =
            on_device(state_->device, rank.args, rank.params, rank.context, call).kernel;
      } catch (const Error& e) {
        results[r].code = e.code();
        results[r].what = e.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::string Ranks::gather() {
  const State& s = *state_;
  const bool ragged = s.ragged();
  for (const State::Rank& rank : s.ranks)
    for (int64_t b = 0; b < s.batch; ++b)
      for (size_t n = 0; n < rank.q[static_cast<size_t>(b)].size(); ++n) {
        const int64_t i = rank.q[static_cast<size_t>(b)][n];
        const bool in_use = i < s.used_q[static_cast<size_t>(b)];
        const auto own =
            static_cast<int64_t>(n) + (ragged ? load_int(rank.args.seq.cu_seqlens_q, b) : 0);
        const int64_t all = i + (ragged ? load_int(s.whole.seq.cu_seqlens_q, b) : 0);
        bool fine = true;
        for (int64_t h = 0; h < s.heads; ++h) {
          for (int64_t e = 0; e < s.whole.out.dim(-1); ++e)
            fine &= ragged
                        ? State::home(rank.args.out, {own, h, e}, s.whole.out, {all, h, e}, in_use)
                        : State::home(rank.args.out, {b, own, h, e}, s.whole.out, {b, all, h, e},
                                      in_use);
          if (s.whole.lse)
            fine &= ragged
                        ? State::home(rank.args.lse, {h, own}, s.whole.lse, {h, all}, in_use)
                        : State::home(rank.args.lse, {b, h, own}, s.whole.lse, {b, h, all}, in_use);
        }
        if (!fine)
          return "row " + std::to_string(i) + " of sequence " + std::to_string(b) +
                 " is not in use and was written";
      }
  return "";
}

bool Ranks::untouched(int32_t rank) const {
  const AttentionArgs& a = state_->ranks[static_cast<size_t>(rank)].args;
  const auto* bytes = static_cast<const std::byte*>(a.out.data);
  return std::all_of(bytes, bytes + a.out.num_elements() * size_bytes(a.out.dtype),
                     [](std::byte x) { return x == kUntouched; });
}

}  // namespace attend::testing
