// Contract 6 on a device: a bad index or gate is found there. ExecContext::check says what native
// says of the same call; the request that holds it is neither computed nor stored, and the others
// are what they are without it. On native the same calls are refused whole (index_attack_test).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/gdn/tensors.h"
#include "tests/kernels/alone.h"
#include "tests/kernels/rows.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

constexpr int64_t kFar = int64_t{1} << 50, kFarDown = -(int64_t{1} << 50);

// What one attack writes into one index tensor of a legal call.
struct Attack {
  const char* name;
  const char* word;  // as ExecContext::check says it
  void (*shape)(AttentionCase&);
  TensorView& (*tensor)(AttentionArgs&, AttentionParams&);
  int64_t position;
  int64_t (*value)(const AttentionArgs&);
  int64_t request;  // that is hit
  ErrorCode code = ErrorCode::kOutOfRange;
};

using A = AttentionArgs;
using P = AttentionParams;
void ragged(AttentionCase& c) { c.layout = Layout::kRagged; }
void used_rows(AttentionCase& c) { c.seqused_q = true; }
void used_keys(AttentionCase& c) { c.seqused_k = true; }
void own_rows(AttentionCase& c) { c.own_rows = OwnRows::kStored; }
void csr(AttentionCase& c) { c.table = PageTable::kCsr, c.keys_from = KeysFrom::kCsrAlone; }
void range(AttentionCase& c) { c.start = c.end = true; }
TensorView& cu_q(A& a, P&) { return a.seq.cu_seqlens_q; }
TensorView& cu_k(A& a, P&) { return a.seq.cu_seqlens_k; }
TensorView& seqused_q(A& a, P&) { return a.seq.seqused_q; }
TensorView& seqused_k(A& a, P&) { return a.seq.seqused_k; }
TensorView& block_table(A& a, P&) { return a.seq.block_table; }
TensorView& kv_indptr(A& a, P&) { return a.seq.kv_indptr; }
TensorView& kv_indices(A& a, P&) { return a.seq.kv_indices; }
TensorView& last_page(A& a, P&) { return a.seq.kv_last_page_len; }
TensorView& context(A& a, P&) { return a.seq.context_lens; }
TensorView& slots(A& a, P&) { return a.seq.slot_mapping; }
TensorView& start(A& a, P&) { return a.seq.start; }
TensorView& end(A& a, P&) { return a.seq.end; }
TensorView& q_start(A&, P& p) { return p.mask.q_start; }
TensorView& block_origin(A&, P& p) { return p.mask.block_origin; }
TensorView& prefix_lens(A&, P& p) { return p.mask.prefix_lens; }
TensorView& hole_starts(A&, P& p) { return p.mask.hole_starts; }
TensorView& hole_ends(A&, P& p) { return p.mask.hole_ends; }
void rows_start(AttentionCase& c) { c.q_start = true; }
void blocks(AttentionCase& c) { c.causal = false, c.block_size = 4, c.block_origin = true; }
void prefix(AttentionCase& c) { c.prefix = true; }
void hole(AttentionCase& c) { c.hole = true; }
void sums_of_pages(AttentionCase& c) { c.keys_from = KeysFrom::kCuSeqlensK; }
void contexts(AttentionCase& c) { c.keys_from = KeysFrom::kContextLens; }
void every_word(AttentionCase& c) { c.keys_from = KeysFrom::kAllWords; }
int64_t element_of(const TensorView& t, int64_t i) {
  return t.dtype == DType::kI64 ? static_cast<const int64_t*>(t.data)[i * t.stride[0]]
                                : static_cast<const int32_t*>(t.data)[i * t.stride[0]];
}
int64_t minus_one(const A&) { return -1; }
int64_t far_up(const A&) { return kFar; }
int64_t far_down(const A&) { return kFarDown; }
int64_t over_rows(const A& a) { return a.q.dim(0) + 1; }
int64_t over_keys(const A& a) { return a.k.dim(0) + 1; }
int64_t over_seqlen_q(const A& a) { return a.q.dim(1) + 1; }
int64_t over_seqlen_k(const A& a) { return a.k.dim(1) + 1; }
int64_t pages(const A& a) { return a.k.dim(0); }
int64_t all_slots(const A& a) { return a.k.dim(0) * a.k.dim(1); }
int64_t over_capacity(const A& a) { return a.seq.block_table.dim(1) * a.k.dim(1) + 1; }
int64_t all_of_table(const A& a) { return a.seq.block_table.dim(1) * a.k.dim(1); }
int64_t over_page(const A& a) { return a.k.dim(1) + 1; }
int64_t one_less(const A& a) { return element_of(a.seq.seqused_k, 1) - 1; }
int64_t over_entries(const A& a) { return a.seq.kv_indices.dim(0) + 1; }

