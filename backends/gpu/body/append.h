#pragma once
// append: new rows of k and v go to their slots in the pages.
//
//   block    kAppendTokens tokens, each of a team of 32 threads: all its kv heads, k and then v
//   per row  bits where the dtypes agree, 16 bytes at a time where every address allows it; else
//            widened to f32, divided by the descale in double, rounded once and saturated
//   finds    a token's request, for its descale and whether its row is in use: by division, or by
//            search in cu_seqlens_q
//   traffic  each element is read once and written once
//   order    slots are distinct: teams never meet
#include "backends/gpu/body/requests.h"
#include "backends/gpu/call/append.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"
#include "ops/common/layout.h"

namespace attend::gpu {

struct Append {
  using Args = AppendCall;
  static constexpr int kThreads = kAppend.threads;

  static ATTEND_DEVICE void run(Thread& x, const AppendCall& call) {
    const int64_t token = int64_t{x.block().x} * kAppendTokens + x.tid() / kAppendTeam;
    if (token >= call.tokens) return;
    const AttentionArgs& a = call.args;
    const Row row = call.batch == 0      ? Row{0, token, !call.skip || call.skip[token] == 0}
                    : a.seq.cu_seqlens_q ? ragged_row(call, token)
                                         : dense_row(call, token);
    if (!row.stored) return;
    const int64_t slot = index_at(a.seq.slot_mapping, token);
    if (slot < 0) return;
    const int lane = x.tid() % kAppendTeam;
    store_token(lane, {a.k_new, a.k, a.k_descale, call.k_words}, row, slot);
    if (call.v_apart) store_token(lane, {a.v_new, a.v, a.v_descale, call.v_words}, row, slot);
  }

 private:
  // Of a token: its request, its place among all rows or, where k_new has a batch, in its request.
  struct Row {
    int64_t b, i;
    bool stored;
  };

  static ATTEND_DEVICE bool skipped(const AppendCall& call, int64_t b) {
    return call.skip && call.skip[b] != 0;
  }

  static ATTEND_DEVICE Row dense_row(const AppendCall& call, int64_t token) {
    const int64_t seqlen = call.args.q.dim(1), b = token / seqlen, i = token % seqlen;
    const bool stored = !skipped(call, b) && i < query_rows(call.args, b);
    return {b, call.args.k_new.rank == 4 ? i : token, stored};
  }

  static ATTEND_DEVICE Row ragged_row(const AppendCall& call, int64_t token) {
    const TensorView& cu = call.args.seq.cu_seqlens_q;
    const int64_t b = request_of(cu, call.batch, call.skip, token);
    if (b == call.batch) return {0, 0, false};
    return {b, token, token - index_at(cu, b) < query_rows(call.args, b)};
  }

  struct Side {
    const TensorView &from, &pages, &descale;
    bool words;
  };

  static ATTEND_DEVICE void store_token(int lane, const Side& side, const Row& row, int64_t slot) {
    const int64_t page_size = side.pages.dim(1);
    RowsView from = rows_of(side.from, row.b, 0), to = rows_of(side.pages, slot / page_size, 0);
    from.base = from.at(row.i, 0);
    to.base = to.at(slot % page_size, 0);
    const auto heads = static_cast<uint32_t>(side.pages.dim(2)),
               dim = static_cast<uint32_t>(side.pages.dim(3));
    if (from.dtype == to.dtype) return copy(lane, side.words, from, to, heads, dim);
    const bool quantised = size_bytes(to.dtype) == 1;
    for (uint32_t e = lane; e < heads * dim; e += kAppendTeam) {
      const int64_t h = e / dim, d = e % dim;
      const float value = load(from.at(0, h) + d * from.dim * size_bytes(from.dtype), from.dtype);
      std::byte* const there = to.at(0, h) + d * to.dim * size_bytes(to.dtype);
      if (quantised)
        quantise(there, to.dtype, value, descale_of(side.descale, row.b, h));
      else
        store(there, to.dtype, value);
    }
  }

  // The quotient of two f32 in double is exact enough to be rounded once: ties of 8-bit types are
  // never within its error.
  static ATTEND_DEVICE void quantise(std::byte* to, DType dtype, float value, float descale) {
    const double x = static_cast<double>(value) / static_cast<double>(descale);
    *reinterpret_cast<uint8_t*>(to) = dtype == DType::kF8E4M3   ? f8_e4m3_from(x)
                                      : dtype == DType::kF8E5M2 ? f8_e5m2_from(x)
                                                                : static_cast<uint8_t>(i8_from(x));
  }

  struct alignas(16) Words {
    uint32_t w[4];
  };

  static ATTEND_DEVICE void copy(int lane, bool words, const RowsView& from, const RowsView& to,
                                 uint32_t heads, uint32_t dim) {
    const auto size = static_cast<uint32_t>(size_bytes(to.dtype));
    if (words) return copy_as<Words>(lane, from, to, heads, dim * size / sizeof(Words), 1, 1);
    if (size == 2) return copy_as<uint16_t>(lane, from, to, heads, dim, from.dim, to.dim);
    copy_as<uint32_t>(lane, from, to, heads, dim, from.dim, to.dim);
  }
  // Rows of `count` units, which are steps of a unit apart.
  template <class Unit>
  static ATTEND_DEVICE void copy_as(int lane, const RowsView& from, const RowsView& to,
                                    uint32_t heads, uint32_t count, int64_t from_step,
                                    int64_t to_step) {
    for (uint32_t e = lane; e < heads * count; e += kAppendTeam) {
      const int64_t h = e / count, d = e % count;
      reinterpret_cast<Unit*>(to.at(0, h))[d * to_step] =
          reinterpret_cast<const Unit*>(from.at(0, h))[d * from_step];
    }
  }
};

}  // namespace attend::gpu
