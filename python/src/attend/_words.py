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
_SCORE = {
    "softmax_scale": (None, "factor of q.k; None = 1 / sqrt(head_dim)"),
    "softcap": (0.0, "> 0: s = softcap * tanh(s / softcap); 0 = off"),
    "bias": (None, "float32, float16 or bfloat16, shaped like keep, added to the scaled scores; -inf is a mask"),
    "alibi_slopes": (None, "float32 [heads] or [batch, heads]: s -= slope * |p - j|"),
    "sinks": (None, "float32 [heads] or [heads, n]: logits that have no value row"),
    "mask_with_bias": (None, "'both' or 'bias_only', needed when keep and bias are both given"),
    "init_bias": (None, "callable without arguments that makes bias; called only if keep and bias are absent"),
    "allow_tf32": (False, "float32 products may be rounded to TF32 (GPUs; native never does)"),
}
_DROPOUT = {
    "deterministic": (True, "True switches dropout off"),
    "dropout_p": (0.0, "probability to drop a weight, 0 <= p < 1 (vanilla)"),
    "dropout_seed": (None, "int of 64 bits, the Philox key; needed when dropout runs"),
    "dropout_offset": (0, "int; its low 32 bits are the last word of the Philox counter"),
}
_LAYOUT = {
    "cu_seqlens_q": (None, "int [batch + 1]: ragged rows, q is [total_q, heads, head_dim]"),
    "cu_seqlens_k": (None, "int [batch + 1]: ragged keys, k and v are [total_k, kv_heads, dim]"),
    "seqused_q": (None, "int [batch]: rows in use; later rows are neither computed nor written"),
    "seqused_k": (None, "int [batch]: keys in use"),
    "max_seqlen_q": (0, "upper bound of the lengths; 0 = not told"),
    "max_seqlen_k": (0, "upper bound of the lengths; 0 = not told"),
}
_OUT = {
    "out": (None, "where the result goes, any strides, memory of its own; it is then what is returned"),
    "out_dtype": (None, "'float32' or the dtype of q (default)"),
    "return_lse": (False, "float32 [batch, heads, seqlen_q] or [heads, total_q], natural log, sinks included"),
    "return_weights": (False, "[batch, heads, seqlen_q, seqlen_k], what multiplied v, after dropout (vanilla)"),
    "return_scores": (None, "'scaled', 'capped' or 'masked': float32 scores at that step (vanilla)"),
    "return_kernel": (False, "the name of the kernel that ran"),
    "weights_dtype": (None, "'float32' (default) or the dtype of q; with return_weights"),
}
_RUN = {
    "kernel": (None, "run this row of kernels() and no other"),
    "device": (None, "'native', 'cuda' or 'rocm': run there or raise; None = where the tensors are"),
    "stream": (None, "CUDA or HIP stream, as an int or an object with .cuda_stream or .ptr"),
    "check_indices": (True, "GPUs: check index contents and wait for the result; False under graph capture"),
}
GROUPS = {"mask": _MASK, "score": _SCORE, "dropout": _DROPOUT, "layout": _LAYOUT, "results": _OUT, "running": _RUN}
WORDS = {word: told for group in GROUPS.values() for word, told in group.items()}

_TENSORS = """\
    q: [batch, seqlen_q, heads, head_dim]; ragged [total_q, heads, head_dim]
    k: [batch, seqlen_k, kv_heads, head_dim]; ragged [total_k, kv_heads, head_dim]; heads % kv_heads == 0
    v: [batch, seqlen_k, kv_heads, v_dim], likewise

    float32, float16 or bfloat16, any strides, taken where they lie: NumPy arrays (with the types of ml_dtypes),
    PyTorch tensors, and whatever has __dlpack__. Index words are int32 or int64 tensors or lists of int."""

_RETURNS = """\
Returns out, [batch, seqlen_q, heads, v_dim], of the kind and dtype of q; a Result (out, lse, weights, scores,
kernel) if any return_ word is said. A row that sees no key gives 0 and lse -inf.

Raises ValueError, NotImplementedError, IndexError, MemoryError or RuntimeError, all of them attend.Error, with
what was got, what was expected and what to do; TypeError for keywords that do not exist and values that are no
tensors. Nothing is written when a call is refused."""


def describe(function, purpose, queries=()):
    """Gives a function of (..., q, k, v, **words) the signature and the help of its keywords."""
    kind = inspect.Parameter
    named = [kind(name, kind.POSITIONAL_OR_KEYWORD) for name in (*queries, "q", "k", "v")]
    words = [kind(word, kind.KEYWORD_ONLY, default=default) for word, (default, _) in WORDS.items()]
    function.__signature__ = inspect.Signature(named + words)
    lines = [purpose, "", _TENSORS]
    for title, group in GROUPS.items():
        lines += ["", f"Keywords, {title}:", ""]
        lines += [f"    {word}: {told}" for word, (_, told) in group.items()]
    function.__doc__ = "\n".join([*lines, "", _RETURNS])
    return function
