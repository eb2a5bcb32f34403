#include "tools/attend/call_flags.h"

#include <algorithm>

#include "attend/error.h"

namespace attend::cli {

#define ATTEND_WORD(name, kind, path, help)        \
  Word {                                           \
    name, WordKind::kind,                          \
        [](AttentionArgs& a, AttentionParams& p) { \
          (void)a, (void)p;                        \
          return &path;                            \
        },                                         \
        help                                       \
  }

const std::vector<Word>& words() {
  static const std::vector<Word> list = {
      ATTEND_WORD("q", kValues, a.q,
                  "[batch, seqlen_q, heads, head_dim], ragged [total_q, heads, head_dim]"),
      ATTEND_WORD("k", kValues, a.k, "[batch, seqlen_k, kv_heads, head_dim]"),
      ATTEND_WORD("v", kValues, a.v, "[batch, seqlen_k, kv_heads, v_dim]"),
      ATTEND_WORD("keep", kBroadcast, p.mask.keep,
                  "bool, right-aligned to [batch, heads, seqlen_q, seqlen_k]"),
      ATTEND_WORD("bias", kBroadcast, p.bias, "shaped like keep; -inf hides"),
      ATTEND_WORD("alibi_slopes", kFloats, p.alibi_slopes, "f32 [heads] or [batch, heads]"),
      ATTEND_WORD("sinks", kFloats, p.sinks, "f32 [heads] or [heads, n]: logits without a value"),
      ATTEND_WORD("q_segment_ids", kSegments, p.mask.q_segment_ids,
                  "[batch, seqlen_q]; id < 0 is padding"),
      ATTEND_WORD("kv_segment_ids", kSegments, p.mask.kv_segment_ids, "[batch, seqlen_k]"),
      ATTEND_WORD("prefix_lens", kIndex, p.mask.prefix_lens,
                  "[batch]: rows before it see all of it"),
      ATTEND_WORD("hole_starts", kIndex, p.mask.hole_starts,
                  "[batch]: first key hidden from every row"),
      ATTEND_WORD("hole_ends", kIndex, p.mask.hole_ends, "[batch]: first key after the hole"),
      ATTEND_WORD("q_start", kIndex, p.mask.q_start, "[batch]: position of row 0 on the key axis"),
      ATTEND_WORD("block_origin", kIndex, p.mask.block_origin, "[batch]: where blocks begin"),
      ATTEND_WORD("cu_seqlens_q", kOffsets, a.seq.cu_seqlens_q, "[batch + 1]: ragged rows"),
      ATTEND_WORD("cu_seqlens_k", kOffsets, a.seq.cu_seqlens_k, "[batch + 1]: ragged keys"),
      ATTEND_WORD("seqused_q", kIndex, a.seq.seqused_q, "[batch]: rows in use"),
      ATTEND_WORD("seqused_k", kIndex, a.seq.seqused_k, "[batch]: keys in use"),
      ATTEND_WORD("block_mask", kBroadcast, p.mask.block_mask,
                  "bool, [batch, heads, q_tiles, k_tiles] (splash)"),
      ATTEND_WORD("block_table", kValues, a.seq.block_table, "[batch, max_pages] (paged)"),
      ATTEND_WORD("kv_indptr", kOffsets, a.seq.kv_indptr, "[batch + 1] (paged)"),
      ATTEND_WORD("kv_indices", kOffsets, a.seq.kv_indices, "page ids (paged)"),
      ATTEND_WORD("kv_last_page_len", kIndex, a.seq.kv_last_page_len, "[batch] (paged)"),
      ATTEND_WORD("context_lens", kIndex, a.seq.context_lens, "[batch] (paged)"),
      ATTEND_WORD("slot_mapping", kOffsets, a.seq.slot_mapping, "[tokens] (paged, append)"),
      ATTEND_WORD("start", kIndex, a.seq.start, "[batch] (decode)"),
      ATTEND_WORD("end", kIndex, a.seq.end, "[batch] (decode)"),
      ATTEND_WORD("k_new", kValues, a.k_new, "[tokens, kv_heads, head_dim] (paged)"),
      ATTEND_WORD("v_new", kValues, a.v_new, "[tokens, kv_heads, v_dim] (paged)"),
      ATTEND_WORD("k_descale", kFloats, a.k_descale, "of fp8 and int8 caches"),
      ATTEND_WORD("v_descale", kFloats, a.v_descale, "of fp8 and int8 caches"),
  };
  return list;
}
#undef ATTEND_WORD

namespace {

std::string flag(std::string word) {
  std::replace(word.begin(), word.end(), '_', '-');
  return "--" + word;
}

// What `attend mask` can draw.
bool drawn(const Word& word) {
  static const char* const kDrawn[] = {
      "keep",    "q_segment_ids", "kv_segment_ids", "prefix_lens",  "hole_starts", "hole_ends",
      "q_start", "block_origin",  "cu_seqlens_q",   "cu_seqlens_k", "seqused_q",   "seqused_k"};
  return std::any_of(std::begin(kDrawn), std::end(kDrawn),
                     [&](const char* name) { return std::string_view(name) == word.name; });
}

void add_mask_flags(CLI::App& app, AttentionParams& p) {
  const auto* group = "Mask";
  app.add_flag("--causal", p.mask.causal, "a row sees the keys up to its position")->group(group);
  app.add_option_function<std::string>(
         "--diagonal",
         [&p](const std::string& word) {
           p.mask.diagonal = word == "top_left" ? Diagonal::kTopLeft : Diagonal::kBottomRight;
         },
         "where row positions begin; sdpa: top_left, others: bottom_right")
      ->check(CLI::IsMember({"bottom_right", "top_left"}))
      ->group(group);
  app.add_option("--block-size", p.mask.block_size, "block-causal in place of causal")
      ->group(group);
  app.add_option("--window-left", p.mask.window_left, "keys before the row's own, -1 = unlimited")
      ->group(group);
  app.add_option("--window-right", p.mask.window_right, "keys after the row's own, -1 = unlimited")
      ->group(group);
}

void add_score_flags(CLI::App& app, CallFlags& flags) {
  const auto* group = "Score";
  AttentionParams& p = flags.params;
  app.add_option_function<float>(
         "--softmax-scale", [&p](const float& x) { p.softmax_scale = x; },
         "unset = 1/sqrt(head_dim)")
      ->group(group);
  app.add_option("--softcap", p.softcap, "softcap * tanh(s / softcap); 0 = off")->group(group);
  app.add_option_function<std::string>(
         "--mask-with-bias",
         [&p](const std::string& word) {
           p.mask_with_bias = word == "both" ? MaskWithBias::kBoth : MaskWithBias::kBiasOnly;
         },
         "what keep and bias mean together")
      ->check(CLI::IsMember({"both", "bias_only"}))
      ->group(group);
  app.add_option("--dropout-p", p.dropout_p, "with --seed and --no-deterministic")->group(group);
  app.add_option_function<uint64_t>(
         "--seed,--dropout-seed", [&p](const uint64_t& x) { p.dropout_seed = x; },
         "Philox key of dropout")
      ->group(group);
  app.add_option("--dropout-offset", p.dropout_offset, "last word of the Philox counter")
      ->group(group);
  app.add_flag("!--no-deterministic", p.deterministic, "lets dropout run")->group(group);
  app.add_flag("--allow-tf32", p.allow_tf32, "f32 products may be rounded to TF32")->group(group);
}

}  // namespace

void add_call_flags(CLI::App& app, CallFlags& flags, bool files) {
  if (files) {
    app.add_option("--prefix", flags.prefix, "of the tensors' names in --input: layer0.")
        ->group("Tensors");
    app.add_option("--dtype", flags.dtype, "convert q, k, v to it; also what V2 of .npy is")
        ->check(CLI::IsMember({"f32", "f16", "bf16"}))
        ->group("Tensors");
    app.add_option("--out-dtype", flags.out_dtype, "of out: that of q, or f32")
        ->check(CLI::IsMember({"f32", "f16", "bf16"}))
        ->group("Tensors");
    app.add_option("--max-seqlen-q", flags.max_seqlen_q, "ragged: upper bound, 0 = not told")
        ->group("Tensors");
    app.add_option("--max-seqlen-k", flags.max_seqlen_k, "ragged: upper bound, 0 = not told")
        ->group("Tensors");
    add_score_flags(app, flags);
    app.add_option("--block-mask-q", flags.params.mask.block_mask_q,
                   "rows of one block_mask entry (splash)")
        ->group("Mask");
    app.add_option("--block-mask-k", flags.params.mask.block_mask_k,
                   "keys of one block_mask entry (splash)")
        ->group("Mask");
  }
  add_mask_flags(app, flags.params);
  for (const Word& word : words()) {
    if (!files && !drawn(word)) continue;
    const bool numbers = word.kind != WordKind::kValues && word.kind != WordKind::kBroadcast;
    const std::string name = word.name;
    app.add_option_function<std::string>(
           flag(name), [&flags, name](const std::string& value) { flags.tensors[name] = value; },
           std::string(word.help))
        ->type_name(numbers ? "FILE[:NAME]|N,N.." : "FILE[:NAME]")
        ->group(drawn(word) ? "Mask tensors" : "Tensors");
  }
}

}  // namespace attend::cli
