// Contract 6: what index tensors hold is checked before a key is read or a byte is written. q, k, v,
// the pages and the outputs of the calls here fault when they are touched at all; index tensors lie
// before a page that faults.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>

#include "attend/operator.h"
#include "tests/reliability/arena.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

constexpr int64_t kMin32 = INT32_MIN, kMax32 = INT32_MAX, kMin = INT64_MIN, kMax = INT64_MAX;
constexpr int64_t kBatch = 2, kRows = 3, kKeys = 6, kPages = 8, kPageSize = 2;

// batch 2, 3 rows (decode: 1), 6 keys; paged: 3 pages of 2 a request. Nothing but indices may be
// looked at.
class Attacked {
 public:
  explicit Attacked(OpId op, DType index = DType::kI64, bool ragged = false)
      : op_(op), index_(index) {
    const int64_t rows = op == OpId::kDecode ? 1 : kRows;
    const bool append = op == OpId::kAppend, paged = op == OpId::kPaged;
    if (append || paged) {
      args.k = closed({kPages, kPageSize, 2, 8});
      args.v = closed({kPages, kPageSize, 2, 8});
    } else if (ragged) {
      args.k = closed({kBatch * kKeys, 2, 8});
      args.v = closed({kBatch * kKeys, 2, 8});
    } else {
      args.k = closed({kBatch, kKeys, 2, 8});
      args.v = closed({kBatch, kKeys, 2, 8});
    }
    if (append) {
      own_rows({0, 1, 2, 3, 4, 5});
      return;
    }
    if (ragged) {
      args.q = closed({kBatch * rows, 2, 8});
      args.out = closed({kBatch * rows, 2, 8});
      args.seq.cu_seqlens_q = indices({0, 3, 6});
      if (!paged) args.seq.cu_seqlens_k = indices({0, 6, 12});
    } else {
      args.q = closed({kBatch, rows, 2, 8});
      args.out = closed({kBatch, rows, 2, 8});
    }
    if (op == OpId::kSplash) params.mask.causal = true;
    if (!paged) return;
    args.seq.block_table = table({0, 1, 2, 3, 4, 5});
    args.seq.seqused_k = indices({5, 5});
  }

  TensorView indices(const std::vector<int64_t>& values) {
    return indices(values, {static_cast<int64_t>(values.size())});
  }
  TensorView table(const std::vector<int64_t>& pages) {
    return indices(pages, {2, static_cast<int64_t>(pages.size()) / 2});
  }
  void csr() {
    args.seq.block_table = args.seq.seqused_k = {};
    args.seq.kv_indptr = indices({0, 3, 6});
    args.seq.kv_indices = indices({0, 1, 2, 3, 4, 5});
    args.seq.kv_last_page_len = indices({1, 1});
  }
  void own_rows(const std::vector<int64_t>& slots) {
    args.k_new = closed({kBatch * kRows, 2, 8});
    args.v_new = closed({kBatch * kRows, 2, 8});
    args.seq.slot_mapping = indices(slots);
    if (op_ != OpId::kPaged) return;
    args.seq.seqused_k = {};
    args.seq.context_lens = indices({2, 2});
  }

  // Whether these values are of the tensors' type; INT64_MIN in an i32 tensor is no attack.
  bool representable = true;

  void expect(ErrorCode code, const std::string& word) {
    if (!representable) return;
    const std::string what =
        std::string(name(op_)) + " " + name(index_) + ", expected words of " + word;
    const Fault fault(what);
    const Thrown e = thrown([&] { attention_op(op_).forward(args, params); });
    EXPECT_EQ(name(e.code), std::string(name(code))) << what << ": " << e.what;
    EXPECT_TRUE(e.says(word)) << what << ": " << e.what;
    EXPECT_EQ(attention_op(op_).supports(args, params, {}).message, e.what) << what;
  }

  // Where shapes hang on lengths, either may be named.
  void expect_refusal() {
    if (!representable) return;
    const Fault fault(std::string(name(op_)) + ", lengths behind shapes");
    const Thrown e = thrown([&] { attention_op(op_).forward(args, params); });
    EXPECT_TRUE(e.code == ErrorCode::kInvalidArgument || e.code == ErrorCode::kOutOfRange)
        << e.what;
  }

  AttentionArgs args;
  AttentionParams params;

