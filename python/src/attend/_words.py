"""The keywords of the contract with their defaults and meanings, from which signatures and help are made."""

import inspect

_MASK = {
    "causal": (False, "keep keys j <= p, where row i stands at p = i + d"),
    "diagonal": (None, "'bottom_right': d = seqlen_k - seqlen_q (default; sdpa: top_left); 'top_left': d = 0"),
    "window_left": (-1, "keep j >= p - window_left, the own position not counted; -1 = unlimited"),
    "window_right": (-1, "keep j <= p + window_right; -1 = unlimited"),
    "window": (None, "(left, right), both of the above in one word"),
    "block_size": (0, "> 0: block-causal in place of causal, blocks of so many positions; 0 = off"),
    "block_causal": (False, "True may be said along with block_size; without it an error"),
    "block_origin": (None, "int [batch]: where block 0 begins; with block_size"),
    "q_start": (None, "int [batch], may be negative: d, in place of diagonal"),
    "prefix_lens": (None, "int [batch]: rows p < prefix see j < prefix in place of the (block-)causal rule"),
    "hole_starts": (None, "int [batch]: keys hole_start <= j < hole_end are hidden from every row"),
    "hole_ends": (None, "int [batch]"),
    "q_segment_ids": (None, "int [batch, seqlen_q] or [total_q]: rows see keys of their own id; id < 0 is padding"),
    "kv_segment_ids": (None, "int [batch, seqlen_k] or [total_k]"),
    "keep": (None, "bool, right-aligned to [batch, heads, seqlen_q, seqlen_k], each dim 1 or full; True = keep"),
}
_BLOCKS = {
    "block_mask": (None, "bool, right-aligned to [batch, heads, q_tiles, k_tiles]: which tiles are seen at all"),
    "block_mask_q": (0, "rows of a tile of block_mask; with it"),
    "block_mask_k": (0, "keys of a tile of block_mask; with it"),
}
_SCORE = {
    "softmax_scale": (None, "factor of q.k; None = 1 / sqrt(head_dim)"),
    "softcap": (0.0, "> 0: s = softcap * tanh(s / softcap); 0 = off"),
    "bias": (None, "float32, float16 or bfloat16, shaped like keep, added to the scaled scores; -inf is a mask"),
    "alibi_slopes": (None, "float32 [heads] or [batch, heads]: s -= slope * |p - j|"),
    "sinks": (None, "float32 [heads] or [heads, n]: logits that have no value row"),
    "mask_with_bias": (None, "'both' or 'bias_only', needed when keep and bias are both given (sdpa: both)"),
    "init_bias": (None, "callable without arguments that makes bias; called only if keep and bias are absent"),
    "allow_tf32": (False, "float32 products may be rounded to TF32 (GPUs; native never does)"),
}
_DROPOUT = {
    "deterministic": (True, "True switches dropout off"),
    "dropout_p": (0.0, "probability to drop a weight, 0 <= p < 1 (vanilla, ring)"),
    "dropout_seed": (None, "int of 64 bits, the Philox key; needed when dropout runs"),
    "dropout_offset": (0, "int; its low 32 bits are the last word of the Philox counter"),
}
_ROWS = {
    "seqused_q": (None, "int [batch]: rows in use; later rows are neither computed nor written"),
    "seqused_k": (None, "int [batch]: keys in use"),
    "max_seqlen_q": (0, "upper bound of the lengths; 0 = not told"),
    "max_seqlen_k": (0, "upper bound of the lengths; 0 = not told"),
}
_RAGGED = {
    "cu_seqlens_q": (None, "int [batch + 1]: ragged rows, q is [total_q, heads, head_dim]"),
    "cu_seqlens_k": (None, "int [batch + 1]: ragged keys, k and v are [total_k, kv_heads, dim]"),
}
_LAYOUT = {**_RAGGED, **_ROWS}
_NEW = {
    "k_new": (None, "[tokens, kv_heads, head_dim]: the call's own rows, one for each row of q in use"),
    "v_new": (None, "[tokens, kv_heads, v_dim], likewise"),
    "slot_mapping": (None, "int [tokens]: page * page_size + offset, where own rows are stored; negative = not kept"),
}
_PAGES = {
    "block_table": (None, "int [batch, max_pages], -1 padded: the pages of each request, or the three below"),
    "kv_indptr": (None, "int [batch + 1]: where each request's pages begin in kv_indices"),
    "kv_indices": (None, "int [kv_indptr[batch]]: page ids"),
    "kv_last_page_len": (None, "int [batch]: keys in the last page, 1 to page_size; 0 where there is no page"),
    "context_lens": (None, "int [batch]: keys in the pages before the call's own rows"),
    **_NEW,
}
_CACHE = {
    "k_descale": (None, "8-bit caches, value = stored * descale: a number, or float32 [kv_heads] or [batch, kv_heads]"),
    "v_descale": (None, "likewise"),
    "kv_dtype": (None, "what uint8 caches hold: 'f8_e4m3', 'f8_e5m2', 'i8' or the dtype of that name; or (k's, v's)"),
}
_RANGE = {
    "start": (None, "int [batch]: keys start <= j < end are seen; 0 where absent"),
    "end": (None, "int [batch]: the row stands at end - 1; seqused_k or seqlen_k where absent"),
}
_RING = {
    "ring_transport": (None, "this rank's InProcessRing(ranks).transport(rank); None = all rows are here"),
    "ring_placement": ("contiguous", "'contiguous' or 'zigzag': which rows a rank holds"),
}
_OUT = {
    "out": (None, "where the result goes, any strides, memory of its own; it is then what is returned"),
    "out_dtype": (None, "'float32' or the dtype of q (default)"),
    "return_lse": (False, "float32 [batch, heads, seqlen_q] or [heads, total_q], natural log, sinks included"),
}
_SCORES_OUT = {
    "return_weights": (False, "[batch, heads, seqlen_q, seqlen_k], what multiplied v, after dropout (vanilla)"),
    "return_scores": (None, "'scaled', 'capped' or 'masked': float32 scores at that step (vanilla)"),
    "weights_dtype": (None, "'float32' (default) or the dtype of q; with return_weights"),
}
_RUN = {
    "return_kernel": (False, "the name of the kernel that ran"),
    "kernel": (None, "run this row of kernels() and no other"),
    "device": (None, "'native', 'cuda' or 'rocm': run there or raise; None = where the tensors are"),
    "stream": (None, "CUDA or HIP stream, as an int or an object with .cuda_stream or .ptr; None = PyTorch's current one for its tensors"),
    "check_indices": (True, "GPUs: check index contents and wait for the result; False while PyTorch captures a graph"),
}
_RULE = {
    "g": (None, "float32 [.., heads], or per channel [.., heads, k_dim]: natural log of the decay, <= 0"),
    "beta": (None, "float32 [.., heads], 0 to 2"),
    "alpha": (None, "float32, shaped like g: the decay itself, over 0 and at most 1; in place of g"),
    "softmax_scale": (None, "factor of the output; None = 1 / sqrt(k_dim)"),
    "normalize_qk": (False, "rows of q and k are first divided by (their L2 norm + l2_eps)"),
    "l2_eps": (1e-6, "with normalize_qk"),
    "chunk_size": (64, "tokens of a chunk of prefill"),
    "cu_seqlens": (None, "int [batch + 1]: ragged, tensors are [total, ...] in place of [batch, seqlen, ...]"),
}
_STATE = {
    "state": (None, "float32 [batch or slots, heads, v_dim, k_dim], any strides; None = begins with zeros"),
    "in_place": (False, "True: state is written where it lies, and is the final_state returned"),
    "final_state": (None, "where the final state goes, shaped like state; None and not in_place = a new array"),
    "state_indices": (None, "int [batch]: slot of each sequence in state; needs in_place or final_state"),
    "padding_slot": (-1, "a slot that padded sequences share: their out is 0, the slot stays; -1 = none"),
}
_LAYER = {
    "mixed_qkv": (None, "[.., channels], in place of q, k, v: they come of a causal depthwise convolution of it"),
    "conv_weight": (None, "[channels, taps]; the last tap multiplies the newest token"),
    "conv_bias": (None, "[channels]"),
    "conv_state": (None, "[batch or slots, channels, taps - 1], oldest first; read and written in place; None = zeros, not kept"),
    "k_heads": (0, "key heads of mixed_qkv; 0 = what k_dim of the state leaves"),
    "v_heads": (0, "value heads of mixed_qkv; 0 = as many as out has"),
    "conv_silu": (True, "SiLU after the convolution"),
    "a": (None, "[.., heads]: g = -exp(a_log) * softplus(a + dt_bias), in place of g"),
    "b": (None, "[.., heads]: beta = sigmoid(b), in place of beta"),
    "a_log": (None, "float32 [heads]"),
    "dt_bias": (None, "float32 [heads]"),
    "z": (None, "[.., heads, v_dim]: out passes a gated RMSNorm, norm(out) * norm_weight * silu(z)"),
    "norm_weight": (None, "[v_dim]"),
    "norm_eps": (1e-6, "of the gated RMSNorm"),
}

