// Contract 4: offsets are 64-bit. Tensors whose elements lie beyond 2^31 and 2^32 elements of their
// first, by strides of sequences, rows, heads and elements, by page ids and by the length of packed
// rows, give the bits of a compact copy.
#include <gtest/gtest.h>

#include <deque>
#include <memory>

#include "tests/reliability/far_memory.h"
#include "tests/reliability/guarded_calls.h"
#include "tests/support/element.h"

namespace attend::testing {
namespace {

constexpr int64_t kGi = int64_t{1} << 30;

// Strides that bring the last element past 2^32 elements, by one dimension each; the others stay
// what a contiguous tensor has.
std::vector<std::vector<int64_t>> far_strides(const TensorView& t) {
  std::vector<std::vector<int64_t>> list;
  for (int far = 0; far < t.rank; ++far) {
    if (t.dim(far) < 2) continue;
    std::vector<int64_t> stride(static_cast<size_t>(t.rank));
    int64_t step = 1;
    for (int d = t.rank - 1; d >= 0; --d) {
      stride[static_cast<size_t>(d)] = step;
      step *= t.dim(d);
    }
    stride[static_cast<size_t>(far)] = 4 * kGi / (t.dim(far) - 1) + 1000;
    list.push_back(stride);
    stride[static_cast<size_t>(far)] *= -1;
    list.push_back(stride);
  }
  return list;
}

bool takes(const AttentionKernel& row, const AttentionArgs& args, const AttentionParams& params) {
  try {
    run_row(row, args, params);
    return true;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kUnsupported) throw;
    return false;
  }
}

class FarOffsets : public ::testing::TestWithParam<OpId> {};
INSTANTIATE_TEST_SUITE_P(Native, FarOffsets, ::testing::ValuesIn(kAttention),
                         [](const auto& p) { return name(p.param); });

AttentionCase small(OpId op) {
  AttentionCase c = blank(op == OpId::kPaged    ? Family::kPaged
                          : op == OpId::kDecode ? Family::kDecode
                                                : Family::kPlain);
  c.batch = 2;
  c.seqlen_q = op == OpId::kDecode ? 1 : 3;
  c.seqlen_k = 9;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 5;
  c.v_dim = 3;
  c.lse = true;
  c.bias = Spread::kFull;
  c.window_left = op == OpId::kSplash ? 6 : -1;
  if (op == OpId::kPaged) {
    c.page_size = 2;
    c.own_rows = OwnRows::kNotStored;
  }
  return c;
}

// One tensor at a time, every dimension of it.
TEST_P(FarOffsets, ByStrides) {
  using Field = TensorView& (*)(AttentionArgs&, AttentionParams&);
  const std::pair<const char*, Field> fields[] = {
      {"q", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.q; }},
      {"k", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.k; }},
      {"v", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.v; }},
      {"out", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.out; }},
      {"lse", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.lse; }},
      {"k_new", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.k_new; }},
      {"v_new", [](AttentionArgs& a, AttentionParams&) -> TensorView& { return a.v_new; }},
      {"bias", [](AttentionArgs&, AttentionParams& p) -> TensorView& { return p.bias; }}};
  const OpId op = GetParam();
  int calls = 0;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    AttentionCase c = small(op);
    c.dtype = dtype;
    CaseTensors t = make_tensors(as_read_by(op, c));
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(op, DeviceType::kNative)) {
      const Fault fault(row.name);
      t.reset_outputs();
      if (!takes(row, t.args, t.params)) continue;
      for (const auto& [word, field] : fields) {
        AttentionArgs args = t.args;
        AttentionParams params = t.params;
        if (!field(args, params)) continue;
        const TensorView compact = field(args, params);
        for (const auto& stride : far_strides(compact)) {
          const FarTensor far(compact, stride);
          if (!far) GTEST_SKIP() << "16 GiB of address space are not to be had";
          field(args, params) = far.view();
          const std::string what = std::string(row.name) + " " + word + " " + to_string(compact);
          const Fault here(what);
          // Outputs that are not far are written a second time.
          std::vector<std::byte> before = t.output_bytes();
          if (!takes(row, args, params)) continue;
          EXPECT_TRUE(t.output_bytes() == before) << what;
          const bool output = std::string(word) == "out" || std::string(word) == "lse";
          EXPECT_TRUE(!output || far.equals(compact)) << what;
          ++calls;
        }
      }
    }
  }
  EXPECT_GT(calls, 40);
}