 private:
  // Memory that may not be touched.
  TensorView closed(std::initializer_list<int64_t> shape) {
    const TensorView view = contiguous(nullptr, DType::kF32, shape);
    memory_.emplace_back(static_cast<size_t>(view.num_elements()) * 4, GuardedMemory::Edge::kEnd,
                         0);
    memory_.back().close();
    return contiguous(memory_.back().data(), DType::kF32, shape);
  }
  TensorView indices(const std::vector<int64_t>& values, const std::vector<int64_t>& shape) {
    const auto size = static_cast<size_t>(size_bytes(index_));
    memory_.emplace_back(values.size() * size, GuardedMemory::Edge::kEnd, 0x55);
    std::byte* at = memory_.back().data();
    for (const int64_t value : values) {
      const auto narrow = static_cast<int32_t>(value);
      representable = representable && (index_ == DType::kI64 || narrow == value);
      if (index_ == DType::kI32)
        std::memcpy(at, &narrow, size);
      else
        std::memcpy(at, &value, size);
      at += size;
    }
    return contiguous(memory_.back().data(), index_, shape);
  }

  OpId op_;
  DType index_;
  std::deque<GuardedMemory> memory_;
};

using Field = TensorView& (*)(AttentionArgs&, AttentionParams&);
constexpr DType kIndexTypes[] = {DType::kI32, DType::kI64};
constexpr OpId kPlainOps[] = {OpId::kVanilla, OpId::kFlash, OpId::kSplash, OpId::kSdpa,
                              OpId::kRing};

TEST(IndexAttack, TheCallIsLegalOtherwise) {
  for (const OpId op : {OpId::kVanilla, OpId::kFlash, OpId::kSplash, OpId::kPaged, OpId::kDecode,
                        OpId::kSdpa, OpId::kRing, OpId::kAppend}) {
    Attacked call(op);
    const Support answer = attention_op(op).supports(call.args, call.params, {});
    EXPECT_TRUE(answer) << answer.message;
  }
}

// Lengths of rows and keys, whatever their dtype.
TEST(IndexAttack, LengthsOfSequences) {
  for (const DType index : kIndexTypes)
    for (const int64_t bad : {int64_t{-1}, int64_t{100}, kMin32, kMax32, kMin, kMin + 1, kMax})
      for (int place = 0; place < 2; ++place) {
        const auto values = [&](int64_t good) {
          return place == 0 ? std::vector<int64_t>{bad, good} : std::vector<int64_t>{good, bad};
        };
        for (const OpId op : {OpId::kVanilla, OpId::kFlash, OpId::kSplash, OpId::kPaged,
                              OpId::kDecode, OpId::kSdpa, OpId::kRing}) {
          Attacked rows(op, index), keys(op, index);
          rows.args.seq.seqused_q = rows.indices(values(1));
          rows.expect(ErrorCode::kOutOfRange, "seqused_q[" + std::to_string(place) + "]");
          keys.args.seq.seqused_k = keys.indices(values(5));
          keys.expect(ErrorCode::kOutOfRange, "seqused_k[" + std::to_string(place) + "]");
        }
        Attacked start(OpId::kDecode, index), end(OpId::kDecode, index);
        start.args.seq.start = start.indices(values(1));
        start.expect(ErrorCode::kOutOfRange, "start[" + std::to_string(place) + "]");
        end.args.seq.end = end.indices(values(1));
        end.expect(ErrorCode::kOutOfRange, "end[" + std::to_string(place) + "]");
        Attacked context(OpId::kPaged, index), own(OpId::kPaged, index);
        context.args.seq.seqused_k = {};
        context.args.seq.context_lens = context.indices(values(1));
        context.expect(ErrorCode::kOutOfRange, "context_lens[" + std::to_string(place) + "]");
        own.own_rows({0, 1, 2, 3, 4, 5});
        own.args.seq.context_lens = own.indices(values(2));
        own.expect(ErrorCode::kOutOfRange, "context_lens[" + std::to_string(place) + "]");
      }
}

// Sums that start elsewhere, fall, or run beyond.
struct Sums {
  std::vector<int64_t> values;
  ErrorCode code;
};
std::vector<Sums> bad_sums(int64_t total) {
  const ErrorCode invalid = ErrorCode::kInvalidArgument, range = ErrorCode::kOutOfRange;
  return {{{1, 3, total}, invalid},
          {{-1, 3, total}, invalid},
          {{kMin, 3, total}, invalid},
          {{kMax, kMax, kMax}, invalid},
          {{0, 5, 4}, invalid},
          {{0, -1, 4}, invalid},
          {{0, kMin, kMax}, invalid},
          {{0, 3, kMin}, invalid},
          {{0, 3, kMin32}, invalid},
          {{0, 3, total + 1}, range},
          {{0, total + 1, total + 1}, range},
          {{0, kMax, kMin}, range},
          {{0, kMax32, kMin32}, range},
          {{0, 3, kMax}, range},
          {{0, 3, kMax32}, range},
          {{kMin, kMax, kMin}, invalid}};
}