_QKV = """\
    q: [batch, seqlen_q, heads, head_dim]; ragged [total_q, heads, head_dim]
    k: [batch, seqlen_k, kv_heads, head_dim]; ragged [total_k, kv_heads, head_dim]; heads % kv_heads == 0
    v: [batch, seqlen_k, kv_heads, v_dim], likewise
"""
_KINDS = """
    float32, float16 or bfloat16, any strides, taken where they lie: NumPy arrays (with the types of ml_dtypes),
    PyTorch tensors, and whatever has __dlpack__. Index words are int32 or int64 tensors or lists of int."""
_EIGHT_BITS = """
    Caches may also be float8_e4m3fn, float8_e5m2 or int8 (ml_dtypes, PyTorch, or uint8 with kv_dtype), k and v
    each their own, whatever q is."""
_RETURNS = """\
Returns out, [batch, seqlen_q, heads, v_dim], of the kind and dtype of q; a Result (out, lse, weights, scores,
kernel, note) if any return_ word is said. A row that sees no key gives 0 and lse -inf."""
_RAISES = """
Raises ValueError, NotImplementedError, IndexError, MemoryError or RuntimeError, all of them attend.Error, with
what was got, what was expected and what to do; TypeError for keywords that do not exist and values that are no
tensors. Words of the contract that this operator does not take are refused by name. Nothing is written when a
call is refused."""

