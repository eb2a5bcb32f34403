"""The decoders in float64, one row at a time where plainest. Shares no code with the library."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from checkpoints import Config, Weights, is_moe, layer_types


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def rope(c: Config, position: int) -> tuple[np.ndarray, float]:
    """Frequencies of a row and the factor of cos and sin."""
    words = dict(c.get("rope_parameters") or c.get("rope_scaling") or {})
    kind = words.get("rope_type", words.get("type", "default"))
    theta = words.get("rope_theta", c.get("rope_theta", 10000.0))
    partial = words.get("partial_rotary_factor", c.get("partial_rotary_factor", 1.0))
    dim = int(c["head_dim"] * partial)
    longest = c["max_position_embeddings"]
    factor = words.get("factor")
    if kind == "dynamic":
        theta *= (factor * max(position + 1, longest) / longest - (factor - 1)) ** (dim / (dim - 2))
    freq = theta ** -(np.arange(0, dim, 2) / dim)
    if kind in ("default", "dynamic"):
        return freq, 1.0
    if kind == "linear":
        return freq / factor, 1.0
    original = words.get("original_max_position_embeddings", longest)
    if kind == "llama3":
        low, high = words["low_freq_factor"], words["high_freq_factor"]
        result = []
        for f in freq:
            wavelength = 2 * math.pi / f
            if wavelength < original / high:
                result.append(f)
            elif wavelength > original / low:
                result.append(f / factor)
            else:
                smooth = (original / wavelength - low) / (high - low)
                result.append((1 - smooth) * f / factor + smooth * f)
        return np.array(result), 1.0
    assert kind == "yarn"
    factor = factor or longest / original

    def boundary(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = boundary(words.get("beta_fast") or 32), boundary(words.get("beta_slow") or 1)
    if words.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low or 0.001), 0, 1)

    def mscale(m: float) -> float:
        return 0.1 * m * math.log(factor) + 1 if factor > 1 else 1.0

    scale = words.get("attention_factor")
    if scale is None and words.get("mscale") and words.get("mscale_all_dim"):
        scale = mscale(words["mscale"]) / mscale(words["mscale_all_dim"])
    return freq / factor * ramp + freq * (1 - ramp), mscale(1) if scale is None else scale


def rotate(c: Config, x: np.ndarray) -> np.ndarray:
    """x [rows, heads, head_dim], row i at position i."""
    out = x.copy()
    for i in range(len(x)):
        freq, scale = rope(c, i)
        half = len(freq)
        cos, sin = np.cos(i * freq) * scale, np.sin(i * freq) * scale
        a, b = x[i, :, :half], x[i, :, half : 2 * half]
        out[i, :, :half], out[i, :, half : 2 * half] = a * cos - b * sin, b * cos + a * sin
    return out


class Reference:
    def __init__(self, c: Config, weights: Weights):
        self.c = c
        self.w = {name: value.astype(np.float64) for name, value in weights.items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.w[name + ".weight"].T + self.w.get(name + ".bias", 0.0)

    def norm(self, name: str, x: np.ndarray, plus_one: bool | None = None) -> np.ndarray:
        plus = self.c["model_type"] == "qwen3_next" if plus_one is None else plus_one
        unit = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.c["rms_norm_eps"])
        return unit * (self.w[name + ".weight"] + (1.0 if plus else 0.0))

    def mlp(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.linear(
            name + ".down_proj",
            silu(self.linear(name + ".gate_proj", x)) * self.linear(name + ".up_proj", x),
        )

    def experts(self, name: str, x: np.ndarray) -> np.ndarray:
        c, out = self.c, np.zeros_like(x)
        for i, row in enumerate(x):
            scores = self.linear(name + ".gate", row)
            p = np.exp(scores - scores.max())
            p /= p.sum()
            best = np.argsort(-p)[: c["num_experts_per_tok"]]
            share = (
                p[best].sum() if c.get("norm_topk_prob", c["model_type"] == "qwen3_next") else 1.0
            )
            for e in best:
                out[i] += p[e] / share * self.mlp(f"{name}.experts.{e}", row)
        if c["model_type"] == "qwen3_next":
            out += sigmoid(self.linear(name + ".shared_expert_gate", x)) * self.mlp(
                name + ".shared_expert", x
            )
        return out

    def attention(self, name: str, x: np.ndarray, window: int | None) -> np.ndarray:
        c, rows, head = self.c, len(x), self.c["head_dim"]
        heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
        gated = c["model_type"] == "qwen3_next"
        q = self.linear(name + ".q_proj", x).reshape(rows, heads, -1)
        q, gate = q[..., :head], q[..., head:]
        k = self.linear(name + ".k_proj", x).reshape(rows, kv, head)
        v = self.linear(name + ".v_proj", x).reshape(rows, kv, head)
        if name + ".q_norm.weight" in self.w:
            q, k = self.norm(name + ".q_norm", q), self.norm(name + ".k_norm", k)
        q, k = rotate(c, q), rotate(c, k)
        out = np.zeros((rows, heads, head))
        for i in range(rows):
            first = max(0, i + 1 - window) if window else 0
            for h in range(heads):
                j = h // (heads // kv)
                s = k[first : i + 1, j] @ q[i, h] / math.sqrt(head)
                p = np.exp(s - s.max())
                out[i, h] = p / p.sum() @ v[first : i + 1, j]
        if gated:
            out = out * sigmoid(gate)
        return self.linear(name + ".o_proj", out.reshape(rows, -1))

    def gated_delta(self, name: str, x: np.ndarray) -> np.ndarray:
        c, rows = self.c, len(x)
        groups, v_heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
        dk, dv, ratio = c["linear_key_head_dim"], c["linear_value_head_dim"], v_heads // groups
        qkvz = self.linear(name + ".in_proj_qkvz", x).reshape(rows, groups, -1)
        q, k, v, z = np.split(qkvz, [dk, 2 * dk, 2 * dk + ratio * dv], axis=-1)
        b, a = np.split(self.linear(name + ".in_proj_ba", x).reshape(rows, groups, -1), 2, axis=-1)
        z, b, a = z.reshape(rows, v_heads, dv), b.reshape(rows, v_heads), a.reshape(rows, v_heads)

        mixed = np.concatenate([t.reshape(rows, -1) for t in (q, k, v)], axis=-1)
        taps = self.w[name + ".conv1d.weight"][:, 0]
        before = taps.shape[1] - 1
        padded = np.concatenate([np.zeros((before, mixed.shape[1])), mixed])
        mixed = silu(np.array([(padded[t : t + before + 1] * taps.T).sum(0) for t in range(rows)]))
        q, k, v = np.split(mixed, [groups * dk, 2 * groups * dk], axis=-1)
        q, k = (t.reshape(rows, groups, dk).repeat(ratio, axis=1) for t in (q, k))
        q, k = (t / np.sqrt((t * t).sum(-1, keepdims=True) + 1e-6) for t in (q, k))
        v = v.reshape(rows, v_heads, dv)
        decay = np.exp(
            -np.exp(self.w[name + ".A_log"]) * np.log1p(np.exp(a + self.w[name + ".dt_bias"]))
        )
        beta = sigmoid(b)

        state, out = np.zeros((v_heads, dv, dk)), np.zeros((rows, v_heads, dv))
        for t in range(rows):
            state *= decay[t][:, None, None]
            error = (v[t] - np.einsum("hvk,hk->hv", state, k[t])) * beta[t][:, None]
            state += error[:, :, None] * k[t][:, None, :]
            out[t] = np.einsum("hvk,hk->hv", state, q[t]) / math.sqrt(dk)
        out = self.norm(name + ".norm", out, plus_one=False) * silu(z)
        return self.linear(name + ".out_proj", out.reshape(rows, -1))

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        c = self.c
        x = self.w["model.embed_tokens.weight"][list(ids)]
        for i, kind in enumerate(layer_types(c)):
            at = f"model.layers.{i}"
            normed = self.norm(at + ".input_layernorm", x)
            if kind == "linear_attention":
                x = x + self.gated_delta(at + ".linear_attn", normed)
            else:
                window = c["sliding_window"] if kind == "sliding_attention" else None
                x = x + self.attention(at + ".self_attn", normed, window)
            normed = self.norm(at + ".post_attention_layernorm", x)
            x = x + (
                self.experts(at + ".mlp", normed) if is_moe(c, i) else self.mlp(at + ".mlp", normed)
            )
        head = "model.embed_tokens" if c["tie_word_embeddings"] else "lm_head"
        return self.norm("model.norm", x) @ self.w[head + ".weight"].T