// Packed rows: the second sequence begins more than 2^32 elements behind the first, whose length is
// what its tensors have room for and whose rows and keys in use are few.
TEST_P(FarOffsets, ByPackedRows) {
  const OpId op = GetParam();
  if (op == OpId::kDecode || op == OpId::kPaged) GTEST_SKIP() << "keys are not packed";
  if (op == OpId::kRing) GTEST_SKIP() << "ring holds a state in f32 for every row of q's tensor";
  AttentionCase c = small(op);
  c.bias = Spread::kNone;
  CaseTensors t = make_tensors(as_read_by(op, c));  // dense: [2, seqlen, heads, dim]
  constexpr int64_t kFirst = kGi + 7;               // rows of sequence 0
  std::deque<FarTensor> memory;
  const auto packed = [&](const TensorView& dense) {
    // As [2 * seqlen, heads, dim], whose second half is moved behind.
    TensorView rows = dense;
    rows.rank = 3;
    rows.shape = {dense.dim(0) * dense.dim(1), dense.dim(2), dense.dim(3)};
    rows.stride = {dense.step(1), dense.step(2), dense.step(3)};
    std::vector<int64_t> places;
    for (int64_t n = 0; n < rows.dim(0); ++n)
      places.push_back(n < dense.dim(1) ? n : kFirst + n - dense.dim(1));
    memory.emplace_back(rows, std::vector<int64_t>{dense.step(1), dense.step(2), dense.step(3)},
                        std::vector<int64_t>{kFirst + dense.dim(1), rows.dim(1), rows.dim(2)},
                        places);
    return memory.back().view();
  };
  AttentionArgs args = t.args;
  args.lse = {};
  for (const AttentionKernel& row : Registry::global().attention_kernels(op, DeviceType::kNative)) {
    const Fault fault(row.name);
    t.reset_outputs();
    AttentionArgs dense = t.args;
    dense.lse = {};
    args.q = packed(t.args.q);
    args.k = packed(t.args.k);
    args.v = packed(t.args.v);
    args.out = packed(t.args.out);
    const FarTensor& out = memory.back();
    for (const FarTensor& tensor : memory) {
      if (!tensor) GTEST_SKIP() << "so much address space is not to be had";
    }
    int64_t cu_q[] = {0, kFirst, kFirst + c.seqlen_q}, cu_k[] = {0, kFirst, kFirst + c.seqlen_k};
    int64_t used_q[] = {c.seqlen_q, c.seqlen_q}, used_k[] = {c.seqlen_k, c.seqlen_k};
    args.seq.cu_seqlens_q = contiguous(cu_q, DType::kI64, {3});
    args.seq.cu_seqlens_k = contiguous(cu_k, DType::kI64, {3});
    args.seq.seqused_q = contiguous(used_q, DType::kI64, {2});
    args.seq.seqused_k = contiguous(used_k, DType::kI64, {2});
    if (!takes(row, dense, t.params) || !takes(row, args, t.params)) continue;
    TensorView rows = t.args.out;
    rows.rank = 3;
    rows.shape = {2 * c.seqlen_q, rows.dim(2), rows.dim(3)};
    rows.stride = {rows.step(1), rows.step(2), rows.step(3)};
    EXPECT_TRUE(out.equals(rows)) << row.name;
  }
}