// Requests of 4, 2 and 3 rows against 9, 5 and 7 keys; pages of 4.
// clang-format off
const Attack kPlain[] = {
    {"cu_seqlens_q_beyond", "cu_seqlens_q", ragged, cu_q, 3, over_rows, 2},
    {"cu_seqlens_q_far", "cu_seqlens_q", ragged, cu_q, 3, far_up, 2},
    {"cu_seqlens_q_falls", "cu_seqlens_q", ragged, cu_q, 3, minus_one, 2, ErrorCode::kInvalidArgument},
    {"cu_seqlens_k_beyond", "cu_seqlens_k", ragged, cu_k, 3, over_keys, 2},
    {"cu_seqlens_k_falls", "cu_seqlens_k", ragged, cu_k, 3, far_down, 2, ErrorCode::kInvalidArgument},
    {"seqused_q_beyond", "seqused_q", used_rows, seqused_q, 1, over_seqlen_q, 1},
    {"seqused_q_negative", "seqused_q", used_rows, seqused_q, 0, minus_one, 0},
    {"seqused_k_beyond", "seqused_k", used_keys, seqused_k, 1, over_seqlen_k, 1},
    {"seqused_k_far_down", "seqused_k", used_keys, seqused_k, 2, far_down, 2}};
const Attack kPaged[] = {
    {"block_table_beyond", "block_table", [](AttentionCase&) {}, block_table, 1, pages, 0},
    {"block_table_negative", "block_table", [](AttentionCase&) {}, block_table, 0, minus_one, 0},
    {"block_table_far", "block_table", [](AttentionCase&) {}, block_table, 1, far_up, 0},
    {"seqused_k_over_its_pages", "seqused_k", [](AttentionCase&) {}, seqused_k, 1, over_capacity, 1},
    {"seqused_k_negative", "seqused_k", [](AttentionCase&) {}, seqused_k, 2, minus_one, 2},
    {"kv_indices_beyond", "kv_indices", csr, kv_indices, 0, pages, 0},
    {"kv_indices_far_down", "kv_indices", csr, kv_indices, 1, far_down, 0},
    {"kv_indptr_beyond", "kv_indptr", csr, kv_indptr, 3, over_entries, 2},
    {"kv_last_page_len_zero", "kv_last_page_len", csr, last_page, 1, [](const A&) { return int64_t{0}; }, 1},
    {"kv_last_page_len_beyond", "kv_last_page_len", csr, last_page, 2, over_page, 2},
    {"context_lens_negative", "context_lens", own_rows, context, 1, minus_one, 1},
    {"context_lens_beyond", "context_lens", own_rows, context, 2, over_capacity, 2},
    {"slot_mapping_beyond", "slot_mapping", own_rows, slots, 4, all_slots, 1},
    {"slot_mapping_far", "slot_mapping", own_rows, slots, 0, far_up, 0},
    {"seqused_k_over_its_own_rows", "context_lens", own_rows, context, 0, over_capacity, 0},
    {"context_lens_over_its_pages", "keys of sequence 1 in the pages are", contexts, context, 1, all_of_table, 1},
    {"seqused_k_disagrees", "cu_seqlens_k gives sequence 1 5 keys, expected 4", every_word, seqused_k, 1, one_less, 1, ErrorCode::kInvalidArgument},
    {"cu_seqlens_k_over_its_pages", "keys of sequence 2 in the pages are", sums_of_pages, cu_k, 3, far_up, 2}};
const Attack kDecode[] = {
    {"start_negative", "start", range, start, 1, minus_one, 1},
    {"start_beyond", "start", range, start, 2, over_seqlen_k, 2},
    {"end_beyond", "end", range, end, 0, over_seqlen_k, 0},
    {"end_far_down", "end", range, end, 1, far_down, 1},
    {"seqused_k_beyond", "seqused_k", used_keys, seqused_k, 1, over_seqlen_k, 1}};
