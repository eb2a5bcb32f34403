"""Attention in NumPy, written from the contract alone and sharing nothing with the library.

`attention` computes in float64 what a call means; `judge` holds a result to the error rule of the contract: at most
twice the error of a plain float32 implementation that rounds its probabilities and its output.
"""

import hashlib
from types import SimpleNamespace

import ml_dtypes
import numpy as np

EPS = 2.0**-24
UNIT_ROUNDOFF = {np.dtype("f4"): 2.0**-24, np.dtype("f2"): 2.0**-11, np.dtype(ml_dtypes.bfloat16): 2.0**-8}
LEAST_NORMAL = {np.dtype("f4"): 2.0**-126, np.dtype("f2"): 2.0**-14, np.dtype(ml_dtypes.bfloat16): 2.0**-126}


def visible(rows, keys, b, w):
    """bool [rows, keys]: what sequence b's mask words, keep aside, let a row see."""
    j = np.arange(keys)[None, :]
    d = int(w["q_start"][b]) if "q_start" in w else 0 if w.get("diagonal") == "top_left" else keys - rows
    p = np.arange(rows)[:, None] + d
    see = np.ones((rows, keys), bool)
    size = w.get("block_size", 0)
    if w.get("causal") or size > 0:
        rule = j <= p
        if size > 0 and not w.get("causal"):
            origin = int(w["block_origin"][b]) if "block_origin" in w else 0
            block = lambda x: np.where(x < origin, -1, (x - origin) // size)
            rule = block(j) <= block(p)
        if "prefix_lens" in w:
            prefix = int(w["prefix_lens"][b])
            rule = np.where(p < prefix, j < prefix, rule)
        see &= rule
    left, right = w.get("window", (w.get("window_left", -1), w.get("window_right", -1)))
    if left >= 0:
        see &= j >= p - left
    if right >= 0:
        see &= j <= p + right
    if "hole_starts" in w:
        see &= ~((int(w["hole_starts"][b]) <= j) & (j < int(w["hole_ends"][b])))
    return see, np.abs(p - j)


def _full(x, shape):
    """x right-aligned to four dimensions and broadcast to shape."""
    x = np.asarray(x)
    return np.broadcast_to(x.reshape((1,) * (4 - x.ndim) + x.shape), shape)


def attention(q, k, v, real=np.float64, rounded=None, drop=None, **w):
    """A dense call. `rounded` is the type to which probabilities are rounded; `drop` multiplies the weights."""
    batch, seqlen_q, heads, head_dim = q.shape
    seqlen_k, kv_heads, v_dim = k.shape[1], k.shape[2], v.shape[3]
    scale = real(w["softmax_scale"] if w.get("softmax_scale") is not None else 1 / np.sqrt(head_dim))
    shape = (batch, heads, seqlen_q, seqlen_k)
    r = SimpleNamespace(
        out=np.zeros((batch, seqlen_q, heads, v_dim), real), lse=np.full(shape[:3], -np.inf, real), weights=np.zeros(shape, real),
        scaled=np.full(shape, -np.inf, real), capped=np.full(shape, -np.inf, real), masked=np.full(shape, -np.inf, real), largest=0.0)
    for b in range(batch):
        rows = int(w["seqused_q"][b]) if "seqused_q" in w else seqlen_q
        keys = int(w["seqused_k"][b]) if "seqused_k" in w else seqlen_k
        see, distance = visible(rows, keys, b, w)
        if "q_segment_ids" in w:
            ids_q, ids_k = np.asarray(w["q_segment_ids"])[b, :rows, None], np.asarray(w["kv_segment_ids"])[b, None, :keys]
            see = see & (ids_q == ids_k) & (ids_q >= 0) & (ids_k >= 0)
        for h in range(heads):
            g = h // (heads // kv_heads)
            qs, ks, vs = (x.astype(real) for x in (q[b, :rows, h], k[b, :keys, g], v[b, :keys, g]))
            s = (qs @ ks.T) * scale
            r.scaled[b, h, :rows, :keys] = s
            if w.get("softcap", 0) > 0:
                s = real(w["softcap"]) * np.tanh(s / real(w["softcap"]))
            r.capped[b, h, :rows, :keys] = s
            extra = np.zeros_like(s)
            if "bias" in w:
                extra += _full(w["bias"], shape)[b, h, :rows, :keys].astype(real)
            if "alibi_slopes" in w:
                slopes = np.asarray(w["alibi_slopes"])
                extra -= real(slopes[b, h] if slopes.ndim == 2 else slopes[h]) * distance.astype(real)
            sees = see
            if "keep" in w and not (w.get("mask_with_bias") == "bias_only" and "bias" in w):
                sees = see & _full(w["keep"], shape)[b, h, :rows, :keys]
            s = np.where(sees, s + extra, -np.inf)
            r.masked[b, h, :rows, :keys] = s
            sinks = np.asarray(w["sinks"], real).reshape(heads, -1)[h] if "sinks" in w else np.zeros(0, real)
            logits = np.concatenate([s, np.broadcast_to(sinks, (rows, sinks.size))], 1)
            top = np.max(logits, axis=1, initial=-np.inf)
            base = np.where(np.isneginf(top), 0, top)[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                e, total = np.exp(s - base), np.sum(np.exp(logits - base), axis=1, dtype=real)
                r.lse[b, h, :rows] = np.where(total > 0, np.log(total) + base[:, 0], -np.inf)
                weights = np.where(total[:, None] > 0, e / total[:, None], 0)
            if drop is not None:
                weights = weights * drop[b, h, :rows, :keys]
            r.weights[b, h, :rows, :keys] = weights
            if rounded is not None:
                weights = weights.astype(rounded).astype(real)
            seen = np.isfinite(s).any(axis=0)  # nothing that no row sees is multiplied
            r.out[b, :rows, h] = weights[:, seen] @ vs[seen]
            with np.errstate(invalid="ignore"):
                size = np.abs(scale) * (np.abs(qs) @ np.abs(ks).T) + np.abs(extra)
            if np.isfinite(s).any():
                r.largest = max(r.largest, float(size[np.isfinite(s)].max()))
    return r


def ragged(q, k, v, cu_seqlens_q, cu_seqlens_k, **w):
    """The sequences of a ragged call as dense calls of batch 1: (rows of q, rows of k, words) of each."""
    per_batch = {"q_start", "prefix_lens", "hole_starts", "hole_ends", "block_origin", "seqused_q", "seqused_k"}
    for b in range(len(cu_seqlens_q) - 1):
        rows, keys = slice(cu_seqlens_q[b], cu_seqlens_q[b + 1]), slice(cu_seqlens_k[b], cu_seqlens_k[b + 1])
        words = {name: value[b : b + 1] if name in per_batch else value for name, value in w.items()}
        yield rows, keys, (q[None, rows], k[None, keys], v[None, keys]), words


_known = {}  # every kernel is held to the same answers


def _gold_and_plain(q, k, v, w):
    content = lambda x: (x.shape, x.dtype.str, x.tobytes()) if isinstance(x, np.ndarray) else repr(x)
    key = hashlib.sha256(repr([content(x) for x in (q, k, v)] + [(name, content(x)) for name, x in sorted(w.items())]).encode()).digest()
    if key not in _known:
        _known[key] = attention(q, k, v, **w), attention(q, k, v, real=np.float32, rounded=q.dtype, **w)
        for r in _known[key]:
            r.scaled = r.capped = r.masked = None
    return _known[key]


def judge(result, q, k, v, factor=None, **w):
    """Asserts that out (and lse and weights, where given) are as near to float64 as the contract asks.

    k and v of another type than q are values already dequantised; the contract then allows a factor of 4.
    """
    out = np.asarray(result.out)
    gold, plain = _gold_and_plain(q, k, v, w)
    rounded = plain.out.astype(out.dtype).astype(np.float64)
    assert out.shape == gold.out.shape
    if out.size:
        most_v = float(np.nanmax(np.abs(np.where(np.isfinite(v.astype("f8")), v.astype("f8"), 0)), initial=0.0))
        u, C = UNIT_ROUNDOFF[out.dtype], gold.largest
        error, plain_error = np.abs(out.astype("f8") - gold.out), np.abs(rounded - gold.out)
        factor = factor or (3 if w.get("softcap", 0) > 0 else 2)
        allowed = factor * plain_error.max() + 2 * u * np.abs(gold.out).max() + 2 * EPS * C * most_v + LEAST_NORMAL[out.dtype]
        assert error.max() <= allowed, f"out: max error {error.max()}, allowed {allowed}"
        if out.size >= 256:
            rms, plain_rms = np.sqrt(np.mean(error**2)), np.sqrt(np.mean(plain_error**2))
            assert rms <= 1.5 * plain_rms + EPS * C * most_v, f"out: RMS error {rms}, plain {plain_rms}"
    for name in ("lse", "weights"):
        got = getattr(result, name, None)
        if got is None:
            continue
        got, want = np.asarray(got).astype("f8"), getattr(gold, name)
        assert got.shape == want.shape
        np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want), err_msg=name)
        finite = np.isfinite(want)
        lse = np.where(np.isfinite(gold.lse), np.abs(gold.lse), 0)
        if name == "lse":
            bound = 4 * EPS * (gold.largest + lse + 1)
        else:  # exp(s - lse), each as far off as an lse may be, in the type of the result
            dtype = result.weights.dtype
            bound = want * (8 * EPS * (gold.largest + lse[..., None] + 1) + UNIT_ROUNDOFF[dtype]) + LEAST_NORMAL[dtype]
        error = np.abs(got[finite] - want[finite])
        assert (error <= bound[finite]).all(), f"{name}: error {error.max()}"


