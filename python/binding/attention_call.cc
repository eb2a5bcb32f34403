#include "attention_call.h"

#include <nanobind/stl/string.h>

#include <string>
#include <utility>

#include "attend/ring.h"

namespace attend::python {
namespace {

void set_window(AttentionCall& c, const Value& v) {
  if (!PyTuple_Check(v.object().ptr()) && !PyList_Check(v.object().ptr()))
    v.wrong_type("(left, right)");
  const auto sides = nb::steal<nb::tuple>(PySequence_Tuple(v.object().ptr()));
  if (sides.size() != 2) v.refuse("(left, right)");
  c.window = true;
  c.params.mask.window_left = v.at("window[0]", sides[0]).integer<int32_t>();
  c.params.mask.window_right = v.at("window[1]", sides[1]).integer<int32_t>();
}

void set_return_scores(AttentionCall& c, const Value& v) {
  static constexpr std::pair<const char*, ScoresStage> kStages[] = {
      {"scaled", ScoresStage::kScaled},
      {"capped", ScoresStage::kCapped},
      {"masked", ScoresStage::kMasked}};
  c.return_scores = true;
  if (v.is_bool())
    c.return_scores = v.boolean();  // True: masked
  else
    c.params.scores_stage = v.one_of(kStages);
}

void set_diagonal(AttentionCall& c, const Value& v) {
  static constexpr std::pair<const char*, Diagonal> kDiagonals[] = {
      {"bottom_right", Diagonal::kBottomRight}, {"top_left", Diagonal::kTopLeft}};
  c.params.mask.diagonal = v.one_of(kDiagonals);
}

void set_mask_with_bias(AttentionCall& c, const Value& v) {
  static constexpr std::pair<const char*, MaskWithBias> kMeanings[] = {
      {"both", MaskWithBias::kBoth}, {"bias_only", MaskWithBias::kBiasOnly}};
  c.params.mask_with_bias = v.one_of(kMeanings);
}

void set_ring_transport(AttentionCall& c, const Value& v) {
  RingTransport* transport = nullptr;
  if (!nb::try_cast(v.object(), transport) || transport == nullptr)
    v.wrong_type("a RingTransport; say InProcessRing(ranks).transport(rank)");
  c.params.ring_transport = transport;
}

// One dtype for both caches, or (that of k, that of v).
void set_kv_dtype(AttentionCall& c, const Value& v) {
  if (!PyTuple_Check(v.object().ptr()) && !PyList_Check(v.object().ptr())) {
    c.cache_bytes = {v.bytes_dtype(), v.bytes_dtype()};
    return;
  }
  const auto both = nb::steal<nb::tuple>(PySequence_Tuple(v.object().ptr()));
  if (both.size() != 2) v.refuse("one dtype, or (that of k, that of v)");
  for (size_t i = 0; i < 2; ++i)
    if (!both[i].is_none())
      c.cache_bytes[i] = v.at(i == 0 ? "kv_dtype[0]" : "kv_dtype[1]", both[i]).bytes_dtype();
}

// Every keyword and the field that it sets; help and stubs are held to this table by a test.
constexpr Word<AttentionCall> kWords[] = {
    {"q", [](AttentionCall& c, const Value& v) { c.args.q = v.tensor(); }},
    {"k",
     [](AttentionCall& c, const Value& v) {
       c.args.k = c.tensors.cache("k", v.object(), c.writes_cache, c.cache_bytes[0]);
     }},
    {"v",
     [](AttentionCall& c, const Value& v) {
       c.args.v = c.tensors.cache("v", v.object(), c.writes_cache, c.cache_bytes[1]);
     }},

    {"causal", [](AttentionCall& c, const Value& v) { c.params.mask.causal = v.boolean(); }},
    {"diagonal", set_diagonal},
    {"softmax_scale",
     [](AttentionCall& c, const Value& v) {
       c.params.softmax_scale = static_cast<float>(v.real());
     }},
    {"softcap",
     [](AttentionCall& c, const Value& v) { c.params.softcap = static_cast<float>(v.real()); }},
    {"window_left",
     [](AttentionCall& c, const Value& v) {
       c.window_side = true, c.params.mask.window_left = v.integer<int32_t>();
     }},
    {"window_right",
     [](AttentionCall& c, const Value& v) {
       c.window_side = true, c.params.mask.window_right = v.integer<int32_t>();
     }},
    {"window", set_window},
    {"block_size",
     [](AttentionCall& c, const Value& v) { c.params.mask.block_size = v.integer<int32_t>(); }},
    {"block_causal", [](AttentionCall& c, const Value& v) { c.block_causal = v.boolean(); }},
    {"block_origin",
     [](AttentionCall& c, const Value& v) { c.params.mask.block_origin = v.index(); }},
    {"q_start", [](AttentionCall& c, const Value& v) { c.params.mask.q_start = v.index(); }},
    {"prefix_lens",
     [](AttentionCall& c, const Value& v) { c.params.mask.prefix_lens = v.index(); }},
    {"hole_starts",
     [](AttentionCall& c, const Value& v) { c.params.mask.hole_starts = v.index(); }},
    {"hole_ends", [](AttentionCall& c, const Value& v) { c.params.mask.hole_ends = v.index(); }},
    {"q_segment_ids",
     [](AttentionCall& c, const Value& v) { c.params.mask.q_segment_ids = v.index(); }},
    {"kv_segment_ids",
     [](AttentionCall& c, const Value& v) { c.params.mask.kv_segment_ids = v.index(); }},
    {"keep", [](AttentionCall& c, const Value& v) { c.params.mask.keep = v.tensor(); }},
    {"bias", [](AttentionCall& c, const Value& v) { c.params.bias = v.tensor(); }},
    {"alibi_slopes", [](AttentionCall& c, const Value& v) { c.params.alibi_slopes = v.tensor(); }},
    {"sinks", [](AttentionCall& c, const Value& v) { c.params.sinks = v.tensor(); }},
    {"mask_with_bias", set_mask_with_bias},
    {"init_bias", [](AttentionCall& c, const Value& v) { c.init_bias = nb::borrow(v.object()); }},
    {"deterministic",
     [](AttentionCall& c, const Value& v) { c.params.deterministic = v.boolean(); }},
    {"dropout_p",
     [](AttentionCall& c, const Value& v) { c.params.dropout_p = static_cast<float>(v.real()); }},
    {"dropout_seed",
     [](AttentionCall& c, const Value& v) { c.params.dropout_seed = v.integer<uint64_t>(); }},
    {"dropout_offset",
     [](AttentionCall& c, const Value& v) { c.params.dropout_offset = v.integer<uint64_t>(); }},
    {"cu_seqlens_q", [](AttentionCall& c, const Value& v) { c.args.seq.cu_seqlens_q = v.index(); }},
    {"cu_seqlens_k", [](AttentionCall& c, const Value& v) { c.args.seq.cu_seqlens_k = v.index(); }},
    {"seqused_q", [](AttentionCall& c, const Value& v) { c.args.seq.seqused_q = v.index(); }},
    {"seqused_k", [](AttentionCall& c, const Value& v) { c.args.seq.seqused_k = v.index(); }},
    {"max_seqlen_q",
     [](AttentionCall& c, const Value& v) { c.args.seq.max_seqlen_q = v.integer<int64_t>(); }},
    {"max_seqlen_k",
     [](AttentionCall& c, const Value& v) { c.args.seq.max_seqlen_k = v.integer<int64_t>(); }},
    {"allow_tf32", [](AttentionCall& c, const Value& v) { c.params.allow_tf32 = v.boolean(); }},
    {"out", [](AttentionCall& c, const Value& v) { c.args.out = v.output(c.out); }},
    {"out_dtype", [](AttentionCall& c, const Value& v) { c.out_dtype = v.dtype(); }},
    {"return_lse", [](AttentionCall& c, const Value& v) { c.return_lse = v.boolean(); }},
    {"return_weights", [](AttentionCall& c, const Value& v) { c.return_weights = v.boolean(); }},
    {"return_scores", set_return_scores},
    {"weights_dtype", [](AttentionCall& c, const Value& v) { c.weights_dtype = v.dtype(); }},
    // Words of operators beside vanilla and flash, which refuse them by name.
    {"block_mask", [](AttentionCall& c, const Value& v) { c.params.mask.block_mask = v.tensor(); }},
    {"block_mask_q",
     [](AttentionCall& c, const Value& v) { c.params.mask.block_mask_q = v.integer<int32_t>(); }},
    {"block_mask_k",
     [](AttentionCall& c, const Value& v) { c.params.mask.block_mask_k = v.integer<int32_t>(); }},
    {"block_table", [](AttentionCall& c, const Value& v) { c.args.seq.block_table = v.index(); }},
    {"kv_indptr", [](AttentionCall& c, const Value& v) { c.args.seq.kv_indptr = v.index(); }},
    {"kv_indices", [](AttentionCall& c, const Value& v) { c.args.seq.kv_indices = v.index(); }},
    {"kv_last_page_len",
     [](AttentionCall& c, const Value& v) { c.args.seq.kv_last_page_len = v.index(); }},
    {"context_lens", [](AttentionCall& c, const Value& v) { c.args.seq.context_lens = v.index(); }},
    {"slot_mapping", [](AttentionCall& c, const Value& v) { c.args.seq.slot_mapping = v.index(); }},
    {"start", [](AttentionCall& c, const Value& v) { c.args.seq.start = v.index(); }},
    {"end", [](AttentionCall& c, const Value& v) { c.args.seq.end = v.index(); }},
    {"k_new", [](AttentionCall& c, const Value& v) { c.args.k_new = v.tensor(); }},
    {"v_new", [](AttentionCall& c, const Value& v) { c.args.v_new = v.tensor(); }},
    {"k_descale",
     [](AttentionCall& c, const Value& v) { c.args.k_descale = v.scalar_or_tensor(); }},
    {"v_descale",
     [](AttentionCall& c, const Value& v) { c.args.v_descale = v.scalar_or_tensor(); }},
    {"kv_dtype", set_kv_dtype},
    {"ring_transport", set_ring_transport},
    {"ring_placement",
     [](AttentionCall& c,
        const Value& v) { c.params.ring_placement = ring_placement(c.tensors.where(), v.text()); }},
};

// What Python's second spellings of a word say about each other.
void check_spellings(AttentionCall& call) {
  if (call.block_causal && call.params.mask.block_size == 0)
    invalid(call, "block_causal is True and block_size is absent, expected block_size with it");
  if (call.window && call.window_side)
    invalid(call,
            "window is given with window_left or window_right, expected one of the two spellings");
  if (call.out.is_valid() && call.out_dtype && *call.out_dtype != call.args.out.dtype)
    invalid(call, std::string("out_dtype is ") + name(*call.out_dtype) + " and out is " +
                      name(call.args.out.dtype) +
                      ", expected one of the two words or the same dtype");
  if (call.weights_dtype && !call.return_weights)
    invalid(call, "weights_dtype is given, expected return_weights=True with it");
}

// Results that only some operators have.
void check_results(const AttentionCall& call) {
  const auto refuse = [&](bool said, const char* word, const char* owner) {
    if (said)
      throw Error(ErrorCode::kUnsupported,
                  call.tensors.where() + ": " + word + " is given, expected it only with " + owner);
  };
  const bool appends = call.op_id == OpId::kAppend;
  refuse(appends && call.return_lse, "return_lse", "operators that have a result");
  refuse(appends && call.out_dtype, "out_dtype", "operators that have a result");
  // flash has words of its own for these two
  const bool others = call.op_id != OpId::kVanilla && call.op_id != OpId::kFlash;
  refuse(others && call.return_weights, "return_weights", "vanilla; use that operator");
  refuse(others && call.return_scores, "return_scores", "vanilla; use that operator");
}

// Called here rather than by the operator, which runs without the interpreter's lock.
void make_bias(AttentionCall& call) {
  if (!call.init_bias.is_valid()) return;
  if (PyCallable_Check(call.init_bias.ptr()) == 0)
    throw nb::type_error(
        (call.tensors.where() + ": init_bias is " + shown(call.init_bias) + ", expected a callable")
            .c_str());
  if (call.params.bias || call.params.mask.keep) return;
  call.params.bias = call.tensors.input("bias", call.init_bias());
}

}  // namespace

std::span<const Word<AttentionCall>> AttentionCall::words() { return kWords; }

void AttentionCall::refused(const char* why) const {
  if (params.ring_transport != nullptr) params.ring_transport->abort(why);
}

void AttentionCall::read(const nb::dict& said) {
  // First whom a refusal concerns, and what decides how k and v are taken.
  if (const nb::object transport = said_with(said, "ring_transport"))
    set_ring_transport(*this, Value(*this, "ring_transport", transport));
  const bool appends = op_id == OpId::kAppend;
  writes_cache = appends || (op_id == OpId::kPaged && said_with(said, "slot_mapping").is_valid());
  if (const nb::object bytes = said_with(said, "kv_dtype"))
    set_kv_dtype(*this, Value(*this, "kv_dtype", bytes));
  read_into(*this, words(), said);
  for (const char* word : {"q", "k", "v"}) {
    if (appends && *word == 'q') continue;
    if (!said.contains(word)) missing_word(*this, word);
    if (nb::handle(said[word]).is_none()) tensors.input(word, nb::none());  // refused in its words
  }
  like = said_with(said, appends ? "k" : "q");
  check_spellings(*this);
  check_results(*this);
  make_bias(*this);
}

}  // namespace attend::python