// Of every operator.
const Attack kPositions[] = {
    {"q_start_far", "q_start", rows_start, q_start, 1, far_up, 1},
    {"q_start_far_down", "q_start", rows_start, q_start, 0, far_down, 0},
    {"block_origin_far", "block_origin", blocks, block_origin, 2, far_up, 2},
    {"prefix_lens_far", "prefix_lens", prefix, prefix_lens, 1, far_up, 1},
    {"hole_starts_far_down", "hole_starts", hole, hole_starts, 1, far_down, 1},
    {"hole_ends_far", "hole_ends", hole, hole_ends, 2, far_up, 2}};
// clang-format on

std::vector<Attack> attacks_on(OpId op) {
  const std::span<const Attack> own = op == OpId::kPaged    ? std::span<const Attack>(kPaged)
                                      : op == OpId::kDecode ? std::span<const Attack>(kDecode)
                                                            : std::span<const Attack>(kPlain);
  std::vector<Attack> all(own.begin(), own.end());
  all.insert(all.end(), std::begin(kPositions), std::end(kPositions));
  return all;
}

AttentionCase legal_call(OpId op, DType index) {
  AttentionCase c;
  c.label = "attacked";
  c.batch = 3, c.seqlen_q = 4, c.seqlen_k = 9, c.heads = 2, c.kv_heads = 1, c.head_dim = 16;
  c.lse = c.causal = true;
  c.index = index;
  c.q_lens = {4, 2, 3}, c.k_lens = {9, 5, 7};
  if (op == OpId::kPaged) {
    c.family = Family::kPaged, c.layout = Layout::kRagged, c.page_size = 4;
  } else if (op == OpId::kDecode) {
    c.family = Family::kDecode, c.seqlen_q = 1, c.q_lens.clear();
  }
  return c;
}

struct OpAttack {
  OpOnDevice on;
  Attack attack;
  DType index;
};
void PrintTo(const OpAttack& p, std::ostream* stream) {
  *stream << test_name_of(p.on) << " " << p.attack.name;
}

std::vector<OpAttack> attacks() {
  std::vector<OpAttack> list;
  for (DeviceType device : test_devices()) {
    if (device == DeviceType::kNative) continue;
    for (OpId op : kAttention) {
      for (const Attack& a : attacks_on(op)) {
        for (DType index : {DType::kI32, DType::kI64}) {
          const bool wide = a.value == far_up || a.value == far_down;
          if (!wide || index == DType::kI64) list.push_back({{op, device}, a, index});
        }
      }
    }
  }
  return list;
}

// "[3]", of a table "[1][0]".
std::string index_words(const TensorView& t, int64_t at) {
  const std::string last = "[" + std::to_string(t.rank == 2 ? at % t.dim(1) : at) + "]";
  return t.rank == 2 ? "[" + std::to_string(at / t.dim(1)) + "]" + last : last;
}

// What check() says where native says this of the same call. Native names the operator; the device
// computes the other requests, and says so.
std::string as_of_a_device(const std::string& native) {
  return "ExecContext::check" + native.substr(native.find(": ")) +
         "; the request that holds it was skipped";
}

class DeviceIndices : public ::testing::TestWithParam<OpAttack> {};