_COMMON = {"mask": _MASK, "score": _SCORE, "dropout": _DROPOUT, "layout": _LAYOUT}
_ENDS = {"results": _OUT, "running": _RUN}


class _Op:
    """How one operator is told: its tensors by position, what they are, its keywords by group, its results."""

    def __init__(self, groups, tensors=("q", "k", "v"), told=_QKV + _KINDS, returns=_RETURNS, optional=()):
        self.groups, self.tensors, self.told, self.returns, self.optional = groups, tensors, told, returns, optional

    @property
    def words(self):
        return {word: told for group in self.groups.values() for word, told in group.items()}


_FLASH = _Op({**_COMMON, "results": {**_OUT, **_SCORES_OUT}, "running": _RUN})
OPS = {
    "vanilla": _FLASH,
    "flash": _FLASH,
    "sdpa": _Op({**_COMMON, **_ENDS}),
    "ring": _Op({**_COMMON, "ring": _RING, **_ENDS}),
    "splash": _Op({**_COMMON, "blocks": _BLOCKS, **_ENDS}),
    "paged": _Op(
        {**_COMMON, "pages": _PAGES, "8-bit caches": _CACHE, **_ENDS},
        told="""\
    q: [batch, seqlen_q, heads, head_dim]; ragged [total_q, heads, head_dim]
    k: pages [pages, page_size, kv_heads, head_dim], by strides in any order
    v: pages [pages, page_size, kv_heads, v_dim]
"""
        + _KINDS
        + _EIGHT_BITS
        + """
    With slot_mapping the rows of k_new and v_new are stored into k and v, which then must be writable.""",
    ),
    "decode": _Op(
        {
            "mask": _MASK,
            "range": _RANGE,
            "score": _SCORE,
            "dropout": _DROPOUT,
            "layout": _ROWS,
            "8-bit caches": _CACHE,
            **_ENDS,
        },
        told="""\
    q: [batch, 1, heads, head_dim]
    k: [batch, seqlen_k, kv_heads, head_dim]
    v: [batch, seqlen_k, kv_heads, v_dim]
"""
        + _KINDS
        + _EIGHT_BITS,
    ),
    "append": _Op(
        {"8-bit caches": _CACHE, "running": _RUN},
        tensors=("k", "v", "k_new", "v_new", "slot_mapping"),
        told="""\
    k: pages [pages, page_size, kv_heads, head_dim], written where they lie
    v: pages [pages, page_size, kv_heads, v_dim], likewise
    k_new: [tokens, kv_heads, head_dim], float32, float16 or bfloat16
    v_new: [tokens, kv_heads, v_dim]
    slot_mapping: int [tokens]: page * page_size + offset; negative = the row is not kept

    The same dtype copies bits; other floats round to nearest even; 8-bit caches (float8_e4m3fn, float8_e5m2,
    int8, or uint8 with kv_dtype) divide by the descale, round to nearest even and saturate.
    k and v must be writable memory: an array that a library copied on the way in is refused.""",
        returns="Returns None, or the name of the kernel that ran if return_kernel is said.",
    ),
    "gdn": _Op(
        {
            "rule": _RULE,
            "state": _STATE,
            "layer": _LAYER,
            "results": {
                "out": (None, "where the result goes, like v; it is then what is returned"),
                "out_dtype": (None, "'float32' or the dtype of v (default)"),
            },
            "running": {**_RUN, "return_kernel": (False, "nothing more: the result always has .kernel")},
        },
        optional=("q", "k", "v"),
        told="""\
    q: [batch, seqlen, k_heads, k_dim]; ragged [total, k_heads, k_dim]
    k: likewise
    v: [batch, seqlen, v_heads, v_dim]

    heads is the larger of k_heads and v_heads, a multiple of the other; each has a state of its own.
    One token, of one head:  S = exp(g) S;  d = beta (v - S k);  S = S + d k^T;  out = S q * softmax_scale
"""
        + _KINDS,
        returns="""\
Returns out, [batch, seqlen, heads, v_dim], and final_state (a GdnResult, which also has .kernel). state is left as
it was and final_state is a new array, unless in_place=True or final_state= says where it goes; a pool
(state_indices) is never copied unasked. With mixed_qkv and neither state nor final_state, final_state is None.
A sequence without tokens hands its state on bit for bit.""",
    ),
    "merge": _Op(
        {
            "results": {
                "out": (None, "where the joined result goes; may be out_a or out_b itself"),
                "lse": (None, "where its lse goes; may be lse_a or lse_b itself"),
                "out_dtype": (None, "'float32' or the dtype of out_a (default)"),
            },
            "running": {**_RUN, "return_kernel": (False, "nothing more: the result always has .kernel")},
        },
        tensors=("out_a", "lse_a", "out_b", "lse_b"),
        told="""\
    out_a: [batch, seqlen_q, heads, v_dim] or [total_q, heads, v_dim]: attention over some of the keys
    lse_a: float32 [batch, heads, seqlen_q] or [heads, total_q], natural log; -inf marks an empty part
    out_b, lse_b: likewise, over the other keys
"""
        + _KINDS,
        returns="Returns out, lse (a MergeResult, which also has .kernel).",
    ),
}
# What the functions that take an operator's name list: every word of the attention operators.
ANY = _Op(
    {
        **_COMMON,
        "pages (paged)": _PAGES,
        "range (decode)": _RANGE,
        "blocks (splash)": _BLOCKS,
        "ring": _RING,
        "8-bit caches (paged, decode, append)": _CACHE,
        "results": {**_OUT, **_SCORES_OUT},
        "running": _RUN,
    },
    told=_QKV
    + _KINDS
    + """
    Other operators' tensors by position: append k, v, k_new, v_new, slot_mapping; gdn q, k, v;
    merge out_a, lse_a, out_b, lse_b. All tensors may also be said by name; see each operator's own help.""",
)


def describe(function, purpose, op=None, returns=None):
    """Gives a function of (tensors, **words) the signature and the help of an operator's keywords."""
    kind = inspect.Parameter
    if op is None:  # (op, *tensors, **words)
        how = ANY
        named = [kind("op", kind.POSITIONAL_ONLY), kind("tensors", kind.VAR_POSITIONAL)]
    else:
        how = OPS[op]
        absent = {"default": None}
        named = [kind(name, kind.POSITIONAL_OR_KEYWORD, **(absent if name in how.optional else {})) for name in how.tensors]
    words = [kind(word, kind.KEYWORD_ONLY, default=default) for word, (default, _) in how.words.items()]
    function.__signature__ = inspect.Signature(named + words)
    lines = [purpose, "", how.told]
    for title, group in how.groups.items():
        lines += ["", f"Keywords, {title}:", ""]
        lines += [f"    {word}: {told}" for word, (_, told) in group.items()]
    function.__doc__ = "\n".join([*lines, "", returns or how.returns, _RAISES])
    return function