TEST(IndexAttack, CumulativeLengths) {
  for (const DType index : kIndexTypes)
    for (const OpId op : kPlainOps) {
      for (const Sums& sums : bad_sums(6)) {
        Attacked call(op, index, true);
        call.args.seq.cu_seqlens_q = call.indices(sums.values);
        call.expect(sums.code, "cu_seqlens_q[");
      }
      for (const Sums& sums : bad_sums(12)) {
        Attacked call(op, index, true);
        call.args.seq.cu_seqlens_k = call.indices(sums.values);
        call.expect(sums.code, "cu_seqlens_k[");
      }
    }
}

TEST(IndexAttack, CumulativeLengthsOfPages) {
  for (const DType index : kIndexTypes)
    for (const bool ragged : {false, true}) {
      for (const Sums& sums : bad_sums(6)) {
        if (ragged) {
          Attacked rows(OpId::kPaged, index, true);
          rows.args.seq.cu_seqlens_q = rows.indices(sums.values);
          rows.expect(sums.code, "cu_seqlens_q[");
        }
        Attacked pages(OpId::kPaged, index, ragged);
        pages.csr();
        pages.args.seq.kv_indptr = pages.indices(sums.values);
        pages.expect(sums.code, "kv_indptr[");
        // Keys have no tensor of their own whose end they could pass: their table's room is the end.
        Attacked keys(OpId::kPaged, index, ragged);
        keys.args.seq.seqused_k = {};
        keys.args.seq.cu_seqlens_k = keys.indices(sums.values);
        if (sums.code == ErrorCode::kInvalidArgument) keys.expect(sums.code, "cu_seqlens_k[");
      }
      for (const std::vector<int64_t>& sums : {std::vector<int64_t>{0, 7, 8},
                                               {0, 1, 8},
                                               {0, kMax32, kMax32},
                                               {0, 0, kMax},
                                               {0, kMax, kMax}}) {
        Attacked keys(OpId::kPaged, index, ragged);
        keys.args.seq.seqused_k = {};
        keys.args.seq.cu_seqlens_k = keys.indices(sums);
        keys.expect(ErrorCode::kOutOfRange, "keys of sequence");
      }
    }
}

TEST(IndexAttack, PageIds) {
  for (const DType index : kIndexTypes)
    for (const int64_t bad : {int64_t{-1}, kPages, kMin32, kMax32, kMin, kMax, kMax / 2 + 1}) {
      for (size_t n = 0; n < 6; ++n) {
        std::vector<int64_t> pages = {0, 1, 2, 3, 4, 5};
        pages[n] = bad;
        Attacked call(OpId::kPaged, index), csr(OpId::kPaged, index);
        call.args.seq.block_table = call.table(pages);
        call.expect(ErrorCode::kOutOfRange,
                    "block_table[" + std::to_string(n / 3) + "][" + std::to_string(n % 3) + "] is");
        csr.csr();
        csr.args.seq.kv_indices = csr.indices(pages);
        csr.expect(ErrorCode::kOutOfRange, "kv_indices[" + std::to_string(n) + "] is");
      }
      for (const int64_t last : {bad == kPages ? 3 : bad, int64_t{0}}) {
        Attacked csr(OpId::kPaged, index);
        csr.csr();
        csr.args.seq.kv_last_page_len = csr.indices({1, last});
        csr.expect(ErrorCode::kOutOfRange, "kv_last_page_len[1]");
      }
      Attacked none(OpId::kPaged, index);
      none.csr();
      none.args.seq.kv_indptr = none.indices({0, 0, 3});
      none.args.seq.kv_last_page_len = none.indices({bad, 1});
      none.expect(ErrorCode::kOutOfRange, "kv_last_page_len[0]");
    }
}

// Entries that no key stands behind may be anything: nothing is said of them.
TEST(IndexAttack, DeadPageIdsAreNobodysBusiness) {
  for (const DType index : kIndexTypes)
    for (const int64_t any : {int64_t{-1}, kPages, kMin32, kMax32, kMin, kMax}) {
      Attacked call(OpId::kPaged, index);
      call.args.seq.seqused_k = call.indices({4, 0});
      call.args.seq.block_table = call.table({0, 1, any, any, any, any});
      if (!call.representable) continue;
      const Support answer = attention_op(OpId::kPaged).supports(call.args, call.params, {});
      EXPECT_TRUE(answer) << answer.message;
    }
}

TEST(IndexAttack, Slots) {
  for (const DType index : kIndexTypes)
    for (const OpId op : {OpId::kPaged, OpId::kAppend}) {
      for (const int64_t bad : {kPages * kPageSize, kMax32, kMax, kMax / 2 + 1})
        for (size_t n = 0; n < 6; ++n) {
          std::vector<int64_t> slots = {0, 1, 2, 3, -1, 5};
          slots[n] = bad;
          Attacked call(op, index);
          call.own_rows(slots);
          call.expect(ErrorCode::kOutOfRange, "slot_mapping[" + std::to_string(n) + "]");
        }
      for (size_t n = 1; n < 6; ++n) {
        std::vector<int64_t> slots = {9, 1, 2, 3, 4, 5};
        slots[n] = 9;
        Attacked call(op, index);
        call.own_rows(slots);
        call.expect(ErrorCode::kInvalidArgument, "slot_mapping[" + std::to_string(n) + "] is 9");
      }
      // Negative ones are not kept, however negative, and as often as they like.
      Attacked legal(op, index);
      legal.own_rows({kMin32, -1, -1, 3, index == DType::kI64 ? kMin : kMin32, 5});
      const Support answer = attention_op(op).supports(legal.args, legal.params, {});
      EXPECT_TRUE(answer) << answer.message;
    }
}

