"""The gated delta rule in NumPy float64, token by token, written from the contract alone."""

import numpy as np


def rule(q, k, v, decay, beta, state=None, softmax_scale=None, normalize_qk=False, l2_eps=1e-6):
    """One sequence: q, k [tokens, k_heads, k_dim], v [tokens, v_heads, v_dim], decay (linear) [tokens, heads] or
    [tokens, heads, k_dim], beta [tokens, heads], state [heads, v_dim, k_dim] -> out [tokens, heads, v_dim], state."""
    q, k, v, decay, beta = (np.asarray(x).astype(np.float64) for x in (q, k, v, decay, beta))
    tokens, k_heads, k_dim = q.shape
    v_heads, v_dim = v.shape[1:]
    heads = max(k_heads, v_heads)
    scale = k_dim**-0.5 if softmax_scale is None else softmax_scale
    if normalize_qk:
        q, k = (x / (np.linalg.norm(x, axis=-1, keepdims=True) + l2_eps) for x in (q, k))
    decay = decay if decay.ndim == 3 else decay[..., None]
    S = np.zeros((heads, v_dim, k_dim)) if state is None else np.asarray(state).astype(np.float64).copy()
    out = np.zeros((tokens, heads, v_dim))
    for t in range(tokens):
        for h in range(heads):
            kh, vh = h * k_heads // heads, h * v_heads // heads
            S[h] *= decay[t, h]
            error = beta[t, h] * (v[t, vh] - S[h] @ k[t, kh])
            S[h] += np.outer(error, k[t, kh])
            out[t, h] = S[h] @ q[t, kh] * scale
    return out, S


def layer(mixed, weight, heads, k_heads, v_heads, k_dim, v_dim, *, bias=None, history=None, silu=True, a=None, b=None, a_log=None, dt_bias=None,
          decay=None, beta=None, z=None, norm_weight=None, norm_eps=1e-6, state=None, **words):  # fmt: skip
    """One sequence of the layer: mixed [tokens, channels], weight [channels, taps], history [channels, taps - 1]
    -> out, state, history."""
    mixed, weight = mixed.astype(np.float64), weight.astype(np.float64)
    taps, channels = weight.shape[1], mixed.shape[1]
    past = np.zeros((taps - 1, channels)) if history is None else history.astype(np.float64).T
    padded = np.concatenate([past, mixed])
    y = sum(padded[n : n + len(mixed)] * weight[:, n] for n in range(taps)) + (0 if bias is None else bias.astype(np.float64))
    if silu:
        y = y / (1 + np.exp(-y))
    q, k, v = np.split(y, [k_heads * k_dim, 2 * k_heads * k_dim], axis=1)
    q, k, v = q.reshape(-1, k_heads, k_dim), k.reshape(-1, k_heads, k_dim), v.reshape(-1, v_heads, v_dim)
    if a is not None:
        decay = np.exp(-np.exp(a_log.astype("f8")) * np.logaddexp(0, a.astype("f8") + dt_bias.astype("f8")))
    if b is not None:
        beta = 1 / (1 + np.exp(-b.astype("f8")))
    out, S = rule(q, k, v, decay, beta, state, **words)
    if z is not None:
        z = z.astype("f8")
        out = out / np.sqrt(np.mean(out**2, axis=-1, keepdims=True) + norm_eps) * norm_weight.astype("f8") * z / (1 + np.exp(-z))
    return out, S, padded[len(padded) - (taps - 1) :].T