TEST_P(DeviceIndices, SkipTheRequestThatHoldsABadOne) {
  const auto& [on, attack, index] = GetParam();
  AttentionCase c = legal_call(on.op, index);
  attack.shape(c);
  for (const AttentionKernel& row : Registry::global().attention_kernels(on.op, on.device)) {
    CaseTensors t = make_tensors(c);
    AttentionParams params = t.params;
    // Every request but that one in a call of its own: what the attacked call must make of them.
    try {
      for (int64_t b = 0; b < c.batch; ++b) {
        const Part one = alone(t.args, params, b);
        if (b != attack.request) run_row(row, one.args, one.params);
      }
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
      continue;
    }
    const std::vector<std::byte> expected = t.output_bytes();
    t.reset_outputs();
    TensorView& tensor = attack.tensor(t.args, params);
    int64_t at = attack.position;  // the flat position is that of a table's row, too
    const int64_t value = attack.value(t.args);
    store(tensor.dtype,
          static_cast<std::byte*>(tensor.data) + at * tensor.step(-1) * size_bytes(tensor.dtype),
          static_cast<double>(value));
    const Thrown e = thrown([&] { run_row(row, t.args, params); });
    EXPECT_EQ(name(e.code), std::string(name(attack.code))) << row.name << ": " << e.what;
    const bool of_sequence = std::string_view(attack.word).find(' ') != std::string_view::npos;
    const std::string words =
        std::string("ExecContext::check: ") + attack.word +
        (of_sequence ? "" : index_words(tensor, at) + " is " + std::to_string(value));
    EXPECT_TRUE(e.says(words)) << row.name << ": " << e.what << "\nexpected " << words;
    const Support native = attention_op(on.op).supports(t.args, params, Device{});
    EXPECT_EQ(e.what, as_of_a_device(native.message)) << row.name;
    EXPECT_TRUE(t.output_bytes() == expected) << row.name << ": of other requests, or of that one";
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, DeviceIndices, ::testing::ValuesIn(attacks()), [](const auto& p) {
  return test_name_of(p.param.on) + "_" + p.param.attack.name + "_" + name(p.param.index);
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceIndices);

// Of several bad indices that of the lowest request is named, the same on every run.
TEST(DeviceIndices, TheLowestRequestIsNamed) {
  for (DeviceType device : test_devices()) {
    if (device == DeviceType::kNative) continue;
    AttentionCase c = legal_call(OpId::kFlash, DType::kI64);
    c.seqused_k = true;
    int told = 0;
    for (const AttentionKernel& row : Registry::global().attention_kernels(OpId::kFlash, device)) {
      CaseTensors t = make_tensors(c);
      for (int64_t b : {2, 1})
        store(DType::kI64, address_of(t.args.seq.seqused_k, {b}), static_cast<double>(100 + b));
      const Thrown e = thrown([&] { run_row(row, t.args, t.params); });
      if (e.code == ErrorCode::kUnsupported) continue;
      EXPECT_TRUE(e.says("seqused_k[1] is 101")) << row.name << ": " << e.what;
      ++told;
    }
    EXPECT_GT(told, 0) << name(device);
  }
}

// append has no requests: a token whose slot is bad is not stored, the others are.
TEST(DeviceIndices, OfAppend) {
  for (const AttentionKernel& row : test_rows(OpId::kAppend)) {
    if (row.device == DeviceType::kNative) continue;
    for (int64_t bad : {int64_t{12}, kFar}) {
      std::vector<float> k(12 * 2 * 8, -1), v = k, k_new(3 * 2 * 8, 5), v_new(3 * 2 * 8, 7);
      std::vector<int64_t> slot = {4, bad, 9};
      AttentionArgs a;
      a.k = contiguous(k.data(), DType::kF32, {3, 4, 2, 8});
      a.v = contiguous(v.data(), DType::kF32, {3, 4, 2, 8});
      a.k_new = contiguous(k_new.data(), DType::kF32, {3, 2, 8});
      a.v_new = contiguous(v_new.data(), DType::kF32, {3, 2, 8});
      a.seq.slot_mapping = contiguous(slot.data(), DType::kI64, {3});
      const Thrown e = thrown([&] { run_row(row, a, {}); });
      EXPECT_EQ(e.code, ErrorCode::kOutOfRange) << e.what;
      EXPECT_TRUE(e.says("slot_mapping[1] is " + std::to_string(bad))) << e.what;
      for (int64_t n = 0; n < 12 * 16; ++n) {
        const bool stored = n / 16 == 4 || n / 16 == 9;
        EXPECT_EQ(k[static_cast<size_t>(n)], stored ? 5 : -1) << n;
        EXPECT_EQ(v[static_cast<size_t>(n)], stored ? 7 : -1) << n;
      }
    }
  }
}

// gdn: sequence 1 of three has a bad slot or gate, and is skipped.
struct GdnAttack {
  const char* word;  // "state_indices[1] is -1"
  GdnDecay decay;
  void (*spoil)(GdnArgs&);
};
const GdnAttack kGdnAttacks[] = {
    // clang-format off
    {"state_indices[1] is -1,", GdnDecay::kG, [](GdnArgs& a) { store(DType::kI64, address_of(a.state_indices, {1}), -1); }},
    {"state_indices[1] is 1000,", GdnDecay::kG, [](GdnArgs& a) { store(DType::kI64, address_of(a.state_indices, {1}), 1000); }},
    {"state_indices[1] is -1125899906842624,", GdnDecay::kG, [](GdnArgs& a) { store(DType::kI64, address_of(a.state_indices, {1}), static_cast<double>(kFarDown)); }},
    {"g[1, 2, 1] is 0.25,", GdnDecay::kG, [](GdnArgs& a) { store(DType::kF32, address_of(a.g, {1, 2, 1}), 0.25); }},
    {"g[1, 0, 0] is nan,", GdnDecay::kG, [](GdnArgs& a) { store(DType::kF32, address_of(a.g, {1, 0, 0}), NAN); }},
    {"g[1, 1, 1, 5] is 1e-06,", GdnDecay::kChannelG, [](GdnArgs& a) { store(DType::kF32, address_of(a.g, {1, 1, 1, 5}), 1e-6); }},
    {"alpha[1, 0, 1] is 0,", GdnDecay::kAlpha, [](GdnArgs& a) { store(DType::kF32, address_of(a.alpha, {1, 0, 1}), 0); }},
    {"alpha[1, 2, 0] is 1.5,", GdnDecay::kAlpha, [](GdnArgs& a) { store(DType::kF32, address_of(a.alpha, {1, 2, 0}), 1.5); }},
    {"beta[1, 2, 1] is -0.5,", GdnDecay::kG, [](GdnArgs& a) { store(DType::kF32, address_of(a.beta, {1, 2, 1}), -0.5); }},
    {"beta[1, 1, 0] is 2.5,", GdnDecay::kAlpha, [](GdnArgs& a) { store(DType::kF32, address_of(a.beta, {1, 1, 0}), 2.5); }},
    {"beta[1, 1, 0] is nan,", GdnDecay::kGates, [](GdnArgs& a) { store(DType::kF32, address_of(a.beta, {1, 1, 0}), NAN); }}
    // clang-format on
};

TEST(DeviceIndices, OfGdn) {
  for (const GdnKernel& row : test_gdn_rows()) {
    if (row.device == DeviceType::kNative) continue;
    for (const GdnAttack& attack : kGdnAttacks) {
      SCOPED_TRACE(std::string(row.name) + " " + attack.word);
      GdnCase c;
      c.slots = GdnSlots::kI64;
      c.decay = attack.decay;
      GdnTensors t(c), others(c);
      // Sequences 0 and 2 alone.
      for (int64_t b : {0, 2}) {
        GdnArgs one = others.args;
        for (TensorView* x : {&one.q, &one.k, &one.v, &one.g, &one.alpha, &one.a, &one.beta,
                              &one.out, &one.state_indices}) {
          if (!*x) continue;
          x->data = static_cast<std::byte*>(x->data) + b * x->step(0) * size_bytes(x->dtype);
          x->shape[0] = 1;
        }
        run_row(row, one, others.params);
      }
      attack.spoil(t.args);
      const Thrown e = thrown([&] { run_row(row, t.args, t.params); });
      EXPECT_EQ(e.code, ErrorCode::kOutOfRange) << e.what;
      EXPECT_TRUE(e.says(attack.word)) << e.what;
      const Support native = GatedDeltaNet().supports(t.args, t.params, Device{});
      EXPECT_EQ(e.what, as_of_a_device(native.message));
      EXPECT_TRUE(t.written_bytes() == others.written_bytes());
    }
  }
}

// The name that an error word gives its tensor.
std::string name_of(int32_t argument) {
  ErrorWord word{static_cast<int32_t>(ErrorCode::kOutOfRange), argument};
  ExecContext context;
  context.error_word = &word;
  const std::string what = thrown([&] { context.check(); }).what;
  const size_t from = what.find(": ") + 2;
  return what.substr(from, what.find('[') - from);
}

// Every name that an error word knows is attacked above, and every name there is one of its own.
TEST(DeviceIndices, EveryNameOfAnErrorWordIsAttacked) {
  std::set<std::string> attacked = {"slot_mapping", "cu_seqlens"};  // cu_seqlens: gdn_refusals_test
  for (OpId op : kAttention)
    for (const Attack& a : attacks_on(op))
      if (const std::string word = a.word; word.find(' ') == std::string::npos)
        attacked.insert(word);
  for (const GdnAttack& a : kGdnAttacks) {
    const std::string word = a.word;
    attacked.insert(word.substr(0, word.find('[')));
  }
  std::set<std::string> known;
  for (int32_t argument = 1; name_of(argument) != "an index"; ++argument)
    EXPECT_TRUE(known.insert(name_of(argument)).second) << name_of(argument);
  EXPECT_EQ(known, attacked);
}

}  // namespace
}  // namespace attend::testing