// Words that tell lengths must tell the same.
TEST(IndexAttack, LengthsThatDisagree) {
  for (const DType index : kIndexTypes) {
    Attacked sums(OpId::kPaged, index), context(OpId::kPaged, index), own(OpId::kPaged, index);
    sums.args.seq.cu_seqlens_k = sums.indices({0, 5, 9});
    sums.expect(ErrorCode::kInvalidArgument, "cu_seqlens_k gives sequence 1 4 keys, expected 5");
    context.args.seq.context_lens = context.indices({2, 1});
    context.expect(ErrorCode::kInvalidArgument, "context_lens gives sequence 1 4 keys, expected 5");
    own.own_rows({0, 1, 2, 3, 4, 5});
    own.args.seq.seqused_k = own.indices({6, 5});
    own.expect(ErrorCode::kInvalidArgument, "seqused_k gives sequence 0 6 keys, expected 5");
    Attacked csr(OpId::kPaged, index);
    csr.csr();
    csr.args.seq.seqused_k = csr.indices({6, 5});
    csr.expect(ErrorCode::kOutOfRange, "seqused_k[0] is 6, expected 0 to 5");
  }
}

// Positions may be far, but sums of them stay within 64 bits.
TEST(IndexAttack, PositionsAtTheEndsOfTheirType) {
  const std::pair<const char*, Field> words[] = {
      {"q_start", [](AttentionArgs&, AttentionParams& p) -> TensorView& { return p.mask.q_start; }},
      {"block_origin",
       [](AttentionArgs&, AttentionParams& p) -> TensorView& { return p.mask.block_origin; }},
      {"prefix_lens",
       [](AttentionArgs&, AttentionParams& p) -> TensorView& { return p.mask.prefix_lens; }},
      {"hole_starts",
       [](AttentionArgs&, AttentionParams& p) -> TensorView& { return p.mask.hole_starts; }},
      {"hole_ends",
       [](AttentionArgs&, AttentionParams& p) -> TensorView& { return p.mask.hole_ends; }}};
  for (const OpId op : {OpId::kVanilla, OpId::kFlash, OpId::kSplash, OpId::kPaged, OpId::kDecode,
                        OpId::kSdpa, OpId::kRing})
    for (const auto& [word, field] : words)
      for (const int64_t far :
           {kMin, kMin + 1, -(int64_t{1} << 48) - 1, (int64_t{1} << 48) + 1, kMax}) {
        Attacked call(op);
        call.params.mask.causal = false;
        call.params.mask.block_size = 2;
        call.params.mask.hole_starts = call.indices({0, 0});
        call.params.mask.hole_ends = call.indices({1, 1});
        field(call.args, call.params) = call.indices({0, far});
        call.expect(ErrorCode::kOutOfRange, std::string(word) + "[1]");
      }
}

// Masks are given, too: their shapes follow from lengths, which are asked for before they are
// checked.
TEST(IndexAttack, LengthsBehindShapes) {
  for (const DType index : kIndexTypes)
    for (const bool pages : {false, true})
      for (const Sums& sums : bad_sums(6)) {
        Attacked call(pages ? OpId::kPaged : OpId::kFlash, index, true);
        call.args.seq.cu_seqlens_q = call.indices(sums.values);
        call.params.mask.keep = contiguous(nullptr, DType::kBool, {3, 6});
        bool keep[18] = {};
        call.params.mask.keep.data = keep;
        call.expect_refusal();
      }
  for (const Sums& sums : bad_sums(12)) {
    Attacked call(OpId::kSplash, DType::kI64, true);
    call.args.seq.cu_seqlens_k = call.indices(sums.values);
    bool mask[6] = {};
    call.params.mask.block_mask = contiguous(mask, DType::kBool, {2, 3});
    call.params.mask.block_mask_q = call.params.mask.block_mask_k = 2;
    call.expect_refusal();
    Attacked csr(OpId::kPaged);
    csr.csr();
    csr.args.seq.kv_indptr = csr.indices(sums.values);
    csr.args.seq.kv_last_page_len = csr.indices({kMax, kMin});
    csr.params.mask.keep = contiguous(mask, DType::kBool, {6});
    csr.expect_refusal();
  }
}

}  // namespace
}  // namespace attend::testing