def of_request(w, b, rows, keys, offset=0):
    """The words of request b alone, whose q has `rows` rows in use, from `offset` on where words are per row of a ragged q."""
    per_batch = {"q_start", "prefix_lens", "hole_starts", "hole_ends", "block_origin"}
    words = {}
    for name, value in w.items():
        if name in per_batch:
            words[name] = [int(value[b])]
        elif name in ("keep", "bias"):
            value = np.asarray(value)
            value = value.reshape((1,) * (4 - value.ndim) + value.shape)
            one = lambda axis, part: part if value.shape[axis] > 1 else slice(None)
            words[name] = value[one(0, slice(b, b + 1)), :, one(2, slice(rows))][..., one(3, slice(keys))]
        elif name == "alibi_slopes" and np.ndim(value) == 2:
            words[name] = np.asarray(value)[b : b + 1]
        elif name in ("q_segment_ids", "kv_segment_ids"):
            ids, length = np.asarray(value), rows if name == "q_segment_ids" else keys
            words[name] = ids[b : b + 1, :length] if ids.ndim == 2 else ids[None, offset : offset + length]
        elif not name.startswith(("return_", "cu_", "seqused")):
            words[name] = value
    return words


def philox(counter, key):
    """Philox4x32-10 (Salmon and others, 2011) on arrays of counters [..., 4]."""
    c = [counter[..., i].astype(np.uint64) for i in range(4)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & low, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, -1).astype(np.uint32)


def dropout(shape, p, seed, offset=0):
    """What multiplies the weights [batch, heads, seqlen_q, seqlen_k]: 0, or 1 / (1 - p)."""
    b, h, i, j = np.indices(shape, dtype=np.uint64)
    counter = np.stack([j // 4, i, b * np.uint64(shape[1]) + h, np.full(shape, offset & 0xFFFFFFFF, np.uint64)], -1)
    word = np.take_along_axis(philox(counter, seed), (j % 4).astype(np.int64)[..., None], -1)[..., 0]
    return (word >= np.floor(p * 2.0**32)) / (1 - p)