// Page ids beyond 2^31 / page: offsets pass 2^32 elements and slots 2^31, also where rows are stored.
TEST(FarPages, ByTheirIds) {
  for (const DType cache : {DType::kF32, DType::kBF16, DType::kF8E4M3, DType::kI8}) {
    AttentionCase c = small(OpId::kPaged);
    c.bias = Spread::kNone;
    c.k_cache = c.v_cache = cache;
    c.index = DType::kI64;
    c.own_rows = OwnRows::kStored;
    c.dtype = size_bytes(cache) == 1 ? DType::kBF16 : cache;
    CaseTensors t = make_tensors(c);
    const int64_t pages = t.args.k.dim(0);
    const auto far_id = [](int64_t page) { return page * (kGi / 2 + 3); };
    std::vector<int64_t> places;
    for (int64_t n = 0; n < pages; ++n) places.push_back(far_id(n));
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(OpId::kPaged, DeviceType::kNative)) {
      const Fault fault(std::string(row.name) + " " + name(cache));
      t.reset_outputs();
      const auto far_pages = [&](const TensorView& near) {
        return std::make_unique<FarTensor>(
            near, std::vector<int64_t>{near.step(0), near.step(1), near.step(2), near.step(3)},
            std::vector<int64_t>{far_id(pages - 1) + 1, near.dim(1), near.dim(2), near.dim(3)},
            places);
      };
      const auto k = far_pages(t.args.k), v = far_pages(t.args.v);
      if (!*k || !*v) GTEST_SKIP() << "so much address space is not to be had";
      AttentionArgs args = t.args;
      args.k = k->view();
      args.v = v->view();
      std::vector<int64_t> table, slots;
      const TensorView& ids = t.args.seq.block_table;
      for (int64_t n = 0; n < ids.num_elements(); ++n) {
        const int64_t id = static_cast<const int64_t*>(ids.data)[n];
        table.push_back(id >= 0 && id < pages ? far_id(id) : id);
      }
      for (int64_t n = 0; n < t.args.seq.slot_mapping.dim(0); ++n) {
        const int64_t slot = load_int(t.args.seq.slot_mapping, n);
        slots.push_back(slot < 0 ? slot
                                 : far_id(slot / c.page_size) * c.page_size + slot % c.page_size);
      }
      args.seq.block_table.data = table.data();
      args.seq.slot_mapping.data = slots.data();
      if (!takes(row, args, t.params)) continue;
      const Span out = span_of(t.args.out);  // of both calls
      const std::vector<std::byte> far_out(out.begin, out.begin + out.bytes);
      t.reset_outputs();
      run_row(row, t.args, t.params);
      EXPECT_TRUE(k->equals(t.args.k)) << row.name << " " << name(cache);
      EXPECT_TRUE(v->equals(t.args.v)) << row.name << " " << name(cache);
      EXPECT_TRUE(std::equal(far_out.begin(), far_out.end(), out.begin)) << row.name;
    }
  }
}

// append alone: rows at slots beyond 2^31, whose pages lie beyond 2^32 elements.
TEST(FarPages, OfAppend) {
  constexpr int64_t kPages = 3 * kGi, kDim = 3;
  std::vector<float> near(4 * kDim, -77.0f), rows = {1, 2, 3, 4, 5, 6};
  const TensorView compact = contiguous(near.data(), DType::kF32, {2, 2, 1, kDim});
  const FarTensor k(compact, {2 * kDim, kDim, kDim, 1}, {kPages, 2, 1, kDim}, {0, kPages - 1});
  const FarTensor v(compact, {2 * kDim, kDim, kDim, 1}, {kPages, 2, 1, kDim}, {0, kPages - 1});
  if (!k || !v) GTEST_SKIP() << "so much address space is not to be had";
  const Fault fault("append");
  int64_t slots[] = {2 * kPages - 1, 1};
  AttentionArgs args;
  args.k = k.view();
  args.v = v.view();
  args.k_new = args.v_new = contiguous(rows.data(), DType::kF32, {2, 1, kDim});
  args.seq.slot_mapping = contiguous(slots, DType::kI64, {2});
  AppendKv().forward(args, {});
  std::copy_n(rows.begin(), kDim, near.begin() + 3 * kDim);
  std::copy_n(rows.begin() + kDim, kDim, near.begin() + kDim);
  EXPECT_TRUE(k.equals(compact));
  EXPECT_TRUE(v.equals(compact));
}

}  // namespace
}  // namespace attend::testing
